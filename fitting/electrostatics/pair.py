"""Charges that pass over bonds, fitted together with the GAP: q_i = c + Σ_j f_ij (u_j - u_i).

u_i is a sparse kernel model on the GAP's own sparse points, f_ij a switch of the distance. What an atom gains its
neighbour loses: structures stay neutral without a correction that reaches over all of them, and dipoles and Born
charges are defined. Split charges: Nistor, Polihronov, Müser, Mosey, J. Chem. Phys. 2006, 125, 094108.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Final, Literal

from pydantic import Field, PositiveFloat

from ...core.citations import Citation
from ..settings import CommonBaselineSettings
from .bond_settings import BondWidths
from .fitted_kind import CHARGES_FROM_FORCES, FittedKind, FreeConstantsSection, FreeConstantsSettings, clouds_of
from .sections import BaselineSection

if TYPE_CHECKING:
    from .joint.charge_models import PairCharges
    from .joint.joint_fit import ChargePrior

DEFAULT_SPREAD_E = 1.0
BOND_SHARE = 0.1
"""What a bond of full weight passes of the difference: u is then of the order of 1 e where charges vary by 0.1 e."""
_SPREAD = "Prior standard deviation of the quantity of whose difference a bond passes a tenth from atom to atom (e)"


class PairSection(FreeConstantsSection, BondWidths):
    """Charges that pass over bonds as the environment says, fitted together with the model."""

    kind: Literal["pair"] = Field("pair", description="Kind of baseline: charges pass over bonds (name)")
    spread_e: PositiveFloat = Field(DEFAULT_SPREAD_E, le=100, description=_SPREAD)


class PairSettings(FreeConstantsSettings, BondWidths):
    """What models on charges that pass over bonds are made with; the charges are those of the species."""

    kind: Literal["pair"] = Field("pair", description="Kind of baseline: charges pass over bonds (name)")
    spread_e: PositiveFloat = Field(DEFAULT_SPREAD_E, description=_SPREAD)


class PairKind(FittedKind):
    """Level 1p: a local kernel model whose differences pass charge from atom to atom."""

    name = "pair"
    rank = 30
    section_type = PairSection
    settings_type = PairSettings
    citations: ClassVar[tuple[Citation, ...]] = (
        CHARGES_FROM_FORCES,
        Citation(
            "Split charges",
            "R. A. Nistor, J. G. Polihronov, M. H. Müser, N. J. Mosey, J. Chem. Phys. 2006, 125, 094108",
            "10.1063/1.2346671",
        ),
    )

    def charge_model(self, settings: CommonBaselineSettings, symbols: Sequence[str]) -> PairCharges:
        """Return charges that pass over bonds."""
        from .joint.charge_models import PairCharges

        assert isinstance(settings, PairSettings)
        return PairCharges(settings.switch(), BOND_SHARE)

    def prior(self, settings: CommonBaselineSettings) -> ChargePrior:
        """Return what is believed of the charges."""
        assert isinstance(settings, PairSettings)
        return settings.prior(settings.spread_e)

    def why_no_field(self, described: BaselineSection | CommonBaselineSettings) -> str:
        """Return nothing: a field acts on what bonds pass, and on the charges of the species."""
        return ""

    def methods(self, section: BaselineSection) -> str:
        """Return what it is made of."""
        assert isinstance(section, PairSection)
        return (
            f"an electrostatic baseline of {clouds_of(section)} charges in an Ewald sum, which pass between "
            f"neighbours within {section.bond_cutoff_A:g} Å as differences of a kernel model on the GAP's sparse "
            "points say, fitted together with the GAP to energies, forces and virials"
        )


PAIR: Final = PairKind()
