"""Charges that depend on the environment, fitted together with the GAP: q_i = c + u_i, less the mean of all.

u_i is a sparse kernel model on the GAP's own sparse points. Nothing but energies, forces and virials is fitted, as in
latent Ewald summation (Cheng, npj Comput. Mater. 2025, 11, 80).
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Final, Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt

from ...core.citations import Citation
from ...core.errors import InputError
from ..settings import CommonBaselineSettings, ElementSymbol, GapSettings
from .base import BaselineKind
from .sections import BaselineSection, Charges

if TYPE_CHECKING:
    from ase.calculators.calculator import Calculator

    from ..kinds.base import FitEstimate, FitReport, FitRequest
    from .charged_fit import ChargedFitSettings
    from .charges_file import ChargesFile

DEFAULT_SPREAD_E = 0.05
DEFAULT_FRACTION = 0.35
DEFAULT_STARTS = (0.3, 1.0, 1.7)
DEFAULT_STEPS = 12
DEFAULT_TOLERANCE = 2e-3
# Of the estimate of a fit: triangles in memory, and fits of the GAP that both fits of charges take.
_BYTES_PER_REAL, _TRIANGLES, _FITS = 8, 4, 25
_DESCRIBED = {
    "spread_e": "Prior standard deviation of what the environment adds to an atom's charge (e)",
    "constant_std_e": "Prior standard deviation of the species' charges about those given; 0 holds them (e)",
    "starts": "Factors of the charges that fits start from, where those are not held; the best goes on (no unit)",
    "most_steps": "Steps after which the fit of the charges ends (count)",
    "tolerance": "Relative fall of the sum of squares below which the charges have converged (no unit)",
    "widths_A": "Standard deviation of Gaussian charges by element (Å); empty: Slater charges with the exponents",
    "short_range_control": "Fit the same freedom with an interaction that ends too, and tell both errors (yes or no)",
}


class LocalSection(BaselineSection):
    """Charges that depend on the environment, fitted together with the model to energies, forces and virials."""

    kind: Literal["local"] = Field("local", description="Kind of baseline: charges follow the environment (name)")
    charges: Charges = Field(
        "formal",
        description="Charge of every species (e) about which the environment changes it, e.g. {Li: 0.35, P: 1.75, S: "
        "-0.7}; formal: formal charges times formal_fraction; fit: fitted to the reference's locality; {fit: error}: "
        "fitted to ES-GAP's leave-out error",
    )
    formal_fraction: float = Field(
        DEFAULT_FRACTION,
        gt=0,
        le=1,
        description="Part of the formal charges that is used with charges: formal (no unit)",
    )
    spread_e: PositiveFloat = Field(DEFAULT_SPREAD_E, le=2, description=_DESCRIBED["spread_e"])
    constant_std_e: NonNegativeFloat = Field(0.0, le=100, description=_DESCRIBED["constant_std_e"])
    starts: tuple[PositiveFloat, ...] = Field(
        DEFAULT_STARTS, min_length=1, max_length=10, description=_DESCRIBED["starts"]
    )
    most_steps: PositiveInt = Field(DEFAULT_STEPS, le=200, description=_DESCRIBED["most_steps"])
    tolerance: PositiveFloat = Field(DEFAULT_TOLERANCE, lt=1, description=_DESCRIBED["tolerance"])
    widths_A: dict[ElementSymbol, PositiveFloat] = Field(default_factory=dict, description=_DESCRIBED["widths_A"])
    short_range_control: bool = Field(True, description=_DESCRIBED["short_range_control"])


class LocalSettings(CommonBaselineSettings):
    """What models on local charges are made with; the charges are those of the species."""

    kind: Literal["local"] = Field("local", description="Kind of baseline: charges follow the environment (name)")
    spread_e: PositiveFloat = Field(DEFAULT_SPREAD_E, description=_DESCRIBED["spread_e"])
    constant_std_e: NonNegativeFloat = Field(0.0, description=_DESCRIBED["constant_std_e"])
    starts: tuple[PositiveFloat, ...] = Field(DEFAULT_STARTS, min_length=1, description=_DESCRIBED["starts"])
    most_steps: PositiveInt = Field(DEFAULT_STEPS, description=_DESCRIBED["most_steps"])
    tolerance: PositiveFloat = Field(DEFAULT_TOLERANCE, lt=1, description=_DESCRIBED["tolerance"])
    widths_A: dict[ElementSymbol, PositiveFloat] = Field(default_factory=dict, description=_DESCRIBED["widths_A"])
    short_range_control: bool = Field(True, description=_DESCRIBED["short_range_control"])


class LocalKind(BaselineKind):
    """Level 1: a local kernel model of the charges, whose Coulomb energy is fitted with the GAP."""

    name = "local"
    rank = 20
    section_type = LocalSection
    settings_type = LocalSettings
    is_fitted = True
    why_no_field = (
        "that follow the environment: a field acts on their Born charges, which raw latent charges are not; take fixed "
        "charges for fields"
    )
    citations: ClassVar[tuple[Citation, ...]] = (
        Citation("Charges from energies and forces", "B. Cheng, npj Comput. Mater. 2025, 11, 80"),
    )

    def fit_with_gap(self, request: FitRequest) -> FitReport:
        """Fit GAP and charges together; the GAP's files and ``charges.json`` appear in the request's folder."""
        from .fitted_charges import fit_with_gap

        if not isinstance(request.settings, GapSettings) or request.baseline is None:
            raise InputError(f"{self.name} charges are fitted with a GAP's settings")
        return fit_with_gap(request, request.settings, self.fit_settings(_local(request.baseline)))

    def load_with_gap(self, folder: Path, settings: CommonBaselineSettings) -> Calculator:
        """Return the model in a folder: GAP and charges, which share the matrix products."""
        from .fitted_charges import load_with_gap

        return load_with_gap(folder, self.fit_settings(_local(settings)), self.why_no_field)

    def charges_of_fit(self, folder: Path) -> ChargesFile:
        """Return the charges of a model's folder."""
        from .charges_file import read_charges

        return read_charges(folder)

    def with_fit(self, estimate: FitEstimate) -> FitEstimate:
        """Return what both take: nearly twice the columns, and a fit for every step, of the control too."""
        more = 2 * estimate.columns
        return replace(
            estimate,
            columns=more,
            memory_bytes=estimate.memory_bytes + _BYTES_PER_REAL * _TRIANGLES * (more**2 - estimate.columns**2),
            time_s=_FITS * estimate.time_s,
        )

    def fit_settings(self, settings: LocalSettings) -> ChargedFitSettings:
        """Return what determines the charges' part of a fit."""
        from .charge_models import LocalCharges
        from .charged_fit import ChargedFitSettings
        from .joint_fit import ChargePrior

        prior = ChargePrior(
            constants_e=(),
            spread_e=settings.spread_e,
            constant_std_e=settings.constant_std_e,
            starts=settings.starts,
            most_steps=settings.most_steps,
            tolerance=settings.tolerance,
        )
        return ChargedFitSettings(
            kind=self.name,
            model=LocalCharges(),
            charges_e=settings.charges,
            exponents_per_A=settings.exponents,
            widths_A=settings.widths_A,
            accuracy=settings.accuracy,
            prior=prior,
            has_control=settings.short_range_control,
        )

    def methods(self, section: BaselineSection) -> str:
        """Return what it is made of."""
        assert isinstance(section, LocalSection)
        clouds = "Gaussian" if section.widths_A else "Slater-distributed"
        return (
            f"an electrostatic baseline of {clouds} charges in an Ewald sum, to which each atom's environment adds "
            f"what a kernel model on the GAP's sparse points says (prior standard deviation {section.spread_e:g} e), "
            "fitted together with the GAP to energies, forces and virials"
        )


LOCAL: Final = LocalKind()


def _local(settings: CommonBaselineSettings) -> LocalSettings:
    if not isinstance(settings, LocalSettings):
        raise InputError(f"local charges need LocalSettings, not {type(settings).__name__}")
    return settings
