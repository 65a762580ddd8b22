"""Short relaxation and Gaussian rattle: makes a drawn ion distribution fit to be labelled."""

from __future__ import annotations

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator

from ..core.errors import AtomsCoincide, InputError, IonloopError
from .relaxation_settings import RelaxationSettings

__all__ = ["Collapsed", "RelaxationError", "relax_and_rattle"]

_RATTLE_ATTEMPTS = 20


class RelaxationError(IonloopError):
    """The configuration could not be made fit for a label; ``reason`` says why."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"the relaxation of a configuration was given up: {reason}")
        self.reason = reason


class Collapsed(RelaxationError):
    """The potential has moved atoms to where it cannot be evaluated; it would do so again."""


def relax_and_rattle(atoms: Atoms, calculator: Calculator, *, settings: RelaxationSettings, seed: int) -> Atoms:
    """Return a copy of ``atoms``, relaxed for a few steps and rattled; no calculator is attached.

    Constraints of ``atoms`` hold in both stages. The rattle is drawn anew, from the same stream, while it
    brings two atoms closer than ``settings.contacts`` allows; the same seed gives the same result.

    Raises
    ------
    RelaxationError
        If the calculator fails, energies or forces are not finite, or atoms stay too close together.
    InputError
        If the seed is negative.
    """
    if seed < 0:
        raise InputError(f"the seed must be 0 or more, not {seed}")
    relaxed = _relax(atoms, calculator, settings)
    contact = settings.contacts.violation(relaxed)
    if contact:
        raise RelaxationError(f"after relaxation {contact}")
    return _rattle(relaxed, settings, np.random.default_rng(np.random.SeedSequence(seed)))


def _relax(atoms: Atoms, calculator: Calculator, settings: RelaxationSettings) -> Atoms:
    moving = atoms.copy()
    if settings.steps == 0:
        return moving
    kept = atoms.positions.copy()
    moving.calc = calculator
    # Samplers are kinds that a campaign file names: to read it takes no optimiser.
    from ase.optimize import FIRE, LBFGS

    optimizers = {"fire": FIRE, "lbfgs": LBFGS}
    optimizer = optimizers[settings.optimizer](moving, logfile=None, maxstep=settings.maximum_step_A)
    try:
        for _ in optimizer.irun(fmax=settings.force_tolerance_eV_per_A, steps=settings.steps):
            if not (np.all(np.isfinite(moving.get_forces())) and np.isfinite(moving.get_potential_energy())):
                raise RelaxationError("energy or forces are not finite numbers")
            displacement_A = np.linalg.norm(moving.positions - atoms.positions, axis=1).max()
            if displacement_A > settings.maximum_displacement_A:
                break
            kept = moving.positions.copy()
    except AtomsCoincide as error:
        raise Collapsed(str(error)) from error
    except (MemoryError, OSError, IonloopError):
        # The machine or the installation failed, or the reason is already told.
        raise
    except Exception as error:  # a calculator is foreign code and may raise anything
        raise RelaxationError(f"the calculator failed ({type(error).__name__}: {error})") from error
    finally:
        moving.calc = None
    moving.positions[:] = kept
    return moving


def _rattle(atoms: Atoms, settings: RelaxationSettings, random: np.random.Generator) -> Atoms:
    if settings.rattle_A == 0:
        return atoms
    for _ in range(_RATTLE_ATTEMPTS):
        rattled = atoms.copy()
        rattled.set_positions(atoms.positions + random.normal(0.0, settings.rattle_A, (len(atoms), 3)))
        contact = settings.contacts.violation(rattled)
        if contact is None:
            return rattled
    raise RelaxationError(
        f"{_RATTLE_ATTEMPTS} random displacements of {settings.rattle_A:g} Å all bring atoms too close; in"
        f" the last {contact}"
    )
