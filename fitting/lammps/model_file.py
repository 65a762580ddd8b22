"""Potentials as one file for LAMMPS: everything that the plug-in evaluates, tabulated as our own evaluator has it.

The file is a first line, then for each array a line ``name type count`` and its little-endian numbers, and at the end a
line with the CRC-32 of all before.
"""

from __future__ import annotations

import math
import zlib
from pathlib import Path
from typing import Any, Final

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator
from ase.data import atomic_numbers
from numpy.typing import ArrayLike
from scipy.linalg import solve_triangular
from scipy.special import erfc

from ...core.arrays import FloatArray
from ...core.errors import InputError
from ...core.files import write_whole
from ..calculators import EsGapCalculator
from ..electrostatics.baseline import SlaterEwald
from ..electrostatics.coulomb.clouds import CloudTable, cloud_table
from ..electrostatics.coulomb.ewald import COULOMB_CONSTANT_EV_A, choose_splitting
from ..electrostatics.coulomb.summation import SHARE, TAIL_SHARE, charged_cell_of
from ..electrostatics.joint.charge_models import LocalCharges
from ..electrostatics.joint.charged_calculator import ChargedGapCalculator
from ..native.calculator import NativeGapCalculator
from ..native.gap_xml import Coordinate, GapModel
from ..native.glue import GluePotential
from ..native.soap_term import SoapTerm
from ..native.two_body import PairTerm

FIRST_LINE: Final = "ionloop-potential 1"
ALL_NUMBERS: Final = 120
SHORTEST_A: Final = 0.2
"""Atoms with charges that are closer stop a run."""
_PIECES_PER_A: Final = 50
_DEGREE = 5
# Errors of an Ewald sum grow slowly with the number of atoms; its splitting suits so many.
_ATOMS_OF_SPLITTING = 1000


class PotentialFile:
    """Arrays by name, in the order in which they were added."""

    def __init__(self) -> None:
        self._parts: list[bytes] = [f"{FIRST_LINE}\n".encode()]

    def reals(self, name: str, values: ArrayLike) -> None:
        """Add numbers."""
        self._add(name, "f8", np.asarray(values, dtype="<f8"))

    def integers(self, name: str, values: ArrayLike) -> None:
        """Add whole numbers."""
        self._add(name, "i8", np.asarray(values, dtype="<i8"))

    def _add(self, name: str, kind: str, values: np.ndarray[Any, Any]) -> None:
        self._parts += [f"{name} {kind} {values.size}\n".encode(), np.ascontiguousarray(values).tobytes()]

    def content(self) -> bytes:
        """Return the file."""
        content = b"".join(self._parts)
        return content + f"end {zlib.crc32(content):08x}\n".encode()


def write_potential(calculator: Calculator, path: Path, reference: Atoms, *, variances: bool = False) -> None:
    """Write a potential for LAMMPS.

    Parameters
    ----------
    calculator
        As `ionloop.fitting.models.load_model` returns it.
    path
        The file.
    reference
        A crystal with the density that is to be simulated: where the Ewald sum is split depends on it, the result
        within the model's accuracy does not.
    variances
        Whether LAMMPS can ask for predicted variances (SOAP's part): a number for each pair of sparse points more.

    Raises
    ------
    InputError
        If the model is of a kind, or has a term, that the plug-in does not evaluate.
    """
    file = PotentialFile()
    if isinstance(calculator, NativeGapCalculator):
        _add_gap(file, calculator.model, None, variances)
    elif isinstance(calculator, EsGapCalculator) and isinstance(calculator.gap, NativeGapCalculator):
        if not isinstance(calculator.baseline, SlaterEwald):
            raise _refused(f"a baseline of {type(calculator.baseline).__name__}")
        _add_gap(file, calculator.gap.model, None, variances)
        _add_fixed_charges(file, calculator.baseline, reference)
    elif isinstance(calculator, ChargedGapCalculator):
        parts = calculator.parts
        if not isinstance(parts.model, LocalCharges):
            raise _refused("charges that are passed over bonds or equilibrated")
        _add_gap(file, parts.gap, parts.second_weights, variances)
        sizes = dict(zip(parts.symbols, parts.magnitudes_e.tolist(), strict=True))
        constants = dict(zip(parts.symbols, parts.constants_e.tolist(), strict=True))
        _add_charges(file, constants, sizes, parts.clouds, parts.accuracy, reference, local=True)
    else:
        raise _refused(f"a model of {type(calculator).__name__}")
    write_whole(Path(path), file.content())


