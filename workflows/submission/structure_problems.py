"""What a campaign asks of its structure: the species, the charges, the size."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from ase import Atoms

from ..analyses.locality.graph import charge_fit_problems
from ..analyses.registry import chosen_analyses
from ..campaign.baseline_charges import NEUTRAL_TOLERANCE_E, UnknownChargesError, cell_charge, formal_charges
from ..campaign.problems import ABSENT, Key, Problem
from ..campaign.settings import Campaign

MAX_ATOMS = 20_000
MIN_VOLUME_PER_ATOM_A3 = 1.0


def structure_problems(campaign: Campaign, atoms: Atoms) -> list[Problem]:
    """Return what does not fit between a campaign and its structure (not yet repeated)."""
    if len(atoms) == 0:
        return [Problem(("structure",), "has no atoms", value=campaign.structure)]
    problems = list(_geometry(campaign, atoms))
    symbols = atoms.get_chemical_symbols()
    species = sorted(set(symbols))
    if campaign.mobile not in species:
        message = f"does not occur in the structure {campaign.structure}"
        problems.append(Problem(("mobile",), message, value=campaign.mobile, allowed=" | ".join(species)))
    problems += _charges(campaign, symbols)
    problems += _models(campaign, species)
    if not problems:
        # Analyses may take for granted that the cell is sound and the mobile species in it.
        supercell = atoms.repeat(campaign.supercell)
        problems += charge_fit_problems(campaign, supercell)
        for analysis in chosen_analyses(campaign):
            problems += analysis.problems(campaign, supercell)
    return problems


def _geometry(campaign: Campaign, atoms: Atoms) -> Iterator[Problem]:
    key = ("structure",)
    if not all(atoms.pbc):
        yield Problem(key, "is not periodic in all three directions; give a crystal cell", value=campaign.structure)
        return
    volume = atoms.cell.volume
    if volume < MIN_VOLUME_PER_ATOM_A3 * len(atoms):
        yield Problem(
            key,
            f"has a cell of {volume:.3g} Å³ for {len(atoms)} atoms; check the file",
            value=campaign.structure,
        )
    total = len(atoms) * math.prod(campaign.supercell)
    if total > MAX_ATOMS:
        message = f"makes {total:,} atoms; at most {MAX_ATOMS:,} are allowed"
        yield Problem(("supercell",), message, value=list(campaign.supercell), related=(key,))


def _charges(campaign: Campaign, symbols: list[str]) -> Iterator[Problem]:
    key = ("baseline", "charges")
    related = (("structure",),)
    given = campaign.baseline.charges
    example = "{" + ", ".join(f"{symbol}: ..." for symbol in dict.fromkeys(symbols)) + "}"
    if not isinstance(given, dict):
        in_baseline = given == "formal" and bool(campaign.models_on_baseline)
        if not in_baseline and campaign.initial.lithium_monte_carlo.count == 0:
            return
        try:
            formal_charges(symbols)
        except UnknownChargesError as error:
            message = f"{error}; give the charge of every species: charges: {example}"
            yield Problem(key, message, value=given, related=(*related, ("models",)))
        return
    species = set(symbols)
    missing, foreign = sorted(species - set(given)), sorted(set(given) - species)
    if missing:
        message = f"has no charge for {', '.join(missing)}; the structure needs {example}"
        yield Problem(key, message, value=given, related=related)
    for symbol in foreign:
        message = f"is not in the structure {campaign.structure}"
        yield Problem(
            (*key, symbol), message, value=given[symbol], allowed=" | ".join(sorted(species)), related=related
        )
    if not missing:
        charge = cell_charge({symbol: given[symbol] for symbol in species}, symbols)
        if abs(charge) > NEUTRAL_TOLERANCE_E:
            message = f"leave the cell with a charge of {charge:+.4g} e; they must add up to zero"
            yield Problem(key, message, value=given, related=related)


def _models(campaign: Campaign, species: list[str]) -> Iterator[Problem]:
    """Yield what in the models' settings does not fit the structure's elements, once for each place in the file."""
    told: set[Key] = set()
    for name in campaign.models:
        kind, settings = campaign.kind_of(name), campaign.settings_of(name)
        section = None if kind.section is None else getattr(campaign, kind.section)
        of_section = [] if section is None else list(kind.objections(section, species))
        for below, message in kind.objections(settings, species):
            in_section = kind.section is not None and (below, message) in of_section
            key: Key = (kind.section, *below) if in_section and kind.section else ("models", name, *below)
            if key not in told:
                told.add(key)
                value, allowed = _plain_value(settings, below), " | ".join(species)
                yield Problem(key, message, value=value, allowed=allowed, related=(("structure",),))


def _plain_value(settings: Any, key: tuple[str, ...]) -> Any:
    """Return the number or word at a key of settings, `ABSENT` for whole sections."""
    for part in key:
        settings = settings.get(part, ABSENT) if isinstance(settings, Mapping) else getattr(settings, part, ABSENT)
    return settings if isinstance(settings, int | float | str) else ABSENT
