"""Energy against volume of isotropically strained cells, and the equation of state through it.

The equation of state is Birch's of third order (Phys. Rev. 1947, 71, 809, 10.1103/PhysRev.71.809), fitted by
ASE; with x = V0/V::

    E(V) = E0 + (9 V0 B0 / 16) {(x^(2/3) - 1)³ B0' + (x^(2/3) - 1)² [6 - 4 x^(2/3)]}
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator
from ase.units import GPa
from numpy.typing import ArrayLike
from pydantic import Field

from ...core.arrays import FloatArray
from ...core.errors import InputError, IonloopError
from ...core.settings import FrozenModel
from ..fixed_cell_relaxation_settings import FixedCellRelaxation
from .settings import PARAMETERS

# Part of the bulk modulus: points that scatter about one curve stay far below, a step between two curves does not.
_LARGEST_ERROR = 0.3
_DOUBTFUL_ERROR = 0.05
# More than twice that of diamond (GPa).
_HARDEST_GPA = 1000.0


class EquationOfStateError(IonloopError):
    """No equation of state goes through the points."""


@dataclass(frozen=True)
class EnergyVolumePoint:
    """One cell of the curve.

    Attributes
    ----------
    atoms
        The cell with its ions where the energy was taken.
    strain
        Relative change of the cell's lengths (no unit).
    energy_eV
        Energy of the whole cell (eV).
    converged, reason
        Whether the ions' relaxation converged, and why not.
    """

    atoms: Atoms
    strain: float
    energy_eV: float
    converged: bool = True
    reason: str = ""

    @property
    def volume_A3(self) -> float:
        """Volume of the whole cell (Å³)."""
        return float(self.atoms.get_volume())


class BirchMurnaghanFit(FrozenModel):
    """Parameters of the equation of state, per atom, with standard errors.

    The standard errors follow from the covariance of the least-squares fit: they measure how well the points
    agree with Birch's form, not how far a potential is from nature.
    """

    energy_eV_per_atom: float = Field(description="Energy at the minimum (eV/atom)")
    volume_A3_per_atom: float = Field(description="Volume at the minimum (Å³/atom)")
    volume_standard_error_A3_per_atom: float = Field(description="Its standard error (Å³/atom)")
    bulk_modulus_GPa: float = Field(description="Bulk modulus at the minimum (GPa)")
    bulk_modulus_standard_error_GPa: float = Field(description="Its standard error (GPa)")
    bulk_modulus_derivative: float = Field(description="Derivative of the bulk modulus by pressure (no unit)")
    bulk_modulus_derivative_standard_error: float = Field(description="Its standard error (no unit)")
    residual_eV_per_atom: float = Field(description="Root of the mean squared distance of the points (eV/atom)")
    bracketed: bool = Field(description="Whether the minimum lies within the volumes (yes or no)")

    def energies_eV_per_atom(self, volumes_A3_per_atom: ArrayLike) -> FloatArray:
        """Return the energies (eV/atom) at these volumes (Å³/atom), same shape."""

        from ase.eos import birchmurnaghan

        return np.asarray(
            birchmurnaghan(
                np.asarray(volumes_A3_per_atom, dtype=np.float64),
                self.energy_eV_per_atom,
                self.bulk_modulus_GPa * GPa,
                self.bulk_modulus_derivative,
                self.volume_A3_per_atom,
            ),
            dtype=np.float64,
        )


def strained(atoms: Atoms, strain: float) -> Atoms:
    """Return a copy with all lengths of cell and structure changed by the factor 1 + ``strain``.

    Raises
    ------
    InputError
        If the structure has no volume, or the strain would leave none.
    """
    if not atoms.pbc.all() or atoms.cell.rank < 3:
        raise InputError("an energy-volume curve needs a crystal, periodic in all three directions")
    if strain <= -1:
        raise InputError(f"a strain of {strain:g} leaves no cell; strains are above -1")
    copy = atoms.copy()
    copy.set_cell(atoms.cell.array * (1 + strain), scale_atoms=True)
    return copy


def energy_volume_point(
    atoms: Atoms, calculator: Calculator, strain: float, relaxation: FixedCellRelaxation | None
) -> EnergyVolumePoint:
    """Return the energy of ``atoms`` strained by ``strain``, ions relaxed unless ``relaxation`` is None.

    Give relaxed ``atoms``: cells that start from the same unrelaxed ions fall into different basins.

    Raises
    ------
    InputError
        If the structure is not periodic.
    RelaxationFailed
        If the calculator fails during a relaxation.
    """

    from ..fixed_cell_relaxation import relax_ions

    cell = strained(atoms, strain)
    if relaxation is not None:
        relaxed = relax_ions(cell, calculator, relaxation)
        return EnergyVolumePoint(relaxed.atoms, strain, relaxed.energy_eV, relaxed.converged, relaxed.reason)
    return single_point(cell, calculator, strain)


def single_point(atoms: Atoms, calculator: Calculator, strain: float) -> EnergyVolumePoint:
    """Return the energy of ``atoms`` as they are; ``strain`` only says which cell of the curve they are.

    Raises
    ------
    EquationOfStateError
        If the energy is not a finite number.
    """
    evaluated = atoms.copy()
    evaluated.calc = calculator
    energy_eV = float(evaluated.get_potential_energy())
    evaluated.calc = None
    if not np.isfinite(energy_eV):
        raise EquationOfStateError(f"the energy at strain {strain:g} is not a finite number")
    return EnergyVolumePoint(evaluated, strain, energy_eV)


def fit_birch_murnaghan(volumes_A3_per_atom: ArrayLike, energies_eV_per_atom: ArrayLike) -> BirchMurnaghanFit:
    """Fit Birch's equation of state to volumes (Å³/atom) and energies (eV/atom), both of shape [n_points].

    ASE finds the parameters; their covariance follows from the Jacobian there, scaled by the residuals.

    Raises
    ------
    InputError
        If there are fewer than five different volumes.
    EquationOfStateError
        If the energy has no minimum that the fit can find.
    """

    from ase.eos import EquationOfState, birchmurnaghan
    from scipy.optimize import OptimizeWarning, curve_fit

    volumes = np.asarray(volumes_A3_per_atom, dtype=np.float64)
    energies = np.asarray(energies_eV_per_atom, dtype=np.float64)
    if len(np.unique(volumes)) < PARAMETERS + 1:
        raise InputError(
            f"an equation of state has {PARAMETERS} parameters: give {PARAMETERS + 1} volumes or more, not "
            f"{len(np.unique(volumes))}"
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", OptimizeWarning)
            warnings.simplefilter("ignore", RuntimeWarning)  # powers of negative trial volumes; the fit recovers
            # Total energies of all electrons are millions of times the depth of the curve.
            relative = energies - energies.mean()
            equation = EquationOfState(volumes, relative, eos="birchmurnaghan")
            equation.fit(warn=False)
            found, covariance = curve_fit(birchmurnaghan, volumes, relative, p0=equation.eos_parameters)
    except (RuntimeError, ValueError, OptimizeWarning) as error:
        raise EquationOfStateError(
            "no equation of state goes through the energies: they do not lie on a curve with one minimum"
        ) from error
    energy, modulus, derivative, volume = (float(value) for value in found)
    if not (modulus > 0 and volume > 0 and np.all(np.isfinite(covariance))):
        raise EquationOfStateError(
            f"the energies have no minimum near these volumes ({volumes.min():.4g} to {volumes.max():.4g} Å³/atom)"
        )
    errors = np.sqrt(np.diag(covariance))
    if errors[1] > _LARGEST_ERROR * modulus:
        raise EquationOfStateError(
            f"the energies do not lie on one curve: their bulk modulus would be {modulus / GPa:.3g} ±"
            f" {errors[1] / GPa:.3g} GPa; are other crystals or other settings among them?"
        )
    residual = relative - birchmurnaghan(volumes, *found)
    return BirchMurnaghanFit(
        energy_eV_per_atom=energy + float(energies.mean()),
        volume_A3_per_atom=volume,
        volume_standard_error_A3_per_atom=float(errors[3]),
        bulk_modulus_GPa=modulus / GPa,
        bulk_modulus_standard_error_GPa=float(errors[1]) / GPa,
        bulk_modulus_derivative=derivative,
        bulk_modulus_derivative_standard_error=float(errors[2]),
        residual_eV_per_atom=float(np.sqrt(np.mean(residual**2))),
        bracketed=bool(volumes.min() < volume < volumes.max()),
    )


def doubts(fit: BirchMurnaghanFit) -> tuple[str, ...]:
    """Return what makes one doubt that all points lie on the curve of one crystal, and in the right units."""
    found = []
    if fit.bulk_modulus_GPa > _HARDEST_GPA:
        found.append(
            f"no crystal has a bulk modulus of {fit.bulk_modulus_GPa:.0f} GPa: energies are not in eV, volumes not in"
            " Å³, or the cells are of several crystals"
        )
    uncertain = fit.bulk_modulus_standard_error_GPa / fit.bulk_modulus_GPa
    if uncertain > _DOUBTFUL_ERROR:
        found.append(
            f"the points scatter about the curve by {1000 * fit.residual_eV_per_atom:.2g} meV/atom, which leaves the"
            f" bulk modulus uncertain by {uncertain:.0%}: other crystals, other settings or unrelaxed cells may be"
            " among them"
        )
    if not fit.bracketed:
        found.append("the minimum lies outside these volumes: take more of them")
    return tuple(found)


def fit_points(points: Sequence[EnergyVolumePoint]) -> BirchMurnaghanFit:
    """Fit Birch's equation of state to points of the same structure.

    Raises
    ------
    InputError, EquationOfStateError
        As `fit_birch_murnaghan`.
    """
    sizes = np.array([len(point.atoms) for point in points], dtype=np.float64)
    volumes = np.array([point.volume_A3 for point in points])
    energies = np.array([point.energy_eV for point in points])
    return fit_birch_murnaghan(volumes / sizes, energies / sizes)