def _refused(what: str) -> InputError:
    return InputError(
        f"pair_style ionloop does not evaluate {what}; `ionloop lammps run` runs every model, in one process"
    )


def _add_gap(file: PotentialFile, model: GapModel, second: list[FloatArray] | None, variances: bool) -> None:
    isolated = np.zeros(ALL_NUMBERS)
    for number, energy in model.isolated_atom_energies.items():
        isolated[number] = energy
    file.integers("numbers", sorted(model.known_atomic_numbers))
    file.reals("cutoff", [model.cutoff_A])
    file.reals("scale", [model.energy_scale])
    file.reals("isolated", isolated)
    pairs = [one for one in model.coordinates if one.descriptor.kind == "distance_2b"]
    soaps = [one for one in model.coordinates if one.descriptor.kind == "soap"]
    if len(pairs) + len(soaps) != len(model.coordinates):
        others = {one.descriptor.kind for one in model.coordinates} - {"distance_2b", "soap"}
        raise _refused(f"triplets of atoms ({', '.join(sorted(others))})")
    file.integers("n_pair", [len(pairs)])
    file.integers("n_soap", [len(soaps)])
    for index, coordinate in enumerate(pairs):
        _add_pair_term(file, f"pair{index}", PairTerm(coordinate))
    for index, coordinate in enumerate(soaps):
        own = None if second is None else second[index]
        _add_soap(file, f"soap{index}", coordinate, own, variances)
    if model.core is not None:
        _add_glue(file, model.core)


def _add_pair_term(file: PotentialFile, name: str, term: PairTerm) -> None:
    pair = term.descriptor
    file.integers(f"{name}.numbers", pair.numbers)
    limits = (pair.cutoff_A, pair.transition_width_A, pair.tail_exponent, pair.tail_range_per_A, term.pieces_per_A)
    file.reals(f"{name}.limits", limits)
    file.reals(f"{name}.table", term.table)


def _add_soap(
    file: PotentialFile, name: str, coordinate: Coordinate, second: FloatArray | None, variances: bool
) -> None:
    term = SoapTerm(coordinate)
    basis, descriptor = term.basis, term.basis.descriptor
    mixing, n_channels = basis.mixing, descriptor.n_channels
    left, right = (n_channels, n_channels) if mixing is None else (mixing[0].shape[1], mixing[1].shape[1])
    shape = (descriptor.n_max, descriptor.l_max, n_channels, descriptor.normalise, basis.is_plain, mixing is not None)
    file.integers(f"{name}.shape", [*map(int, shape), left, right])
    file.reals(f"{name}.limits", [*basis.cutoffs, basis.table.pieces_per_A, term.zeta])
    file.reals(f"{name}.table", basis.table.coefficients)
    file.reals(f"{name}.prefactors", basis.prefactors)
    file.reals(f"{name}.factors", basis.factors)
    file.reals(f"{name}.central_parts", basis.central_parts)
    numbers = np.arange(ALL_NUMBERS)
    central = np.zeros(ALL_NUMBERS, dtype=np.int64)
    central[basis.central_atoms(numbers)] = 1
    file.integers(f"{name}.central", central)
    file.integers(f"{name}.channel_of", basis.channels_of(numbers))
    for part in ("left", "right", "lengths"):
        file.integers(f"{name}.run_{part}", getattr(basis.products, part))
    if mixing is not None:
        file.reals(f"{name}.mix_left", mixing[0])
        file.reals(f"{name}.mix_right", mixing[1])
    file.reals(f"{name}.points", term.sum.points)
    file.reals(f"{name}.constants", term.sum.constants)
    file.reals(f"{name}.weights", term.sum.weights)
    if second is not None:
        file.reals(f"{name}.second", second)
    if variances:
        factor, prior = term.variance_parts()
        file.reals(f"{name}.whitening", solve_triangular(factor, np.eye(len(factor)), lower=True))
        file.reals(f"{name}.covariance_weights", coordinate.delta**2 * coordinate.sparse_cutoffs)
        file.reals(f"{name}.prior", [prior])


