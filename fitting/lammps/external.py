"""LAMMPS's integrators and fixes with our evaluators: ``fix external`` calls back in every step, in one process.

Any model that has an ASE calculator takes part, with the threads that its evaluator has.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from ase import Atoms, units
from ase.calculators.calculator import Calculator, all_changes
from ase.data import atomic_numbers

from ...core.arrays import FloatArray, IntArray
from ...core.errors import InputError
from ..models import MANIFEST_FILE, load_model, read_manifest
from ..native.gap_xml import read_gap_xml
from .deck import SUFFIX, Coefficients, Part, parts_of
from .library import open_lammps, running
from .types import check_masses, numbers_of_types

FIX: Final = "ionloop"
"""Identifier of the fix that LAMMPS calls us with."""
ENERGY_UNITS: Final = {"metal": 1.0, "real": units.mol / units.kcal}
"""LAMMPS's energy per eV, in the unit systems whose lengths are Å."""
_WITH_STRESS = ("energy", "forces", "stress")
_FROM_VOIGT = [0, 1, 2, 5, 4, 3]
"""LAMMPS's order xx yy zz xy xz yz in that of ASE."""


def run_deck(
    deck: Path,
    model: Path | None = None,
    *,
    variables: Mapping[str, str] | None = None,
    log: str = "log.lammps",
    screen: bool = True,
    on_failure: Callable[[BaseException], None] | None = None,
) -> None:
    """Run a LAMMPS input file whose pair style is ionloop with a model of ours.

    Parameters
    ----------
    deck
        The input file; paths in it start where this process is.
    model
        Folder of a model, or the XML file of a GAP, in place of what the deck's ``pair_coeff`` names.
    variables
        Values of LAMMPS's index variables, as its option ``-var``.
    log
        LAMMPS's log file, or "none".
    screen
        Whether LAMMPS writes to the terminal.
    on_failure
        Called when an evaluation fails, inside the step. LAMMPS knows no way back from there: what returns from it
        lets LAMMPS stop the run and read the rest of the deck, which then moves nothing.

    Raises
    ------
    InputError
        If there is no such file, it does not name our style, LAMMPS is missing, or the model does not know the atoms.
    LammpsError
        If LAMMPS refuses a command.
    IonloopError
        If the model cannot be read or an evaluation fails.
    """
    try:
        text = Path(deck).read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"the input file {deck} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise InputError(f"the input file {deck} is not a text file: byte {error.start} is not UTF-8") from None
    parts = parts_of(text, str(deck))
    arguments = ["-log", log, *(() if screen else ("-screen", "none"))]
    for name, value in (variables or {}).items():
        arguments += ["-var", name, *value.split()]
    lammps = open_lammps(arguments)
    try:
        with tempfile.TemporaryDirectory(prefix="ionloop-lammps-") as folder:
            _run_parts(lammps, parts, Path(folder) / Path(deck).name, _Joining(deck, model, on_failure))
    finally:
        lammps.close()


class _Joining:
    """How the model joins a LAMMPS, at the ``pair_coeff`` of a deck."""

    def __init__(self, deck: Path, model: Path | None, on_failure: Callable[[BaseException], None] | None) -> None:
        self._deck = deck
        self._model = model
        self._on_failure = on_failure

    def join(self, lammps: Any, coefficients: Coefficients) -> External:
        """Make the fix, and return what it calls."""
        where = f"{self._deck}, line {coefficients.line}"
        factor = _energy_factor(lammps, where)
        model = self._model if self._model is not None else Path(_expanded(lammps, coefficients.model))
        if model.suffix == SUFFIX:
            raise InputError(
                f"{where}: {model} is for the plug-in of LAMMPS itself; name the model that it was written from with "
                "--model"
            )
        if not model.exists():
            raise InputError(f"{where}: there is no model {model}; name another with --model")
        elements = [word for text in coefficients.elements for word in _expanded(lammps, text).split()]
        numbers = numbers_of_types(elements, lammps.extract_setting("ntypes"), elements_of(model), where)
        for command in (
            f"fix {FIX} all external pf/callback 1 1",
            f"fix_modify {FIX} energy yes virial yes",
        ):
            running(lammps.command, command)
        called = External(lammps, load_model(model), numbers, factor, where, self._on_failure)
        lammps.set_fix_external_callback(FIX, called, None)
        return called


