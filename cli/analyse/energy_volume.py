"""`ionloop analyse energy-volume`: bulk modulus of a structure with a model, or of energies in a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..console.label_options import with_label_options
from ..console.options import JsonOption
from ..console.progress import progress

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ase import Atoms

    from ...analysis.energy_volume.curves import BirchMurnaghanFit, EnergyVolumePoint
    from ...analysis.energy_volume.settings import EnergyVolumeSettings
    from ...fitting.reading import LabelRequest
    from ...tasks.values.energy_volume import CurveValues


@with_label_options
def energy_volume(
    file: Annotated[
        Path,
        typer.Argument(help="A structure for --model; without it, cells of several volumes that have energies."),
    ],
    model: Annotated[
        Path | None, typer.Option(help="Folder of a model, or the XML file of a GAP: it computes the energies.")
    ] = None,
    strain: Annotated[
        float, typer.Option(min=0.001, max=0.15, help="Largest change of the cell's lengths (with --model).")
    ] = 0.03,
    points: Annotated[int, typer.Option(min=5, max=101, help="Cells (with --model).")] = 9,
    relax: Annotated[bool, typer.Option(help="Relax the ions of every cell (with --model).")] = True,
    as_json: JsonOption = False,
    *,
    reading: LabelRequest,
) -> None:
    """Fit Birch's equation of state: volume, bulk modulus (GPa) and their intervals."""
    from ...analysis.energy_volume.curves import EquationOfStateError, doubts, fit_points
    from ...analysis.energy_volume.settings import EnergyVolumeSettings
    from ...core.errors import InputError

    intervals: dict[str, Any] = {}
    if model is None:
        found = _points_in(file, reading)
        try:
            fit, used, unconverged = fit_points(found), len(found), 0
        except (EquationOfStateError, InputError) as error:
            raise InputError(f"{file}: {error}") from error
    else:
        settings = EnergyVolumeSettings(strain=strain, points=points, relax_ions=relax, reference="none")
        fit, curve = _curve_by(model, file, settings)
        used, unconverged = len(curve.volumes_A3_per_atom), curve.unconverged
        intervals = {name: value for name, value in curve.model_dump(mode="json").items() if "model_" in name}
    for doubt in doubts(fit):
        typer.echo(f"Warning: {doubt}.", err=True)
    if as_json:
        document = {"cells": used, "unconverged": unconverged, **fit.model_dump(), **intervals}
        typer.echo(json.dumps(document, indent=2))
    else:
        _print(fit, used, unconverged, intervals)


def _points_in(file: Path, reading: LabelRequest) -> list[EnergyVolumePoint]:
    """Return the frames of ``file`` as points; all must have an energy and the same formula unit."""
    from ase import Atoms
    from ase.formula import Formula

    from ...analysis.energy_volume.curves import EnergyVolumePoint
    from ...core.errors import InputError
    from ...fitting.reading import LabelRequest
    from ...fitting.reading.findings import frame_numbers

    extended_xyz = _EXTENDED_XYZ & {*file.suffixes}
    if not extended_xyz and (reading.keys, reading.units) != (LabelRequest().keys, LabelRequest().units):
        raise InputError(f"{file}: keys and units are options for extended XYZ; ASE knows those of other files")
    frames = _labelled(file, reading) if extended_xyz else _frames_of_ase(file)
    open_ = [number for number, (atoms, _) in enumerate(frames) if not atoms.pbc.all()]
    if open_:
        raise InputError(
            f"{file} has structures that are not periodic in all three directions ({frame_numbers(open_)}, counted from"
            ' 0): they have no volume. Crystals say pbc="T T T"'
        )
    units = [Formula(atoms.get_chemical_formula()).reduce()[0].format("hill") for atoms, _ in frames]
    other = [number for number, unit in enumerate(units) if unit != units[0]]
    if other:
        raise InputError(
            f"{file}: a curve is that of one crystal, but the first frame is {units[0]} and another one "
            f"{units[other[0]]} ({frame_numbers(other)}, counted from 0)"
        )
    points = []
    for atoms, energy_eV in frames:
        bare = Atoms(numbers=atoms.numbers, positions=atoms.positions, cell=atoms.cell, pbc=True)
        points.append(EnergyVolumePoint(bare, 0.0, energy_eV))
    return points


_EXTENDED_XYZ = {".xyz", ".extxyz", ".exyz"}


