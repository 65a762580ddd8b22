"""What a campaign asks of its structures: the species, the charges, the size."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from ase import Atoms

from ...sampling.samplers.base import CommonSamplerSettings
from ...sampling.samplers.registry import sampler_of
from ...sampling.structures.interface_settings import InterfaceStructure
from ...sampling.structures.packing import Composition
from ...sampling.structures.slab_settings import SlabStructure
from ..analyses.registry import chosen_analyses
from ..campaign.baseline_charges import (
    NEUTRAL_TOLERANCE_E,
    UnknownChargesError,
    cell_charge,
    formal_charges,
    oxidation_states,
)
from ..campaign.initial import Initial
from ..campaign.models import settings_in_section
from ..campaign.problems import ABSENT, Key, Problem
from ..campaign.samplers import Role, all_samplers, needs_charges, samplers_of
from ..campaign.settings import Campaign
from ..campaign.systems import System
from ..graph.plan import Plan, PlannedSystem, planned_systems

MAX_ATOMS = 20_000
MIN_VOLUME_PER_ATOM_A3 = 1.0


def structure_problems(campaign: Campaign, structures: Mapping[str | None, Atoms]) -> list[Problem]:
    """Return what does not fit between a campaign and its structures (not yet repeated), which may be some of them."""
    problems: list[Problem] = []
    for name, atoms in structures.items():
        problems += _geometry(name, campaign.all_systems[name], atoms)
        problems += _neutral(name, campaign.all_systems[name])
    if any(len(atoms) == 0 for atoms in structures.values()):
        return problems
    cells = {name: atoms.get_chemical_symbols() for name, atoms in structures.items()}
    species = sorted({symbol for symbols in cells.values() for symbol in symbols})
    problems += _mobile(campaign, cells)
    problems += _samplers(campaign, cells)
    problems += _without_mobile(campaign, cells)
    problems += _charges(campaign, cells)
    problems += _models(campaign, species)
    if not problems and len(structures) == len(campaign.all_systems):
        # Analyses may take for granted that the cell is sound and the mobile species in it.
        repeated = {name: atoms.repeat(campaign.all_systems[name].supercell) for name, atoms in structures.items()}
        systems = planned_systems(campaign, repeated)
        problems += _charge_fit(campaign, systems)
        problems += _objections(campaign, systems)
        problems += _analyses(campaign, systems)
    return problems


def _charge_fit(campaign: Campaign, systems: Sequence[PlannedSystem]) -> Iterator[Problem]:
    if campaign.charge_criterion is None:
        return
    # Its import takes longer than most campaign files.
    from ..analyses.locality.graph import charge_fit_problems

    yield from charge_fit_problems(campaign, systems)


def structure_key(name: str | None) -> Key:
    """Return where the structure of a system stands in the campaign file."""
    return ("structure",) if name is None else ("systems", name, "structure")


def _shown(campaign: Campaign) -> str:
    return next(iter(campaign.all_systems.values())).shown_structure


def _neutral(name: str | None, system: System) -> Iterator[Problem]:
    """Yield that a composition of ions is not neutral by the usual oxidation states."""
    if not isinstance(system.structure, Composition):
        return
    unit = system.structure.unit
    states = [oxidation_states(symbol) for symbol in unit]
    # A metal has no ions; of elements without known states nothing can be said.
    if not all(states) or not any(state < 0 for possible in states for state in possible):
        return
    try:
        formal_charges(list(unit.elements()))
    except UnknownChargesError as error:
        key = (*structure_key(name), "composition")
        message = f"is no neutral composition: {error}; a charged cell has no energy of its own"
        yield Problem(key, message, value=dict(system.structure.composition))


def _analyses(campaign: Campaign, systems: Sequence[PlannedSystem]) -> Iterator[Problem]:
    plan = Plan(campaign, tuple(systems))
    for analysis in chosen_analyses(campaign):
        key = ("analyses", analysis.name)
        chosen = analysis.systems(plan)
        if not chosen:
            needed = (
                f"a crystalline system that holds {campaign.mobile}"
                if analysis.needs_mobile
                else "a crystalline system"
            )
            message = f"needs {needed}, and there is none: name systems, or leave it out"
            yield Problem(key, message, related=(("systems",),))
        for system in chosen:
            if analysis.needs_mobile and campaign.mobile not in system.symbols:
                message = f"holds no {campaign.mobile}, which {analysis.name} asks for"
                yield Problem((*key, "systems"), message, value=system.name, related=(("mobile",), ("systems",)))
                continue
            for problem in analysis.problems(campaign, system.atoms, system.name):
                yield (
                    problem
                    if system.name is None
                    else replace(
                        problem,
                        message=f"{problem.message} (in {system.name})",
                        related=(*problem.related, ("systems",)),
                    )
                )


def _geometry(name: str | None, system: System, atoms: Atoms) -> Iterator[Problem]:
    key = structure_key(name)
    value = system.shown_structure
    if len(atoms) == 0:
        yield Problem(key, "has no atoms", value=value)
        return
    if not all(atoms.pbc):
        yield Problem(key, "is not periodic in all three directions; give a crystal cell", value=value)
        return
    volume = atoms.cell.volume
    if volume < MIN_VOLUME_PER_ATOM_A3 * len(atoms):
        yield Problem(key, f"has a cell of {volume:.3g} Å³ for {len(atoms)} atoms; check the file", value=value)
    total = len(atoms) * math.prod(system.supercell)
    if total > MAX_ATOMS:
        message = f"makes {total:,} atoms; at most {MAX_ATOMS:,} are allowed"
        yield Problem((*key[:-1], "supercell"), message, value=list(system.supercell), related=(key,))


def _mobile(campaign: Campaign, cells: Mapping[str | None, Sequence[str]]) -> Iterator[Problem]:
    if any(campaign.mobile in symbols for symbols in cells.values()):
        return
    allowed = " | ".join(sorted({symbol for symbols in cells.values() for symbol in symbols}))
    message = f"does not occur in the structure {_shown(campaign)}"
    if campaign.systems is not None:
        message = "does not occur in any of the systems"
    yield Problem(("mobile",), message, value=campaign.mobile, allowed=allowed)


def _without_mobile(campaign: Campaign, cells: Mapping[str | None, Sequence[str]]) -> Iterator[Problem]:
    """Yield that a system holds no mobile ion whose distributions the short form of ``initial`` draws."""
    for name, symbols in cells.items():
        initial = campaign.initial_of(name)
        drawn = isinstance(initial, Initial) and initial.lithium_monte_carlo.count > 0
        if name is not None and drawn and campaign.mobile not in symbols:
            message = (
                f"holds no {campaign.mobile}, whose distributions are to be drawn: give it "
                "initial: {lithium_monte_carlo: {count: 0}}"
            )
            yield Problem(("systems", name), message, related=(("mobile",), ("initial",)))


def _samplers(campaign: Campaign, cells: Mapping[str | None, Sequence[str]]) -> Iterator[Problem]:
    """Yield samplers that need the mobile ion and have none, or press on vacuum."""
    for listed in _listed_samplers(campaign, cells):
        if needs_charges([listed.settings]) and campaign.mobile not in cells[listed.system]:
            message = f"needs the mobile ion {campaign.mobile}, which {listed.whom} lacks{listed.way_out}"
            yield Problem((*listed.key, "kind"), message, value=listed.settings.sampler, related=(("mobile",),))
        pressure_GPa = getattr(listed.settings, "pressure_GPa", None)
        structure = campaign.all_systems[listed.system].structure
        has_vacuum = isinstance(structure, SlabStructure | InterfaceStructure) and structure.has_vacuum
        if pressure_GPa is not None and has_vacuum:
            message = f"would let the vacuum above {listed.whom}, which is a slab, collapse{listed.way_out}"
            yield Problem((*listed.key, "pressure_GPa"), message, value=pressure_GPa)


def _objections(campaign: Campaign, systems: Sequence[PlannedSystem]) -> Iterator[Problem]:
    """Yield why samplers cannot sample a structure."""
    cells = {system.name: system.atoms for system in systems}
    for listed in _listed_samplers(campaign, cells):
        said = sampler_of(listed.settings).objection(listed.settings, cells[listed.system])
        if said:
            related: Key = ("structure",) if listed.system is None else ("systems", listed.system)
            message = f"does not suit {listed.whom}: {said}{listed.way_out}"
            yield Problem((*listed.key, "kind"), message, value=listed.settings.sampler, related=(related,))


class _ListedSampler(NamedTuple):
    """A sampler of the file and one of the systems that it samples."""

    role: Role
    key: Key
    settings: CommonSamplerSettings
    system: str | None

    @property
    def whom(self) -> str:
        return "the structure" if self.system is None else f"the system {self.system}"

    @property
    def way_out(self) -> str:
        """What can be done about a system that an entry for all of them does not suit."""
        own = self.system is None or self.key[0] == "systems"
        return "" if own else f"; give it a list {self.role} of its own"


def _listed_samplers(campaign: Campaign, names: Iterable[str | None]) -> Iterator[_ListedSampler]:
    for role, key, settings in all_samplers(campaign):
        own = key[1] if key[0] == "systems" else None
        for name in names:
            if name == own if own is not None else getattr(campaign.all_systems[name], role) is None:
                yield _ListedSampler(role, key, settings, name)


def _charges(campaign: Campaign, cells: Mapping[str | None, Sequence[str]]) -> Iterator[Problem]:
    key = ("baseline", "charges")
    related: tuple[Key, ...] = (("structure",),) if None in cells else (("systems",),)
    given = campaign.baseline.charges
    symbols = [symbol for cell in cells.values() for symbol in cell]
    kind = campaign.kind_of_baseline
    has_formal = given == "formal" and bool(campaign.models_on_baseline) and kind.uses_charges
    lacking = kind.what_it_lacks(campaign.baseline, sorted(set(symbols))) if campaign.models_on_baseline else ""
    if lacking:
        yield Problem(("baseline",), lacking, related=related)
    example = "{" + ", ".join(f"{symbol}: ..." for symbol in dict.fromkeys(symbols)) + "}"
    if not isinstance(given, dict):
        if has_formal:
            needing = [list(cell) for cell in cells.values()]
        else:
            needing = [
                list(cell)
                for name, cell in cells.items()
                if needs_charges(samplers_of(campaign, name)) and campaign.mobile in cell
            ]
        try:
            # Fractions of formal charges go into one baseline; what only draws configurations has its own.
            if has_formal:
                formal_charges(*needing)
            else:
                for cell in needing:
                    formal_charges(cell)
        except UnknownChargesError as error:
            message = f"{error}; give the charge of every species: charges: {example}"
            yield Problem(key, message, value=given, related=(*related, ("models",)))
        return
    species = set(symbols)
    missing, foreign = sorted(species - set(given)), sorted(set(given) - species)
    named = None not in cells
    if missing:
        whom = "the systems need" if named else "the structure needs"
        message = f"has no charge for {', '.join(missing)}; {whom} {example}"
        yield Problem(key, message, value=given, related=related)
    for symbol in foreign:
        message = "is not in any of the systems" if named else f"is not in the structure {_shown(campaign)}"
        yield Problem(
            (*key, symbol), message, value=given[symbol], allowed=" | ".join(sorted(species)), related=related
        )
    if not missing:
        yield from _not_neutral(given, cells, related)


def _not_neutral(
    given: Mapping[str, float], cells: Mapping[str | None, Sequence[str]], related: tuple[Key, ...]
) -> Iterator[Problem]:
    for name, cell in cells.items():
        charge = cell_charge(given, cell)
        if abs(charge) > NEUTRAL_TOLERANCE_E:
            whose = "the cell" if name is None else f"the cell of {name}"
            message = f"leave {whose} with a charge of {charge:+.4g} e; they must add up to zero"
            yield Problem(("baseline", "charges"), message, value=dict(given), related=related)


def _models(campaign: Campaign, species: list[str]) -> Iterator[Problem]:
    """Yield what in the models' settings does not fit the structures' elements, once for each place in the file."""
    told: set[Key] = set()
    related = ("structure" if campaign.systems is None else "systems",)
    for name in campaign.models:
        kind, settings = campaign.kind_of(name), campaign.settings_of(name)
        section = None if kind.section is None else getattr(campaign, kind.section)
        of_section = [] if section is None else list(kind.objections(settings_in_section(campaign, kind), species))
        for below, message in kind.objections(settings, species):
            # What a kind has beside its section cannot be wrong there.
            in_section = hasattr(section, below[0]) and (below, message) in of_section
            key: Key = (kind.section, *below) if in_section and kind.section else ("models", name, *below)
            if key not in told:
                told.add(key)
                value, allowed = _plain_value(settings, below), " | ".join(species)
                yield Problem(key, message, value=value, allowed=allowed, related=(related,))


def _plain_value(settings: Any, key: tuple[str, ...]) -> Any:
    """Return the number or word at a key of settings, `ABSENT` for whole sections."""
    for part in key:
        settings = settings.get(part, ABSENT) if isinstance(settings, Mapping) else getattr(settings, part, ABSENT)
    return settings if isinstance(settings, int | float | str) else ABSENT
