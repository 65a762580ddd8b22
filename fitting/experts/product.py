"""Product of experts: their weights side by side, without a fit.

The prediction is the mean of theirs, as in Hajibabaei, Kim, J. Phys. Chem. Lett. 2021, 12, 8115
(10.1021/acs.jpclett.1c01605). It is there for comparisons: what no expert has learned of another's materials, their
mean has not either.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ...core.arrays import FloatArray
from ...core.errors import InputError
from ..cores import core_of
from ..gap_fit import POTENTIAL_FILE
from ..native.gap_xml import GapModel, read_gap_xml
from ..native.sparse_fit.design import Descriptors, RowBuilder, coordinate_name, sparse_points_of
from ..native.sparse_fit.sparse_points import CoordinateKey, SparseLayer, SparsePoints
from ..settings import GapSettings
from .expert import Expert


def product_model(experts: Sequence[Expert], elements: tuple[str, ...], settings: GapSettings) -> GapModel:
    """Return the mean of experts as one potential.

    Of an element, or of a pair, that some experts do not know the mean is that of the others.

    Raises
    ------
    InputError
        If an expert is in no folder, or its points cannot be described among the elements.
    """
    weights = [weights_of(expert) for expert in experts]
    keys = sorted({key for one in weights for key in one}, key=lambda key: (-len(key), key))
    points: dict[CoordinateKey, list[FloatArray]] = {key: [] for key in keys}
    alphas: dict[CoordinateKey, list[FloatArray]] = {key: [] for key in keys}
    for expert, own in zip(experts, weights, strict=True):
        among = expert.points_among(elements)
        for key, values in own.items():
            knowing = sum(set(key) <= set(_numbers(other)) for other in experts)
            points[key].append(among[key])
            alphas[key].append(values / knowing)
    layer = SparseLayer({key: np.concatenate(points[key]) for key in keys})
    builder = RowBuilder(Descriptors.of(elements, settings), SparsePoints((layer,)))
    columns = np.concatenate([part for key in keys for part in alphas[key]])
    energies = {
        symbol: float(
            np.mean([one.data_set.isolated_atom_energies[symbol] for one in experts if symbol in one.elements])
        )
        for symbol in elements
    }
    return replace(builder.model(columns, energies), core=core_of(settings))


def weights_of(expert: Expert) -> dict[CoordinateKey, FloatArray]:
    """Return the weights of an expert's points by coordinate.

    Raises
    ------
    InputError
        If it is in no folder.
    """
    if expert.folder is None:
        raise InputError(f"{expert.name} is in no folder: it has no weights to be put beside others")
    model = read_gap_xml(expert.folder / POTENTIAL_FILE, beside_charges=True)
    labels = sparse_points_of(model)
    found: dict[CoordinateKey, FloatArray] = {}
    for key in labels.keys:
        same = [one.alphas for one in model.coordinates if one.sparse_points is labels.layers[0].points[key]]
        if len(same) != 1:
            raise InputError(f"{expert.name}: the weights of {coordinate_name(key)} are not found in its potential")
        found[key] = same[0]
    return found


def _numbers(expert: Expert) -> tuple[int, ...]:
    return Descriptors.of(expert.elements, expert.settings).species