def _add_glue(file: PotentialFile, glue: GluePotential) -> None:
    file.integers("glue.pairs", [number for pair in glue.pairs for number in pair])
    file.integers("glue.densities", list(glue.densities))
    file.integers("glue.embeddings", list(glue.embeddings))
    named = [(f"pair{index}", spline) for index, spline in enumerate(glue.pairs.values())]
    named += [(f"density{number}", spline) for number, spline in glue.densities.items()]
    named += [(f"embedding{number}", spline) for number, spline in glue.embeddings.items()]
    for name, spline in named:
        file.reals(f"glue.{name}.cutoff", [float(spline.x[-1])])
        file.reals(f"glue.{name}.pieces", spline.pieces())


def _add_fixed_charges(file: PotentialFile, baseline: SlaterEwald, reference: Atoms) -> None:
    symbols = sorted(baseline.charges)
    clouds = cloud_table(symbols, baseline.exponents)
    sizes = {symbol: abs(charge) for symbol, charge in baseline.charges.items()}
    _add_charges(file, baseline.charges, sizes, clouds, baseline.accuracy, reference, local=False)


def _add_charges(
    file: PotentialFile,
    constants_e: dict[str, float],
    magnitudes_e: dict[str, float],
    clouds: CloudTable,
    accuracy: float,
    reference: Atoms,
    *,
    local: bool,
) -> None:
    symbols = sorted(constants_e)
    magnitudes = np.array([magnitudes_e[symbol] for symbol in symbols])
    if not reference.pbc.all():
        raise InputError("charges in LAMMPS need a structure that is periodic in three directions to go by")
    cutoffs = clouds.cutoffs(COULOMB_CONSTANT_EV_A * np.outer(magnitudes, magnitudes), TAIL_SHARE * accuracy)
    repeats = math.ceil(_ATOMS_OF_SPLITTING / len(reference))
    counts = np.array([repeats * reference.symbols.count(symbol) for symbol in symbols], dtype=np.int64)
    cell = reference.cell.array * repeats ** (1 / 3)
    splitting = choose_splitting(charged_cell_of(cell, counts, magnitudes, cutoffs), SHARE * accuracy)
    reach = max(splitting.real_cutoff, float(cutoffs.max()))
    kind_of = np.full(ALL_NUMBERS, -1)
    kind_of[[atomic_numbers[symbol] for symbol in symbols]] = np.arange(len(symbols))
    table, pieces_per_A = _pair_table(clouds, len(symbols), splitting.alpha, reach)
    limits = (splitting.alpha, reach, splitting.reciprocal_cutoff, SHORTEST_A, pieces_per_A, COULOMB_CONSTANT_EV_A)
    file.integers("coulomb.local", [int(local)])
    file.reals("coulomb.limits", limits)
    file.integers("coulomb.kind_of", kind_of)
    file.reals("coulomb.table", table)
    file.reals("coulomb.constants", [constants_e[symbol] for symbol in symbols])
    # What a cloud is to itself is part of the energy where charges vary.
    own = COULOMB_CONSTANT_EV_A * clouds.self_interaction if local else np.zeros(len(symbols))
    file.reals("coulomb.own", own)


def _pair_table(clouds: CloudTable, n_kinds: int, alpha: float, reach_A: float) -> tuple[FloatArray, float]:
    """Return polynomials of the screened interaction of unit charges (eV) from the shortest distance on."""
    n_pieces = math.ceil((reach_A - SHORTEST_A) * _PIECES_PER_A)
    pieces_per_A = n_pieces / (reach_A - SHORTEST_A)
    nodes = 0.5 * (1 - np.cos(np.pi * (np.arange(_DEGREE + 1) + 0.5) / (_DEGREE + 1)))
    radii = (SHORTEST_A + (np.arange(n_pieces)[:, None] + nodes) / pieces_per_A).ravel()
    monomials = np.linalg.inv(np.vander(nodes, increasing=True))
    tables = []
    for first in range(n_kinds):
        for second in range(n_kinds):
            row = clouds.pair_index(np.full(len(radii), first), np.full(len(radii), second))
            values = erfc(alpha * radii) / radii + clouds.correction(row, radii)[0]
            values = COULOMB_CONSTANT_EV_A * values.reshape(n_pieces, _DEGREE + 1)
            tables.append(values @ monomials.T)
    return np.array(tables), pieces_per_A
