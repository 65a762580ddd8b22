"""What any kind of model may say of its own errors."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ...core.arrays import FloatArray
from ...core.errors import InputError

if TYPE_CHECKING:
    from ase import Atoms
    from ase.calculators.calculator import Calculator

INTERVAL_LEVEL = 0.95
"""Probability of the intervals that are told."""


class NoPosterior(InputError):
    """A model does not know its own errors; the message says why."""


class ModelPosterior(ABC):
    """Functions that a fit leaves possible; deviations are calibrated: those that left-out errors show.

    Errors that all labels share (those of the reference, of what lies beyond the cutoff in every training cell) are
    not among them.

    Attributes
    ----------
    degrees_of_freedom
        Independent groups of left-out configurations that the calibration rests on, less one.
    """

    degrees_of_freedom: int

    @abstractmethod
    def energy_vectors(self, structures: Sequence[Atoms]) -> FloatArray:
        """Return vectors whose inner products are the covariances of the errors of the energies (eV²).

        A sum Σ c_i E_i of energies of given structures has the standard deviation |Σ c_i v_i|.

        Returns
        -------
        Shape [n_structures, n_dimensions] (eV).
        """

    @abstractmethod
    def label_vectors(self, atoms: Atoms) -> FloatArray:
        """Return the same for everything that a label of a structure would tell: its energy, forces and stress.

        In units of what the fit takes for the labels' errors, and without the calibration, so that
        (1 + Σ V Vᵀ)⁻¹ is what labels leave of the unit covariance.

        Returns
        -------
        Shape [n_dimensions, n_rows].
        """

    @abstractmethod
    def force_stds(self, atoms: Atoms) -> FloatArray:
        """Return the standard deviations of the errors of the force components (eV/Å). Shape [n_atoms, 3]."""

    @abstractmethod
    def sampled_calculator(self, seed: int) -> Calculator:
        """Return a potential drawn from the posterior; equal seeds give equal ones."""

    def difference_std_eV(self, first: Atoms, second: Atoms) -> float:
        """Return the standard deviation of the error of E(second) - E(first) (eV)."""
        before, after = self.energy_vectors([first, second])
        return float(np.linalg.norm(after - before))

    def factor(self, level: float = INTERVAL_LEVEL) -> float:
        """Return the half-width of an interval of some probability in standard deviations.

        Student's t: how far off left-out errors are was itself measured on some groups of configurations.
        """
        return interval_factor(self.degrees_of_freedom, level)

    def half_width(self, standard_deviation: float, level: float = INTERVAL_LEVEL) -> float:
        """Return the half-width of an interval of some probability, in the unit of the standard deviation."""
        return self.factor(level) * standard_deviation


def interval_factor(degrees_of_freedom: int, level: float = INTERVAL_LEVEL) -> float:
    """Return the half-width of Student's central interval in standard deviations."""
    # Models' files are read where nobody asks for intervals.
    from scipy.special import stdtrit

    return float(stdtrit(degrees_of_freedom, 0.5 * (1 + level)))
