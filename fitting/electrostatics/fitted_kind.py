"""What baselines share whose charges are fitted together with a GAP: sections, settings, fits, folders."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pydantic import (
    Field,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    SerializerFunctionWrapHandler,
    model_serializer,
)

from ...core.citations import Citation
from ...core.errors import InputError
from ..settings import CommonBaselineSettings, ElementSymbol, GapSettings
from .base import BaselineKind
from .sections import BaselineSection, Charges

if TYPE_CHECKING:
    from ase.calculators.calculator import Calculator

    from ..data_sets import DataSet
    from ..kinds.base import FitEstimate, FitReport, FitRequest
    from ..native.gap_xml import GapModel
    from .charges_file import ChargesFile
    from .joint.charge_models import ChargeModel
    from .joint.charged_fit import ChargedFitSettings
    from .joint.joint_fit import ChargePrior

DEFAULT_FRACTION = 0.35
DEFAULT_STARTS = (0.3, 1.0, 1.7)
DEFAULT_STEPS = 12
DEFAULT_TOLERANCE = 2e-3
# Of the estimate of a fit: triangles in memory, and fits of the GAP that both fits of charges take.
_BYTES_PER_REAL, _TRIANGLES, _FITS = 8, 4, 15
_DESCRIBED = {
    "constant_std_e": "Prior standard deviation of the species' charges about those given; 0 holds them (e)",
    "starts": "Factors of the charges that fits start from, where those are not held; the best goes on (no unit)",
    "most_steps": "Steps after which the fit of the charges ends (count)",
    "tolerance": "Relative fall of the sum of squares below which the charges have converged (no unit)",
    "widths_A": "Standard deviation of Gaussian charges by element (Å); empty: Slater charges with the exponents",
    "mean_std_e": "Prior standard deviation of the species' mean charges about those given; null: environments shift "
    "them as far as each atom's (e)",
    "charge_sigma_e": "Standard deviation of charges that are labels; null leaves them out (e)",
    "dipole_sigma_eA": "Standard deviation of dipoles of molecules that are labels; null leaves them out (e Å)",
    "short_range_control": "Fit the same freedom with an interaction that ends too, and tell both errors (yes or no)",
}

_LATER = frozenset({"charge_sigma_e", "dipole_sigma_eA", "mean_std_e"})
CHARGES_FROM_FORCES: Final = Citation("Charges from energies and forces", "B. Cheng, npj Comput. Mater. 2025, 11, 80")


class FittedSection(BaselineSection):
    """What sections have of charges that are fitted together with the model to energies, forces and virials."""

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
    most_steps: PositiveInt = Field(DEFAULT_STEPS, le=200, description=_DESCRIBED["most_steps"])
    tolerance: PositiveFloat = Field(DEFAULT_TOLERANCE, lt=1, description=_DESCRIBED["tolerance"])
    widths_A: dict[ElementSymbol, PositiveFloat] = Field(default_factory=dict, description=_DESCRIBED["widths_A"])
    short_range_control: bool = Field(True, description=_DESCRIBED["short_range_control"])
    mean_std_e: PositiveFloat | None = Field(None, description=_DESCRIBED["mean_std_e"])
    charge_sigma_e: PositiveFloat | None = Field(None, description=_DESCRIBED["charge_sigma_e"])
    dipole_sigma_eA: PositiveFloat | None = Field(None, description=_DESCRIBED["dipole_sigma_eA"])


class FittedSettings(CommonBaselineSettings):
    """What settings have of charges that are fitted together with the model; the charges are those of the species."""

    most_steps: PositiveInt = Field(DEFAULT_STEPS, description=_DESCRIBED["most_steps"])
    tolerance: PositiveFloat = Field(DEFAULT_TOLERANCE, lt=1, description=_DESCRIBED["tolerance"])
    widths_A: dict[ElementSymbol, PositiveFloat] = Field(default_factory=dict, description=_DESCRIBED["widths_A"])
    short_range_control: bool = Field(True, description=_DESCRIBED["short_range_control"])
    mean_std_e: PositiveFloat | None = Field(None, description=_DESCRIBED["mean_std_e"])
    charge_sigma_e: PositiveFloat | None = Field(None, description=_DESCRIBED["charge_sigma_e"])
    dipole_sigma_eA: PositiveFloat | None = Field(None, description=_DESCRIBED["dipole_sigma_eA"])

    @model_serializer(mode="wrap")
    def _without_what_came_later(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out what is not set of what there was not at first: models of then keep their names."""
        values: dict[str, Any] = handler(self)
        return {name: value for name, value in values.items() if value is not None or name not in _LATER}