class External:
    """What LAMMPS calls in every step: fills forces, energy, virial and, where the model has them, atoms' energies.

    Parameters
    ----------
    lammps
        Which LAMMPS.
    calculator
        Of the model.
    numbers
        Atomic number of every type, from 1 on.
    energy_factor
        LAMMPS's unit of energy per eV; lengths are Å.
    where
        For messages.
    on_failure
        As in `run_deck`.
    """

    def __init__(
        self,
        lammps: Any,
        calculator: Calculator,
        numbers: IntArray,
        energy_factor: float,
        where: str,
        on_failure: Callable[[BaseException], None] | None = None,
    ) -> None:
        self.failure: BaseException | None = None
        self._lammps = lammps
        self._calculator = calculator
        self._numbers = numbers
        self._factor = energy_factor
        self._where = where
        self._on_failure = on_failure
        self._has_energies = "energies" in calculator.implemented_properties
        self._checked = False

    def __call__(
        self, caller: object, step: int, n_local: int, tags: IntArray, positions: FloatArray, forces: FloatArray
    ) -> None:
        """Evaluate LAMMPS's atoms. What is raised here would be lost: it is kept, and the run is stopped."""
        if self.failure is not None:
            forces[:] = 0.0
            return
        try:
            self._evaluate(n_local, tags, positions, forces)
        except BaseException as error:  # through LAMMPS nothing comes back
            self.failure = error
            forces[:] = 0.0
            if self._on_failure is not None:
                self._on_failure(error)
            self._lammps.force_timeout()

    def _evaluate(self, n_local: int, tags: IntArray, positions: FloatArray, forces: FloatArray) -> None:
        lammps, factor = self._lammps, self._factor
        # LAMMPS sorts atoms by place: in the order of their numbers a continued run is that which was never stopped.
        order = np.argsort(np.ravel(tags), kind="stable")
        types = np.array(lammps.numpy.extract_atom("type", nelem=n_local))
        self._check(n_local, np.ravel(tags)[order], types)
        atoms = self._atoms(types[order], positions[order])
        energies = ["energies"] if self._has_energies else []
        self._calculator.calculate(atoms, self._properties(atoms) + energies, list(all_changes))
        results = self._calculator.results
        forces[order] = factor * results["forces"]
        lammps.fix_external_set_energy_global(FIX, factor * float(results["energy"]))
        lammps.fix_external_set_virial_global(FIX, self._virial(results, atoms).tolist())
        if energies:
            own = np.empty(n_local)
            own[order] = factor * results["energies"]
            lammps.fix_external_set_energy_peratom(FIX, own.tolist())

    def _atoms(self, types: IntArray, positions: FloatArray) -> Atoms:
        low, high, xy, yz, xz, periodic, _ = self._lammps.extract_box()
        lengths = np.subtract(high, low)
        cell = np.array([[lengths[0], 0, 0], [xy, lengths[1], 0], [xz, yz, lengths[2]]])
        return Atoms(numbers=self._numbers[types], positions=positions, cell=cell, pbc=[bool(one) for one in periodic])

    def _properties(self, atoms: Atoms) -> list[str]:
        # Without a periodic direction there is no pressure, whatever box LAMMPS draws around the atoms.
        return list(_WITH_STRESS if atoms.pbc.any() else _WITH_STRESS[:-1])

    def _virial(self, results: Mapping[str, Any], atoms: Atoms) -> FloatArray:
        stress = results.get("stress")
        if stress is None:
            if atoms.pbc.any():
                raise InputError(f"{self._where}: the model gives no stress of a cell that is periodic like this one")
            return np.zeros(6)
        return np.asarray(-self._factor * atoms.get_volume() * np.asarray(stress)[_FROM_VOIGT])

    def _check(self, n_local: int, tags: IntArray, types: IntArray) -> None:
        if n_local != self._lammps.get_natoms():
            raise InputError(f"{self._where}: only {n_local} of {self._lammps.get_natoms():g} atoms are here")
        if self._checked:
            return
        if n_local and tags[0] < 1:
            raise InputError(f"{self._where}: the atoms have no numbers (atom_modify id no): they need them")
        masses = self._lammps.numpy.extract_atom("mass", nelem=len(self._numbers))
        if masses is not None:
            check_masses(self._numbers, np.ravel(masses), self._where)
        self._checked = True


def elements_of(model: Path) -> frozenset[int]:
    """Return the atomic numbers that a model knows; 0 stands for any.

    Raises
    ------
    InputError, IonloopError
        If it cannot be read.
    """
    path = Path(model)
    if path.is_file() and path.name != MANIFEST_FILE:
        return read_gap_xml(path).known_atomic_numbers
    folder = path.parent if path.is_file() else path
    return frozenset(atomic_numbers[symbol] for symbol in read_manifest(folder, verify=False).elements)


def _run_parts(lammps: Any, parts: list[Part], file: Path, joining: _Joining) -> None:
    joined: External | None = None
    for part in parts:
        file.write_text(part.text, encoding="utf-8")
        running(lammps.file, str(file))
        if joined is not None and joined.failure is not None:
            raise joined.failure
        if part.coefficients is not None:
            if joined is not None and lammps.has_id("fix", FIX):
                running(lammps.command, f"unfix {FIX}")
            joined = joining.join(lammps, part.coefficients)


def _energy_factor(lammps: Any, where: str) -> float:
    style = str(lammps.extract_global("units"))
    factor = ENERGY_UNITS.get(style, math.nan)
    if math.isnan(factor):
        raise InputError(
            f"{where}: the deck has `units {style}`; ionloop runs with {' or '.join(ENERGY_UNITS)}. Write "
            "`units metal` at its top: eV, Å, ps"
        )
    return factor


def _expanded(lammps: Any, text: str) -> str:
    """Return a word of the deck with LAMMPS's variables replaced."""
    return str(running(lammps.expand, text)).strip() if "$" in text else text
