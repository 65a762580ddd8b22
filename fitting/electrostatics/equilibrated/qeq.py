"""Charge equilibration with published electronegativities (QEq): the reference that nothing was trained for.

Rappé, Goddard, J. Phys. Chem. 1991, 95, 3358 (10.1021/j100161a070). Their idempotentials are smaller than what our
Slater clouds are to themselves, and with them crystals have no minimum: here the clouds' own energy and ``hardness_eV``
stand for them. Charge passes freely, so that solids answer fields as metals do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar, Final, Literal

from pydantic import Field

from ....core.citations import Citation
from ....core.errors import InputError
from ...settings import CommonBaselineSettings, ElementSymbol
from ..base import BaselineKind
from ..sections import BaselineSection, Charges

if TYPE_CHECKING:
    from ase.calculators.calculator import Calculator

DEFAULT_HARDNESS_EV = 1.0
_DESCRIBED = {
    "electronegativities_eV": "Electronegativity of an element where it is not to be Rappé and Goddard's (eV/e)",
    "hardness_eV": "What charge on an atom costs besides its cloud's energy with itself (eV/e²)",
    "total_charge_e": "Total charge of every structure of more than one atom (e)",
}
Electronegativity = Annotated[float, Field(ge=-50, le=50)]


class QeqSection(BaselineSection):
    """Charges at rest in published electronegativities, fitted to nothing."""

    kind: Literal["qeq"] = Field("qeq", description="Kind of baseline: published electronegativities (name)")
    charges: Charges = Field(
        "formal",
        description="For samplers that need some where no formal ones are known; those of the baseline pass freely, "
        "whatever these are (e)",
    )
    electronegativities_eV: dict[ElementSymbol, Electronegativity] = Field(
        default_factory=dict, description=_DESCRIBED["electronegativities_eV"]
    )
    hardness_eV: float = Field(DEFAULT_HARDNESS_EV, ge=0, le=100, description=_DESCRIBED["hardness_eV"])
    total_charge_e: float = Field(0.0, ge=-20, le=20, description=_DESCRIBED["total_charge_e"])


class QeqSettings(CommonBaselineSettings):
    """What models on QEq charges are made with; of the charges only the elements count."""

    kind: Literal["qeq"] = Field("qeq", description="Kind of baseline: published electronegativities (name)")
    electronegativities_eV: dict[ElementSymbol, Electronegativity] = Field(
        default_factory=dict, description=_DESCRIBED["electronegativities_eV"]
    )
    hardness_eV: float = Field(DEFAULT_HARDNESS_EV, ge=0, description=_DESCRIBED["hardness_eV"])
    total_charge_e: float = Field(0.0, description=_DESCRIBED["total_charge_e"])


class QeqKind(BaselineKind):
    """QEq as it was published, on this baseline's clouds."""

    name = "qeq"
    rank = 50
    section_type = QeqSection
    settings_type = QeqSettings
    uses_charges = False
    citations: ClassVar[tuple[Citation, ...]] = (
        Citation(
            "Charge equilibration (QEq)",
            "A. K. Rappé, W. A. Goddard III, J. Phys. Chem. 1991, 95, 3358",
            "10.1021/j100161a070",
        ),
    )

    def calculator(self, settings: CommonBaselineSettings) -> Calculator:
        """Return the charges at rest and their energy.

        Raises
        ------
        InputError
            If an element has no electronegativity.
        """
        import numpy as np

        from ..coulomb.clouds import cloud_table
        from .calculator import ChargesAtRest
        from .charges import EquilibratedCharges
        from .literature import ELECTRONEGATIVITIES_EV

        assert isinstance(settings, QeqSettings)
        symbols = sorted(settings.charges)
        known = {**ELECTRONEGATIVITIES_EV, **settings.electronegativities_eV}
        lacking = _lacking(symbols, known)
        if lacking:
            raise InputError(f"baseline {lacking}")
        count = len(symbols)
        model = EquilibratedCharges(
            np.zeros(count), np.full(count, settings.hardness_eV), None, 1.0, settings.total_charge_e
        )
        constants = np.array([known[symbol] for symbol in symbols])
        return ChargesAtRest(model, symbols, constants, cloud_table(symbols, settings.exponents), settings.accuracy)

    def what_it_lacks(self, section: BaselineSection, elements: Sequence[str]) -> str:
        """Return which elements have no electronegativity."""
        from .literature import ELECTRONEGATIVITIES_EV

        assert isinstance(section, QeqSection)
        return _lacking(elements, {**ELECTRONEGATIVITIES_EV, **section.electronegativities_eV})

    def why_no_field(self, described: BaselineSection | CommonBaselineSettings) -> str:
        """Return why none can."""
        return (
            "that pass freely and would screen it as a metal does, which no electrolyte is; take fixed, pair or "
            "equilibrated charges for fields"
        )

    def methods(self, section: BaselineSection) -> str:
        """Return what it is made of."""
        assert isinstance(section, QeqSection)
        given = ", ".join(f"{symbol} {value:g}" for symbol, value in sorted(section.electronegativities_eV.items()))
        own = f" (of {given} eV/e)" if given else ""
        return (
            "an electrostatic baseline of Slater-distributed charges in an Ewald sum, equilibrated (QEq) with "
            f"published electronegativities{own} and a hardness of {section.hardness_eV:g} eV/e² besides that of "
            "the clouds"
        )


def _lacking(symbols: Sequence[str], known: Mapping[str, float]) -> str:
    missing = [symbol for symbol in symbols if symbol not in known]
    if not missing:
        return ""
    return f"has no electronegativity of {', '.join(missing)}; give them: electronegativities_eV"


QEQ: Final = QeqKind()