class FreeConstantsSection(FittedSection):
    """What sections have where the constants that are fitted are charges."""

    constant_std_e: NonNegativeFloat = Field(0.0, le=100, description=_DESCRIBED["constant_std_e"])
    starts: tuple[PositiveFloat, ...] = Field(
        DEFAULT_STARTS, min_length=1, max_length=10, description=_DESCRIBED["starts"]
    )


class FreeConstantsSettings(FittedSettings):
    """What settings have where the constants that are fitted are charges."""

    constant_std_e: NonNegativeFloat = Field(0.0, description=_DESCRIBED["constant_std_e"])
    starts: tuple[PositiveFloat, ...] = Field(DEFAULT_STARTS, min_length=1, description=_DESCRIBED["starts"])

    def prior(self, spread_e: float) -> ChargePrior:
        """Return what is believed of the charges: of what the environment changes, to within ``spread_e`` (e)."""
        from .joint.joint_fit import ChargePrior

        return ChargePrior(
            constants=(),
            spread=spread_e,
            constant_std=self.constant_std_e,
            starts=self.starts,
            most_steps=self.most_steps,
            tolerance=self.tolerance,
        )


class FittedKind(BaselineKind):
    """A kind whose charges a fit finds with the GAP; one says how charges follow, and what is believed of them."""

    is_fitted = True

    @abstractmethod
    def charge_model(self, settings: CommonBaselineSettings, symbols: Sequence[str]) -> ChargeModel:
        """Return what turns the local quantity into charges, for species in this order."""

    @abstractmethod
    def prior(self, settings: CommonBaselineSettings) -> ChargePrior:
        """Return what is believed of the charges; its constants are not read."""

    def fit_with_gap(self, request: FitRequest) -> FitReport:
        """Fit GAP and charges together; the GAP's files and ``charges.json`` appear in the request's folder."""
        from .joint.fitted_charges import fit_with_gap

        if not isinstance(request.settings, GapSettings) or request.baseline is None:
            raise InputError(f"{self.name} charges are fitted with a GAP's settings")
        return fit_with_gap(request, request.settings, self.fit_settings(request.baseline))

    def load_with_gap(self, folder: Path, settings: CommonBaselineSettings, gap: GapModel | None = None) -> Calculator:
        """Return the model in a folder: GAP and charges, which share the matrix products."""
        from .joint.fitted_charges import load_with_gap

        return load_with_gap(folder, self.fit_settings(settings), self.why_no_field(settings), other=gap)

    def alone(self, folder: Path, settings: CommonBaselineSettings) -> Calculator:
        """Return the charges of the model in a folder without the GAP that they were fitted with."""
        from .joint.fitted_charges import load_with_gap

        return load_with_gap(folder, self.fit_settings(settings), self.why_no_field(settings), without_gap=True)

    def charges_of_fit(self, folder: Path) -> ChargesFile:
        """Return the charges of a model's folder."""
        from .charges_file import read_charges

        return read_charges(folder)

    def charge_labels_hash(self, settings: CommonBaselineSettings, data_set: DataSet) -> str | None:
        """Return a hash of charges and dipoles that are fitted; None without any."""
        assert isinstance(settings, FittedSettings)
        return data_set.charge_labels_hash(
            charges=settings.charge_sigma_e is not None, dipoles=settings.dipole_sigma_eA is not None
        )

    def with_fit(self, estimate: FitEstimate) -> FitEstimate:
        """Return what both take: nearly twice the columns, and a fit for every step, of the control too."""
        more = 2 * estimate.columns
        return replace(
            estimate,
            columns=more,
            memory_bytes=estimate.memory_bytes + _BYTES_PER_REAL * _TRIANGLES * (more**2 - estimate.columns**2),
            time_s=_FITS * estimate.time_s,
        )

    def fit_settings(self, settings: CommonBaselineSettings) -> ChargedFitSettings:
        """Return what determines the charges' part of a fit.

        Raises
        ------
        InputError
            If the settings are not of this kind.
        """
        from .joint.charged_fit import ChargedFitSettings
        from .joint.label_rows import LabelSigmas

        if not isinstance(settings, self.settings_type) or not isinstance(settings, FittedSettings):
            raise InputError(f"{self.name} charges need {self.settings_type.__name__}, not {type(settings).__name__}")
        return ChargedFitSettings(
            kind=self.name,
            model_of=lambda symbols: self.charge_model(settings, symbols),
            charges_e=settings.charges,
            exponents_per_A=settings.exponents,
            widths_A=settings.widths_A,
            accuracy=settings.accuracy,
            prior=self.prior(settings),
            has_control=settings.short_range_control,
            sigmas=LabelSigmas(settings.charge_sigma_e, settings.dipole_sigma_eA),
            mean_std_e=settings.mean_std_e,
        )


def clouds_of(section: FittedSection) -> str:
    """Return what charges are made of, for the methods paragraph."""
    return "Gaussian" if section.widths_A else "Slater-distributed"
