"""Charges and exponents of the electrostatic baseline from what the campaign file says about them."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from ase import Atoms
from ase.data import atomic_numbers, covalent_radii
from ase.units import Bohr

from ...core.errors import InputError
from ...core.settings import FrozenSettings
from ...fitting.electrostatics.registry import BASELINES
from ...fitting.electrostatics.sections import BaselineSection
from ...fitting.electrostatics.species import FORMAL_CHARGES, SLATER_EXPONENTS
from ...fitting.kinds.base import FitRequest, ModelKind
from ...fitting.settings import CommonBaselineSettings
from .models import has_leave_out_errors
from .settings import Campaign

# To read charges from a file takes none of what fits them.
if TYPE_CHECKING:
    from ...fitting.data_sets import DataSet
    from ...fitting.electrostatics.charge_errors import ChargesByError

ModelWithSettings: TypeAlias = tuple[ModelKind, FrozenSettings]

OTHER_OXIDATION_STATES: Mapping[str, tuple[float, ...]] = {
    "As": (5, 3),
    "Bi": (3,),
    "C": (4,),
    "Co": (3, 2),
    "Cu": (2, 1),
    "Fe": (3, 2),
    "Ge": (2,),
    "Mn": (2, 3, 4),
    "Mo": (6, 4),
    "N": (-3,),
    "Nb": (4,),
    "Ni": (2, 3),
    "P": (4, 3),
    "Sb": (5, 3),
    "Sn": (4, 2),
    "Ti": (3,),
    "V": (5, 4, 3),
    "W": (6, 4),
}
"""Oxidation states (e) tried after the common ion of `ionloop.fitting.electrostatics.species`, the more usual first."""

NEUTRAL_TOLERANCE_E = 1e-3
"""Charge per cell below which it counts as neutral (e): rounding in hand-written charges."""

_PRINCIPAL_QUANTUM_NUMBERS = (2, 10, 18, 36, 54, 86, 118)


class UnknownChargesError(InputError):
    """No formal charges can be assigned."""


def formal_charges(*cells: Sequence[str]) -> dict[str, float]:
    """Return the formal charge (e) of every species in neutral cells: P is +5 in Li7P3S11, +4 in Li4P2S6.

    Parameters
    ----------
    cells
        Chemical symbols of all atoms of a cell; of several, every one must be neutral with the same charges.

    Raises
    ------
    UnknownChargesError
        If a species has no known oxidation state, or no combination of them is neutral.
    """
    compositions = [Counter(symbols) for symbols in cells]
    states = {symbol: oxidation_states(symbol) for symbol in sorted({one for cell in compositions for one in cell})}
    unknown = [symbol for symbol, possible in states.items() if not possible]
    if unknown:
        raise UnknownChargesError(f"no formal charge is known for {', '.join(unknown)}")
    for choice in sorted(itertools.product(*(range(len(possible)) for possible in states.values())), key=sum):
        charges = {symbol: states[symbol][index] for symbol, index in zip(states, choice, strict=True)}
        if all(sum(count * charges[symbol] for symbol, count in counts.items()) == 0 for counts in compositions):
            return charges
    formula = " and ".join(dict.fromkeys(_formula(counts) for counts in compositions))
    raise UnknownChargesError(f"no combination of the usual oxidation states makes {formula} neutral")


def _formula(counts: Mapping[str, int]) -> str:
    return "".join(f"{symbol}{count}" for symbol, count in sorted(counts.items()))


def oxidation_states(symbol: str) -> tuple[float, ...]:
    """Return the oxidation states (e) that an element has in ion conductors, the usual one first."""
    common = (FORMAL_CHARGES[symbol],) if symbol in FORMAL_CHARGES else ()
    return (*common, *map(float, OTHER_OXIDATION_STATES.get(symbol, ())))


def slater_exponent(symbol: str) -> float:
    """Return the default Slater exponent (1/Å).

    ζ = 0.4913 (2n+1)/(2R), Rappé, Goddard, J. Phys. Chem. 1991, 95, 3358 (10.1021/j100161a070), n the principal
    quantum number. Where that paper's radius is not at hand, R is the covalent radius of Cordero et al.,
    Dalton Trans. 2008, 2832 (10.1039/b801115j).
    """
    if symbol in SLATER_EXPONENTS:
        return SLATER_EXPONENTS[symbol]
    number = atomic_numbers[symbol]
    shell = next(n for n, last in enumerate(_PRINCIPAL_QUANTUM_NUMBERS, start=1) if number <= last)
    radius_bohr = covalent_radii[number] / Bohr
    return float(0.4913 * (2 * shell + 1) / (2 * radius_bohr) / Bohr)


def baseline_settings(
    baseline: BaselineSection, cells: Sequence[Sequence[str]], fitted: Mapping[str, float] | None = None
) -> CommonBaselineSettings:
    """Return the baseline of structures: given charges, fitted ones, or the set fraction of the formal ones.

    Parameters
    ----------
    cells
        Chemical symbols of all atoms of each cell; their compositions decide between oxidation states.
    fitted
        Charges (e) that a fit gave, where the baseline asks for one.

    Raises
    ------
    UnknownChargesError
        If formal charges are asked for and cannot be assigned, or fitted ones and there are none.
    """
    species = sorted({symbol for symbols in cells for symbol in symbols})
    kind = BASELINES.get(baseline.kind_name)
    if isinstance(baseline.charges, dict):
        charges = dict(baseline.charges)
    elif not kind.uses_charges:
        charges = dict.fromkeys(species, 0.0)
    elif baseline.charge_criterion is not None:
        if fitted is None:
            raise UnknownChargesError(f"no charges have been fitted to {baseline.charge_criterion} yet")
        charges = {symbol: fitted[symbol] for symbol in species}
    else:
        formal = formal_charges(*cells)
        charges = {symbol: round(baseline.formal_fraction * formal[symbol], 12) for symbol in species}
    exponents = {symbol: baseline.exponents.get(symbol, slater_exponent(symbol)) for symbol in species}
    return kind.settings(baseline, charges, exponents)


def first_on_baseline(campaign: Campaign) -> ModelWithSettings:
    """Return the first model of the campaign that has a baseline, with its settings.

    Raises
    ------
    InputError
        If none has one.
    """
    names = campaign.models_on_baseline
    if not names:
        raise InputError("none of the models has an electrostatic baseline, whose charges could be fitted")
    return campaign.kind_of(names[0]), campaign.settings_of(names[0])


def baseline_of_data(
    campaign: Campaign, data_set: DataSet, seed: int, model: ModelWithSettings | None = None
) -> tuple[CommonBaselineSettings, dict[str, float] | None]:
    """Return the baseline for a fit to a file of labels, and the charges (e) if they were fitted to its error.

    ``model`` is what will be fitted, by default the campaign's first on a baseline: charges that are fitted to an error
    are fitted to its own. Locality cannot be measured on a file of labels: where the settings say nothing, formal
    charges times ``formal_fraction`` are taken.

    Raises
    ------
    InputError
        If the settings ask for charges that are fitted to locality, or charges cannot be assigned.
    """
    baseline = campaign.baseline
    # The composition decides between oxidation states; charges must be the same for all configurations.
    cells = _cells(data_set)
    if baseline.charge_criterion == "locality":
        if "charges" in baseline.model_fields_set:
            raise InputError(
                "baseline.charges: fit compares forces in displaced cells, which a file of labels does not hold; take "
                "{fit: error}, formal, or a number for every species"
            )
        baseline = baseline.model_copy(update={"charges": "formal"})
    if baseline.charge_criterion is None:
        return baseline_settings(baseline, cells), None
    fitted = _charges_by_error(campaign, model or first_on_baseline(campaign), data_set, cells, seed)
    settings = baseline_settings(baseline, cells, fitted.charges)
    return settings.model_copy(update={"exponents": fitted.exponents}), fitted.charges


def _cells(data_set: DataSet) -> list[list[str]]:
    """Return the chemical symbols of the first configuration of every composition."""
    found: dict[str, Atoms] = {}
    for configuration in data_set.configurations:
        found.setdefault(str(configuration.atoms.symbols.formula.reduce()[0]), configuration.atoms)
    return [atoms.get_chemical_symbols() for atoms in found.values()]


def _charges_by_error(
    campaign: Campaign, model: ModelWithSettings, data_set: DataSet, cells: Sequence[Sequence[str]], seed: int
) -> ChargesByError:
    from ...fitting.electrostatics.charge_errors import fit_charges_to_error
    from ...fitting.electrostatics.charges import ChargeProblem
    from ...fitting.gap_fit import FitLimits

    settings = campaign.baseline.charge_fit
    species = tuple(sorted({symbol for cell in cells for symbol in cell}))
    first, *others = (Counter(cell) for cell in cells)
    mobile = campaign.mobile if campaign.mobile in species else species[0]
    problem = ChargeProblem(
        species=species,
        counts=first,
        mobile=mobile,
        proportions=formal_charges(*cells) if settings.transferable else None,
        others=others,
    )
    exponents = {symbol: campaign.baseline.exponents.get(symbol, slater_exponent(symbol)) for symbol in species}
    sets = [{symbol: factor * one for symbol, one in exponents.items()} for factor in settings.exponent_factors]
    kind, hyperparameters = model
    backend = kind.backend(campaign.fit.backend)
    if not has_leave_out_errors(kind):
        raise InputError(f"charges cannot be fitted to leave-out errors, which {kind.look.label} does not give")
    request = FitRequest(data_set, hyperparameters, None, seed, backend, FitLimits(), Path())
    tensors = kind.leave_out_tensors(request, problem, sets, accuracy=campaign.baseline.accuracy)
    return fit_charges_to_error(tensors, seed=seed)


def cell_charge(charges: Mapping[str, float], symbols: Sequence[str]) -> float:
    """Return the charge of a cell (e)."""
    return sum(charges[symbol] * count for symbol, count in Counter(symbols).items())