def _labelled(file: Path, reading: LabelRequest) -> list[tuple[Atoms, float]]:
    """Return structures and energies (eV) as `fit` and `evaluate` read them."""
    from dataclasses import replace

    from ...core.errors import InputError
    from ...fitting.reading import read_labels

    # Where the energy counts from does not matter here, and a potential's own energies may be positive.
    found = read_labels(file, replace(reading, check_units=False))
    for line in found.summary:
        typer.echo(line, err=True)
    flat = [one.identifier for one in found.data_set if one.atoms.cell.rank < 3]
    if flat:
        raise InputError(f"{file}: {flat[0]} has no cell with a volume")
    return [(one.atoms, one.energy) for one in found.data_set]


def _frames_of_ase(file: Path) -> list[tuple[Atoms, float]]:
    import numpy as np
    from ase.io import read

    from ...core.errors import InputError
    from ...fitting.reading.findings import frame_numbers

    if not file.is_file():
        raise InputError(f"there is no file {file}")
    try:
        frames = read(file, index=":")
    except Exception as error:  # readers of foreign formats may raise anything
        raise InputError(f"{file} cannot be read as structures of any format that ASE knows") from error
    without = [
        number for number, atoms in enumerate(frames) if atoms.calc is None or "energy" not in atoms.calc.results
    ]
    if without:
        raise InputError(
            f"{file} has structures without energy ({frame_numbers(without)}, counted from 0); give --model, or a "
            "file with energies"
        )
    energies = [float(atoms.get_potential_energy()) for atoms in frames]
    for what, bad in (
        ("no cell with a volume", [number for number, atoms in enumerate(frames) if atoms.cell.rank < 3]),
        ("an energy that is no finite number", np.flatnonzero(~np.isfinite(energies)).tolist()),
    ):
        if bad:
            raise InputError(f"{file} has structures with {what} ({frame_numbers(bad)}, counted from 0)")
    return list(zip(frames, energies, strict=True))


def _curve_by(model: Path, structure: Path, settings: EnergyVolumeSettings) -> tuple[BirchMurnaghanFit, CurveValues]:
    """Return the equation of state of a model's cells, and the curve.

    Raises
    ------
    InputError
        If there is no equation of state.
    """
    from ...core.errors import InputError
    from ...sampling.structures.crystals import load_structure
    from ...tasks.values.energy_volume import VOLUME_CURVES
    from ...workflows.analyses.energy_volume.kind import ENERGY_VOLUME
    from ...workflows.analyses.runner import Question, ask

    with progress("curve") as tell:
        answer = ask(ENERGY_VOLUME, Question(load_structure(structure), [model], settings), tell)
    if answer.failed:
        raise InputError(f"{structure}: {next(iter(answer.failed.values()))}")
    curve = VOLUME_CURVES.read(answer.only(VOLUME_CURVES.name))
    if curve.fit is None:
        raise InputError(f"{structure}: {curve.reason}")
    return curve.fit, curve


def _print(fit: BirchMurnaghanFit, cells: int, unconverged: int, intervals: Mapping[str, Any]) -> None:
    from rich.table import Table

    from ...analysis.energy_volume.settings import PARAMETERS
    from ...analysis.model_uncertainty.words import no_interval_text, student_half_width, with_intervals
    from ..console.terminal import make_console

    table = Table(box=None, pad_edge=False, title=f"{cells} cells", title_justify="left", show_header=False)
    table.add_column(justify="left")
    table.add_column(justify="right")
    table.add_column(justify="left")
    for name, value, error, quantity, unit, form in (
        ("volume", fit.volume_A3_per_atom, fit.volume_standard_error_A3_per_atom, "volume", "Å³/atom", ".4f"),
        ("bulk modulus", fit.bulk_modulus_GPa, fit.bulk_modulus_standard_error_GPa, "bulk_modulus", "GPa", ".2f"),
        (
            "its pressure derivative",
            fit.bulk_modulus_derivative,
            fit.bulk_modulus_derivative_standard_error,
            "bulk_modulus_derivative",
            "",
            ".2f",
        ),
    ):
        suffix = {"Å³/atom": "_A3_per_atom", "GPa": "_GPa", "": ""}[unit]
        told = with_intervals(
            value,
            unit,
            form,
            statistical=student_half_width(error, cells - PARAMETERS),
            statistical_is="fit",
            model=intervals.get(f"{quantity}_model_half_width{suffix}"),
        )
        number, _, rest = told.partition(" ")
        table.add_row(name, number, rest)
    table.add_row("residual", f"{1000 * fit.residual_eV_per_atom:.3f}", "meV/atom")
    make_console().print(table)
    typer.echo("Intervals of 95 %: of the fit, and of the model where it knows its errors.")
    if reason := intervals.get("model_interval_reason"):
        typer.echo(no_interval_text("equation of state", reason))
    if unconverged:
        typer.echo(f"{unconverged} cells did not converge and are left out.", err=True)
