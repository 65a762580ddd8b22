"""Equilibrated charges whose electronegativities are fitted together with the GAP (kQEq), in the split-charge form.

kQEq: Staacke, Wengert, Kunkel, Csányi, Reuter, Margraf, Mach. Learn.: Sci. Technol. 2022, 3, 015032
(10.1088/2632-2153/ac568d); periodic, sparse and to energies: Vondrák, Reuter, Margraf, J. Chem. Phys. 2023, 159,
054109 (10.1063/5.0156290), who also found that charges which pass freely overpolarise (npj Comput. Mater. 2025, 11,
288, 10.1038/s41524-025-01791-3).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar, Final, Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat

from ....core.citations import Citation
from ....core.errors import InputError
from ...settings import CommonBaselineSettings, ElementSymbol
from ..bond_settings import BondWidths
from ..fitted_kind import FittedKind, FittedSection, FittedSettings, clouds_of
from ..sections import BaselineSection

if TYPE_CHECKING:
    from ..joint.joint_fit import ChargePrior
    from .charges import EquilibratedCharges

DEFAULT_SPREAD_EV = 0.5
DEFAULT_HARDNESS_EV = 5.0
DEFAULT_BOND_HARDNESS_EV = 20.0
_DESCRIBED = {
    "spread_eV": "Prior standard deviation of what the environment adds to an atom's electronegativity (eV/e)",
    "constant_std_eV": "Prior standard deviation of the species' electronegativities about those at which the given "
    "charges are at rest; 0 holds them (eV/e)",
    "hardness_eV": "What charge on an atom costs besides its Coulomb energy, by element; those left out have "
    f"{DEFAULT_HARDNESS_EV:g} (eV/e²)",
    "bond_hardness_eV": "What charge that passes over a bond costs; null lets it pass freely between all atoms, which "
    "makes solids metals (eV/e²)",
    "total_charge_e": "Total charge of every structure of more than one atom (e)",
}

Hardness = Annotated[float, Field(ge=0, le=100)]


class EquilibratedSection(FittedSection, BondWidths):
    """Charges that minimise an energy, whose electronegativities are fitted together with the model."""

    kind: Literal["equilibrated"] = Field(
        "equilibrated", description="Kind of baseline: charges minimise an energy (name)"
    )
    spread_eV: PositiveFloat = Field(DEFAULT_SPREAD_EV, le=20, description=_DESCRIBED["spread_eV"])
    constant_std_eV: NonNegativeFloat = Field(0.0, le=100, description=_DESCRIBED["constant_std_eV"])
    hardness_eV: dict[ElementSymbol, Hardness] = Field(default_factory=dict, description=_DESCRIBED["hardness_eV"])
    bond_hardness_eV: PositiveFloat | None = Field(DEFAULT_BOND_HARDNESS_EV, description=_DESCRIBED["bond_hardness_eV"])
    total_charge_e: float = Field(0.0, ge=-20, le=20, description=_DESCRIBED["total_charge_e"])


class EquilibratedSettings(FittedSettings, BondWidths):
    """What models on equilibrated charges are made with; charge passes from the charges of the species."""

    kind: Literal["equilibrated"] = Field(
        "equilibrated", description="Kind of baseline: charges minimise an energy (name)"
    )
    spread_eV: PositiveFloat = Field(DEFAULT_SPREAD_EV, description=_DESCRIBED["spread_eV"])
    constant_std_eV: NonNegativeFloat = Field(0.0, description=_DESCRIBED["constant_std_eV"])
    hardness_eV: dict[ElementSymbol, Hardness] = Field(default_factory=dict, description=_DESCRIBED["hardness_eV"])
    bond_hardness_eV: PositiveFloat | None = Field(DEFAULT_BOND_HARDNESS_EV, description=_DESCRIBED["bond_hardness_eV"])
    total_charge_e: float = Field(0.0, description=_DESCRIBED["total_charge_e"])


class EquilibratedKind(FittedKind):
    """Level 2: electronegativities of a local kernel model, and charges at rest in them."""

    name = "equilibrated"
    rank = 40
    section_type = EquilibratedSection
    settings_type = EquilibratedSettings
    citations: ClassVar[tuple[Citation, ...]] = (
        Citation(
            "Kernel charge equilibration (kQEq)",
            "C. G. Staacke, S. Wengert, C. Kunkel, G. Csányi, K. Reuter, J. T. Margraf, Mach. Learn.: Sci. Technol. "
            "2022, 3, 015032",
            "10.1088/2632-2153/ac568d",
        ),
        Citation(
            "kQEq of periodic systems and energies",
            "M. Vondrák, K. Reuter, J. T. Margraf, J. Chem. Phys. 2023, 159, 054109",
            "10.1063/5.0156290",
        ),
    )

    def charge_model(self, settings: CommonBaselineSettings, symbols: Sequence[str]) -> EquilibratedCharges:
        """Return charges at rest.

        Raises
        ------
        InputError
            If a species has no charge to pass from.
        """
        import numpy as np

        from .charges import EquilibratedCharges

        assert isinstance(settings, EquilibratedSettings)
        missing = sorted(set(symbols) - set(settings.charges))
        if missing:
            raise InputError(f"there is no charge for {', '.join(missing)}, from which charge would pass")
        return EquilibratedCharges(
            np.array([settings.charges[symbol] for symbol in symbols]),
            np.array([settings.hardness_eV.get(symbol, DEFAULT_HARDNESS_EV) for symbol in symbols]),
            None if settings.bond_hardness_eV is None else settings.switch(),
            settings.bond_hardness_eV or DEFAULT_BOND_HARDNESS_EV,
            settings.total_charge_e,
        )

    def prior(self, settings: CommonBaselineSettings) -> ChargePrior:
        """Return what is believed of the electronegativities."""
        from ..joint.joint_fit import ChargePrior

        assert isinstance(settings, EquilibratedSettings)
        return ChargePrior(
            constants=(),
            spread=settings.spread_eV,
            constant_std=settings.constant_std_eV,
            starts=(1.0,),
            most_steps=settings.most_steps,
            tolerance=settings.tolerance,
        )

    def why_no_field(self, described: BaselineSection | CommonBaselineSettings) -> str:
        """Return why none can where charge passes freely, or the total is not zero."""
        assert isinstance(described, EquilibratedSection | EquilibratedSettings)
        if described.bond_hardness_eV is None:
            return (
                "that pass freely between all atoms, over no bonds, and would screen it as a metal does; fit them with "
                "bond_hardness_eV for fields"
            )
        if described.total_charge_e:
            return f"whose total is {described.total_charge_e:+g} e: in a field only neutral cells have an energy"
        return ""

    def methods(self, section: BaselineSection) -> str:
        """Return what it is made of."""
        assert isinstance(section, EquilibratedSection)
        ways = "freely between all atoms"
        if section.bond_hardness_eV is not None:
            ways = f"over bonds within {section.bond_cutoff_A:g} Å (bond hardness {section.bond_hardness_eV:g} eV)"
        return (
            f"an electrostatic baseline of equilibrated {clouds_of(section)} charges (kQEq) in an Ewald sum, which "
            f"pass {ways}, with electronegativities of a kernel model on the GAP's sparse points, fitted together with "
            "the GAP to energies, forces and virials"
        )


EQUILIBRATED: Final = EquilibratedKind()
