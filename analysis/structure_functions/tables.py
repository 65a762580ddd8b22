"""All curves as tables of comma-separated values."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .results import StructureResult

_DIGITS = 8


def tables_of(result: StructureResult, arrays: Mapping[str, NDArray[Any]]) -> dict[str, str]:
    """Return files' contents by name: pairs, structure factors, correlation functions, angles and what was compared.

    Parameters
    ----------
    arrays
        As `structure.Structure.arrays` names them.
    """
    pairs: dict[str, NDArray[Any]] = {"r_A": arrays["r_A"]}
    factors: dict[str, NDArray[Any]] = {"q_per_A": arrays["q_per_A"]}
    correlations: dict[str, NDArray[Any]] = {"r_A": arrays["r_A"]}
    for a, first in enumerate(result.species):
        for b, second in enumerate(result.species):
            name = f"{first}-{second}"
            if a <= b:
                pairs |= _with_half(arrays, "g", name, a, b)
                factors |= _with_half(arrays, "s", name, a, b)
            pairs[f"n_{name}"] = arrays["running_coordination"][a, b]
    for said in result.diffraction:
        if f"{said.radiation}_s" in arrays:
            factors[f"S_{said.radiation}"] = arrays[f"{said.radiation}_s"]
            if f"{said.radiation}_s_half" in arrays:
                factors[f"S_{said.radiation}_half_width"] = arrays[f"{said.radiation}_s_half"]
            correlations[f"T_{said.radiation}_per_A2"] = arrays[f"{said.radiation}_t"]
    found = {"pairs.csv": pairs, "structure-factors.csv": factors, "total-correlation.csv": correlations}
    if result.angles:
        columns = {f"{one.name}_per_degree": arrays[f"angle_{one.name}"] for one in result.angles}
        found["angles.csv"] = {"angle_degrees": arrays["angles_degrees"], **columns}
    for number, one in enumerate(result.agreements, start=1):
        x, measured, computed = arrays[f"compared_{number}"]
        name = "compared.csv" if len(result.agreements) == 1 else f"compared-{number}-{one.radiation}.csv"
        found[name] = {"x": x, "measured": measured, "computed": computed}
    return {name: _text(columns) for name, columns in found.items()}


def _with_half(arrays: Mapping[str, NDArray[Any]], key: str, name: str, a: int, b: int) -> dict[str, NDArray[Any]]:
    columns = {f"{key}_{name}": arrays[key][a, b]}
    if f"{key}_half" in arrays:
        columns[f"{key}_{name}_half_width"] = arrays[f"{key}_half"][a, b]
    return columns


def _text(columns: Mapping[str, NDArray[Any]]) -> str:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(columns)
    for row in np.column_stack(list(columns.values())).tolist():
        writer.writerow([f"{value:.{_DIGITS}g}" for value in row])
    return stream.getvalue()
