"""Energy, forces, stress, charges and dipole out of any ASE calculator, and its errors put into the engine's words."""

from __future__ import annotations

import re
import signal
import subprocess
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, SCFError

from ..core.arrays import FloatArray
from ..core.states import State
from .engine import EngineFailure, NotConverged
from .outcome import Evaluation, optional_array

# How codes and ASE's interfaces say it: "SCF not converged in 2 cycles" (tblite), KohnShamConvergenceError
# (GPAW), "did not converge", "failed to converge", "convergence not achieved" (Quantum ESPRESSO).
_SAYS_UNCONVERGED = re.compile(
    r"not\s+(been\s+)?converge|unconverged|n't\s+converge|fail(ed|s|ure)?\s+to\s+converge|"
    r"convergence\s*(error|failure|failed|(was\s+)?not)",
    re.IGNORECASE,
)
# Codes sum the halves of a stress in different orders, some in single precision.
LARGEST_ASYMMETRY = 1e-3
"""Largest difference of two components of a stress that are equal in theory, of its largest component."""
LARGEST_ASYMMETRY_EV_PER_A3 = 1e-6
"""Such a difference that is always let pass (eV/Å³)."""
# A shell or an MPI launcher reports a child that died of signal n as exit status 128 + n.
_SHELL_SIGNAL_OFFSET = 128
_KILLED_FROM_OUTSIDE = frozenset({signal.SIGKILL, signal.SIGTERM, signal.SIGXCPU})


def evaluate_with_calculator(atoms: Atoms, calculator: Calculator) -> Evaluation:
    """Return energy, forces and, where the calculator has them, stress, charges and dipole of ``atoms``.

    The energy is the one whose derivative the forces are: ASE's ``free_energy`` if there is one, else
    ``energy``. A calculator that lists a stress among its properties must give one of a crystal.

    Raises
    ------
    NotConverged
        If the calculator says so by an error, or silently by an attribute ``converged`` that is False.
    EngineFailure
        If the calculator has no energy or no forces, or a stress that it should have is missing or none.
    """
    copy = atoms.copy()
    try:
        forces = calculator.get_property("forces", copy)
        energy = calculator.get_property("energy", copy)
    except NotImplementedError as error:
        raise EngineFailure(f"the calculator does not give energy and forces: {one_line(error)}") from error
    results: dict[str, Any] = calculator.results
    if results.get("free_energy") is not None:
        energy = results["free_energy"]
    _check_attribute(calculator)
    if energy is None or forces is None:
        raise EngineFailure(f"the calculator gave no {'energy' if energy is None else 'forces'}")
    return Evaluation(
        energy=_number(energy),
        forces=np.array(forces, dtype=float),
        stress=_stress(copy, calculator) if copy.pbc.all() else None,
        charges=_optional_property(copy, calculator, "charges"),
        # In a crystal the sum over a cell depends on where the cell is cut.
        dipole=None if copy.pbc.any() else _optional_property(copy, calculator, "dipole"),
    )


def _check_attribute(calculator: Calculator) -> None:
    """Refuse what the calculator itself calls unconverged, by an attribute or among its results."""
    for said in (getattr(calculator, "converged", None), calculator.results.get("converged")):
        # NumPy's False is another object than Python's.
        if isinstance(said, bool | np.bool_) and not said:
            raise NotConverged("the calculator's attribute `converged` is False")


def _stress(atoms: Atoms, calculator: Calculator) -> FloatArray | None:
    if "stress" not in calculator.implemented_properties and "stress" not in calculator.results:
        return None
    try:
        values = calculator.get_property("stress", atoms)
    except NotImplementedError as error:
        raise EngineFailure(f"the calculator lists a stress and does not give it: {one_line(error)}") from error
    return stress_of(values, "the calculator's result")


def stress_of(values: Any, where: str) -> FloatArray:
    """Return a stress in Voigt order xx, yy, zz, yz, xz, xy, shape (6,), given so or as a 3x3 matrix.

    Numbers that are not finite stay: the checks of results reject them.

    Parameters
    ----------
    values
        What an engine gave, in ASE's sign and units; None if it gave nothing.
    where
        Where it was looked for, for the message.

    Raises
    ------
    EngineFailure
        If there is none, or it has another shape, is no numbers, or is a matrix that is not symmetric: it was asked
        for, and a label that lacks it in silence would make a data set with some.
    """
    if values is None:
        raise EngineFailure(f"{where} has no stress, which was asked for")
    try:
        stress = np.asarray(values, dtype=float)
    except (TypeError, ValueError) as error:
        raise EngineFailure(f"{where} has a stress that is not numbers: {one_line(error)}") from error
    if stress.shape == (6,):
        return stress
    if stress.shape != (3, 3):
        raise EngineFailure(f"{where} has a stress of shape {stress.shape}, expected (6,) or (3, 3)")
    if np.isfinite(stress).all():
        asymmetry = float(np.abs(stress - stress.T).max())
        if asymmetry > max(LARGEST_ASYMMETRY * float(np.abs(stress).max()), LARGEST_ASYMMETRY_EV_PER_A3):
            raise EngineFailure(
                f"{where} has a stress that is not symmetric: components that should be equal differ by "
                f"{asymmetry:.2g} eV/Å³"
            )
    symmetric = (stress + stress.T) / 2
    return np.array([symmetric[i, j] for i, j in ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))])


def _number(value: Any) -> float:
    array = np.asarray(value, dtype=float)
    if array.size != 1:
        raise EngineFailure(f"the engine gave an energy of shape {array.shape}, expected one number")
    return float(array.reshape(()))


def _optional_property(atoms: Atoms, calculator: Calculator, name: str) -> np.ndarray | None:
    if name not in calculator.implemented_properties and name not in calculator.results:
        return None
    try:
        return optional_array(calculator.get_property(name, atoms))
    except NotImplementedError:
        return None


def failure_of(error: Exception) -> EngineFailure:
    """Return what ``error``, raised by any calculator, means for the label."""
    if isinstance(error, EngineFailure):
        return error
    if isinstance(error, subprocess.CalledProcessError):
        return exit_failure(error.returncode, f"command {error.cmd!r}")
    if isinstance(error, FileNotFoundError) and error.filename is not None:
        return EngineFailure(f"'{error.filename}' not found")
    message = f"{type(error).__name__}: {one_line(error)}"
    if isinstance(error, SCFError) or _SAYS_UNCONVERGED.search(message):
        return NotConverged(message)
    if isinstance(error, MemoryError):
        return EngineFailure(f"memory: an allocation was refused ({message})", State.KILLED)
    return EngineFailure(message)


def exit_failure(return_code: int, what: str) -> EngineFailure:
    """Return what it means that ``what`` ended with ``return_code`` (negative: died of that signal)."""
    number = return_code - _SHELL_SIGNAL_OFFSET if return_code > _SHELL_SIGNAL_OFFSET else -return_code
    try:
        died_of = signal.Signals(number)
    except ValueError:
        return EngineFailure(f"{what} ended with exit status {return_code}")
    if died_of in _KILLED_FROM_OUTSIDE:
        return EngineFailure(
            f"{what} was killed from outside by {died_of.name}: the machine ran out of memory, or the queue "
            "system or a person ended it",
            State.KILLED,
        )
    return EngineFailure(f"{what} crashed: died of {died_of.name}")


def one_line(error: object) -> str:
    """Return the first words of an error's message, on one line."""
    longest = 300
    text = " ".join(str(error).split())
    return text if len(text) <= longest else text[: longest - 1] + "…"
