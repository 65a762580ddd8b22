"""What a report shows of the searches for hyperparameters: what was chosen and won, what was tried, what would help."""

from __future__ import annotations

from collections.abc import Sequence

from ...analysis.figures import model_name
from ...analysis.looks import in_order
from ...core.names import TUNING
from ...store.records import ResultRecord
from ...tasks.values.tuning import TUNINGS, LeftOutErrors, TuningValues
from ..analyses.sections import Block, ReportSection, TableBlock

MILLI = 1000.0


def tuning_section(results: Sequence[ResultRecord]) -> ReportSection | None:
    """Return the section on the searches of a campaign; None without one.

    Parameters
    ----------
    results
        Results of the campaign.
    """
    records = sorted((one for one in results if one.kind == TUNING), key=lambda one: (one.generation, one.created))
    if not records:
        return None
    read = [(one, TUNINGS.read(one)) for one in records]
    last = {str(one.model_kind): values for one, values in read}
    blocks: list[Block] = [_searches(read)]
    for name in in_order(last):
        blocks += [_errors(name, last[name]), _trials(name, last[name])]
    return ReportSection(
        "tuning", "Hyperparameters", " ".join(_told(name, last[name]) for name in in_order(last)), blocks
    )


def _told(name: str, values: TuningValues) -> str:
    """Return what the last search of a model brought, and what would bring more."""
    before, after = values.before.force_eV_per_A, values.after.force_eV_per_A
    tried = f"{len(values.trials)} fits to {values.configurations} configurations"
    if not values.changed:
        text = f"{model_name(name)}: none of {tried} had lower left-out errors than the settings before."
    elif before is None or after is None:
        text = f"{model_name(name)}: chosen of {tried} by left-out errors of energies: {', '.join(values.changed)}."
    else:
        text = (
            f"{model_name(name)}: chosen of {tried} by left-out errors: {', '.join(values.changed)}. The left-out "
            f"force error fell from {MILLI * before:.0f} to {MILLI * after:.0f} meV/Å."
        )
    gains = ((values.gain_of_points, "sparse points"), (values.gain_of_data, "data"))
    more = [f"twice the {what} by some {gain:.0%}" for gain, what in gains if gain is not None]
    if more:
        text += f" By extrapolation {' and '.join(more)} would lower it."
    if not values.has_converged:
        text += " The budget ended the search."
    return text


def _searches(read: Sequence[tuple[ResultRecord, TuningValues]]) -> TableBlock:
    """Return one row per search."""
    rows = [
        (
            model_name(str(record.model_kind)),
            str(record.generation),
            str(values.configurations),
            f"{len(values.trials)} ({values.spent_fits:.1f} of {values.budget_fits:.3g} fits)",
            _milli(values.before.force_eV_per_A),
            _milli(values.after.force_eV_per_A),
            f"{MILLI * values.before.energy_eV_per_atom:.2f}",
            f"{MILLI * values.after.energy_eV_per_atom:.2f}",
            ", ".join(values.changed) or "nothing",
        )
        for record, values in read
    ]
    columns = (
        "model",
        "before generation",
        "configurations",
        "trials",
        "force, meV/Å",
        "tuned, meV/Å",
        "energy, meV/atom",
        "tuned, meV/atom",
        "changed",
    )
    return TableBlock(
        columns,
        rows,
        "Searches in the order in which they were made: root-mean-square errors on the training data with each "
        "configuration left out in its turn, those of one trajectory together, with the settings that a search began "
        "with and with those that it chose, which hold until the next one. Errors that chose are a little too small.",
    )


def _errors(name: str, values: TuningValues) -> TableBlock:
    """Return left-out errors by element and by type of configuration, before and after."""
    rows = [("all", *_pair(values.before, values.after))]
    before, after = values.before.force_by_element_eV_per_A, values.after.force_by_element_eV_per_A
    rows += [
        (f"forces on {element}", _milli(before.get(element)), _milli(error), "–", "–")
        for element, error in after.items()
    ]
    if len(values.by_type) > 1:
        rows += [(f"configurations of {one.config_type}", *_pair(one.before, one.after)) for one in values.by_type]
    columns = ("errors of", "force, meV/Å", "tuned, meV/Å", "energy, meV/atom", "tuned, meV/atom")
    return TableBlock(columns, rows, f"{model_name(name)}: left-out errors in its last search.")


def _pair(before: LeftOutErrors, after: LeftOutErrors) -> tuple[str, str, str, str]:
    energy, tuned = (f"{MILLI * one.energy_eV_per_atom:.2f}" for one in (before, after))
    return _milli(before.force_eV_per_A), _milli(after.force_eV_per_A), energy, tuned


def _trials(name: str, values: TuningValues) -> TableBlock:
    rows = [
        (
            one.changed if not one.error else f"{one.changed}: {one.error}",
            _milli(one.force_eV_per_A),
            "–" if one.energy_eV_per_atom is None else f"{MILLI * one.energy_eV_per_atom:.2f}",
            f"{one.cost_fits:.2f}",
        )
        for one in values.trials
    ]
    columns = ("tried", "force left out, meV/Å", "energy left out, meV/atom", "cost, fits")
    return TableBlock(columns, rows, f"{model_name(name)}: what its last search tried, each beside the best before it.")


def _milli(value: float | None) -> str:
    return "–" if value is None else f"{MILLI * value:.0f}"
