"""Charges that depend on the environment, fitted together with the GAP: q_i = c + u_i, less the mean of all.

u_i is a sparse kernel model on the GAP's own sparse points. Nothing but energies, forces and virials is fitted, as in
latent Ewald summation (Cheng, npj Comput. Mater. 2025, 11, 80).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Final, Literal

from pydantic import Field, PositiveFloat

from ...core.citations import Citation
from ..settings import CommonBaselineSettings
from .fitted_kind import CHARGES_FROM_FORCES, FittedKind, FreeConstantsSection, FreeConstantsSettings, clouds_of
from .sections import BaselineSection

if TYPE_CHECKING:
    from .joint.charge_models import LocalCharges
    from .joint.joint_fit import ChargePrior

DEFAULT_SPREAD_E = 0.05
_SPREAD = "Prior standard deviation of what the environment adds to an atom's charge (e)"


class LocalSection(FreeConstantsSection):
    """Charges that depend on the environment, fitted together with the model to energies, forces and virials."""

    kind: Literal["local"] = Field("local", description="Kind of baseline: charges follow the environment (name)")
    spread_e: PositiveFloat = Field(DEFAULT_SPREAD_E, le=2, description=_SPREAD)


class LocalSettings(FreeConstantsSettings):
    """What models on local charges are made with; the charges are those of the species."""

    kind: Literal["local"] = Field("local", description="Kind of baseline: charges follow the environment (name)")
    spread_e: PositiveFloat = Field(DEFAULT_SPREAD_E, description=_SPREAD)


class LocalKind(FittedKind):
    """Level 1: a local kernel model of the charges, whose Coulomb energy is fitted with the GAP."""

    name = "local"
    rank = 20
    section_type = LocalSection
    settings_type = LocalSettings
    citations: ClassVar[tuple[Citation, ...]] = (CHARGES_FROM_FORCES,)

    def charge_model(self, settings: CommonBaselineSettings, symbols: Sequence[str]) -> LocalCharges:
        """Return charges that are the local quantity itself."""
        from .joint.charge_models import LocalCharges

        return LocalCharges()

    def prior(self, settings: CommonBaselineSettings) -> ChargePrior:
        """Return what is believed of the charges."""
        assert isinstance(settings, LocalSettings)
        return settings.prior(settings.spread_e)

    def why_no_field(self, described: BaselineSection | CommonBaselineSettings) -> str:
        """Return why none can."""
        return (
            "that the mean of all atoms makes neutral: what one atom gains all others lose, over no bonds, so that a "
            "crystal of them has no polarisation and no Born charges; take pair, equilibrated or fixed charges for "
            "fields"
        )

    def methods(self, section: BaselineSection) -> str:
        """Return what it is made of."""
        assert isinstance(section, LocalSection)
        return (
            f"an electrostatic baseline of {clouds_of(section)} charges in an Ewald sum, to which each atom's "
            f"environment adds what a kernel model on the GAP's sparse points says (prior standard deviation "
            f"{section.spread_e:g} e), fitted together with the GAP to energies, forces and virials"
        )


LOCAL: Final = LocalKind()
