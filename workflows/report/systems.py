"""What a report shows of the systems of a campaign: what they are, and the errors of the models on each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ...analysis.figures import model_name
from ...analysis.looks import in_order
from ...core.formulas import formula_of
from ...core.names import ERRORS, NEW
from ...store.connection import Store
from ...store.queries.latest import latest_by_model
from ...store.records import CampaignRecord
from ...tasks.values.loop import MODEL_ERRORS, ErrorValues
from ..analyses.sections import Block, ReportSection, TableBlock
from ..campaign.systems import origin_of

MILLI = 1000.0

Assessed = Mapping[str, tuple[int, ErrorValues]]
"""By model: the last generation in which it was assessed, and its errors then."""


def system_section(store: Store, record: CampaignRecord) -> ReportSection | None:
    """Return the section on the systems of a campaign, None where it has one structure without a name."""
    if not record.systems:
        return None
    assessed = _last_of_every_model(store, record)
    blocks: list[Block] = [_systems(record)]
    summary = f"{len(record.systems)} systems share one training set and one reference."
    if assessed:
        blocks.append(_errors(assessed, list(record.systems)))
        error, model, system = max(
            (errors.forces.rmse, model, name)
            for model, (_, values) in assessed.items()
            for name, errors in values.by_system.items()
        )
        summary += f" Forces are worst on {system}: {MILLI * error:.0f} meV/Å with {model_name(model)}."
    return ReportSection("systems", "Systems", summary, blocks)


def _last_of_every_model(store: Store, record: CampaignRecord) -> Assessed:
    last = latest_by_model(store, record.id, ERRORS, subset=NEW)
    found = {model: (one.generation, MODEL_ERRORS.read(one)) for model, one in last.items()}
    return {model: found[model] for model in in_order(found) if found[model][1].by_system}


def _systems(record: CampaignRecord) -> TableBlock:
    rows = []
    for name, structure in record.systems.items():
        atoms = structure.to_atoms()
        shown = origin_of(record.settings["systems"][name]["structure"])
        lengths = " x ".join(f"{length:.2f}" for length in atoms.cell.lengths())
        joined = "later" if name in record.joined else "at first"
        rows.append((name, formula_of(atoms), str(len(atoms)), lengths, shown, joined))
    return TableBlock(("system", "formula", "atoms", "cell lengths, Å", "structure", "joined"), rows)


def _errors(assessed: Assessed, systems: list[str]) -> TableBlock:
    elements = sorted(
        {
            element
            for _, values in assessed.values()
            for errors in values.by_system.values()
            for element in errors.force_by_element_eV_per_A
        }
    )
    columns = ("model", "system", "generation", "energy, meV/atom", "force, meV/Å")
    return TableBlock(
        (*columns, *(f"on {element}, meV/Å" for element in elements)),
        list(_error_rows(assessed, systems, elements)),
        "Root-mean-square errors of the last models on new configurations, before they joined the training set.",
    )


def _error_rows(assessed: Assessed, systems: list[str], elements: list[str]) -> Iterator[tuple[str, ...]]:
    for model, (generation, values) in assessed.items():
        for name in systems:
            errors = values.by_system.get(name)
            if errors is None:
                continue
            by_element = errors.force_by_element_eV_per_A
            yield (
                model_name(model),
                name,
                str(generation),
                f"{MILLI * errors.energy_eV_per_atom.rmse:.1f}",
                f"{MILLI * errors.forces.rmse:.0f}",
                *(f"{MILLI * by_element[one].rmse:.0f}" if one in by_element else "–" for one in elements),
            )
