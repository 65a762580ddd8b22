"""Charges that pass over bonds, fitted together with the GAP: q_i = c + Σ_j f_ij (u_j - u_i).

u_i is a sparse kernel model on the GAP's own sparse points, f_ij a switch of the distance. What an atom gains its
neighbour loses: structures stay neutral without a correction that reaches over all of them, and dipoles and Born
charges are defined. Split charges: Nistor, Polihronov, Müser, Mosey, J. Chem. Phys. 2006, 125, 094108.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Final, Literal, Self

from pydantic import Field, PositiveFloat, model_validator

from ...core.citations import Citation
from ..settings import CommonBaselineSettings
from .fitted_kind import FittedKind, FreeConstantsSection, FreeConstantsSettings, clouds_of
from .sections import BaselineSection

if TYPE_CHECKING:
    from .joint.charge_models import PairCharges
    from .joint.joint_fit import ChargePrior

DEFAULT_SPREAD_E = 1.0
DEFAULT_BOND_CUTOFF_A = 5.0
DEFAULT_BOND_TRANSITION_A = 2.0
BOND_SHARE = 0.1
"""What a bond of full weight passes of the difference: u is then of the order of 1 e where charges vary by 0.1 e."""
BONDS_DESCRIBED = {
    "bond_cutoff_A": "Distance at which atoms pass no more charge (Å)",
    "bond_transition_A": "Width over which a bond fades below that (Å)",
}
_SPREAD = "Prior standard deviation of the quantity of whose difference a bond passes a tenth from atom to atom (e)"


class BondWidths:
    """Checks that a bond fades below its cutoff."""

    bond_cutoff_A: float
    bond_transition_A: float

    def check_bonds(self) -> None:
        """Raise ValueError if the transition does not fit."""
        if self.bond_transition_A > self.bond_cutoff_A:
            raise ValueError(
                f"bond_transition_A is {self.bond_transition_A:g} Å, more than the cutoff of {self.bond_cutoff_A:g} Å"
            )


class PairSection(FreeConstantsSection, BondWidths):
    """Charges that pass over bonds as the environment says, fitted together with the model."""

    kind: Literal["pair"] = Field("pair", description="Kind of baseline: charges pass over bonds (name)")
    spread_e: PositiveFloat = Field(DEFAULT_SPREAD_E, le=100, description=_SPREAD)
    bond_cutoff_A: PositiveFloat = Field(DEFAULT_BOND_CUTOFF_A, le=20, description=BONDS_DESCRIBED["bond_cutoff_A"])
    bond_transition_A: PositiveFloat = Field(
        DEFAULT_BOND_TRANSITION_A, description=BONDS_DESCRIBED["bond_transition_A"]
    )

    @model_validator(mode="after")
    def _bonds_fade_below_their_cutoff(self) -> Self:
        self.check_bonds()
        return self


class PairSettings(FreeConstantsSettings, BondWidths):
    """What models on charges that pass over bonds are made with; the charges are those of the species."""

    kind: Literal["pair"] = Field("pair", description="Kind of baseline: charges pass over bonds (name)")
    spread_e: PositiveFloat = Field(DEFAULT_SPREAD_E, description=_SPREAD)
    bond_cutoff_A: PositiveFloat = Field(DEFAULT_BOND_CUTOFF_A, description=BONDS_DESCRIBED["bond_cutoff_A"])
    bond_transition_A: PositiveFloat = Field(
        DEFAULT_BOND_TRANSITION_A, description=BONDS_DESCRIBED["bond_transition_A"]
    )

    @model_validator(mode="after")
    def _bonds_fade_below_their_cutoff(self) -> Self:
        self.check_bonds()
        return self


class PairKind(FittedKind):
    """Level 1p: a local kernel model whose differences pass charge from atom to atom."""

    name = "pair"
    rank = 30
    section_type = PairSection
    settings_type = PairSettings
    why_no_field = (
        "that follow the environment: a field acts on their Born charges, which raw latent charges are not; take fixed "
        "charges for fields"
    )
    citations: ClassVar[tuple[Citation, ...]] = (
        Citation("Charges from energies and forces", "B. Cheng, npj Comput. Mater. 2025, 11, 80"),
        Citation(
            "Split charges",
            "R. A. Nistor, J. G. Polihronov, M. H. Müser, N. J. Mosey, J. Chem. Phys. 2006, 125, 094108",
            "10.1063/1.2346671",
        ),
    )

    def charge_model(self, settings: CommonBaselineSettings, symbols: Sequence[str]) -> PairCharges:
        """Return charges that pass over bonds."""
        from .joint.bonds import BondSwitch
        from .joint.charge_models import PairCharges

        assert isinstance(settings, PairSettings)
        onset_A = settings.bond_cutoff_A - settings.bond_transition_A
        return PairCharges(BondSwitch(onset_A, settings.bond_cutoff_A), BOND_SHARE)

    def prior(self, settings: CommonBaselineSettings) -> ChargePrior:
        """Return what is believed of the charges."""
        from .joint.joint_fit import ChargePrior

        assert isinstance(settings, PairSettings)
        return ChargePrior(
            constants=(),
            spread=settings.spread_e,
            constant_std=settings.constant_std_e,
            starts=settings.starts,
            most_steps=settings.most_steps,
            tolerance=settings.tolerance,
        )

    def methods(self, section: BaselineSection) -> str:
        """Return what it is made of."""
        assert isinstance(section, PairSection)
        return (
            f"an electrostatic baseline of {clouds_of(section)} charges in an Ewald sum, which pass between "
            f"neighbours within {section.bond_cutoff_A:g} Å as differences of a kernel model on the GAP's sparse "
            "points say, fitted together with the GAP to energies, forces and virials"
        )


PAIR: Final = PairKind()
