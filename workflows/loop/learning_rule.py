"""When a loop that learns on the fly ends, and what it says then: audits decide, never the silence of the alarm."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from ...core.names import FEWEST_AUDITS, LEARNING_ROUND, LEARNING_UPDATE
from ...store.connection import Store
from .stop_rule import Verdict

if TYPE_CHECKING:
    from ...store.records import ResultRecord
    from ...tasks.values.learning import AuditedError, RoundValues, UpdateValues

AUDITS: Final = "audits"
"""What the errors of a generation that learns are errors on."""


@dataclass(frozen=True)
class LearningStanding:
    """Where one entry that learns stands.

    Attributes
    ----------
    campaign, system, entry
        Names of the campaign and of the system, None where that has none, and the place in ``explore``.
    generation
        The last one that it learnt in.
    update
        What the last update there says.
    round
        The last round of legs; None before the first one ended.
    """

    campaign: str
    system: str | None
    entry: int
    generation: int
    update: UpdateValues
    round: RoundValues | None = None

    @property
    def labels_used(self) -> int:
        """Labels that it asked for so far."""
        return 0 if self.round is None else self.round.labels_used

    @property
    def has_labels_left(self) -> bool:
        """Whether it may ask for more."""
        return self.labels_used < self.update.max_labels

    @property
    def text(self) -> str:
        """What its audits say, in words."""
        of = "" if self.system is None else f"{self.system}: "
        return f"{of}{audited_text(self.update.audited)}, tolerance {self.update.force_tolerance_eV_per_A:g} eV/Å"


def audited_text(audited: AuditedError | None) -> str:
    """Return what audits say of the error of forces, in words."""
    if audited is None:
        return "force error not known: fewer than four audits"
    high = audited.force_high_eV_per_A
    return (
        f"force error {audited.force_rmse_eV_per_A:.3g} eV/Å by {audited.audits} audits (95 %: "
        f"{audited.force_low_eV_per_A:.3g} to {high:.3g})"
    )


def learning_standings(store: Store, campaign: str, generation: int | None = None) -> list[LearningStanding]:
    """Return where the entries of a campaign that learn stand, after a generation or now; none where none learns."""
    query = {"campaign": campaign, "kind": {"$in": [LEARNING_ROUND, LEARNING_UPDATE]}}
    return standings_in(store.results.find(query), generation)


def standings_in(records: Iterable[ResultRecord], generation: int | None = None) -> list[LearningStanding]:
    """Return where entries that learn stand by results of theirs."""
    found = [one for one in records if generation is None or one.generation <= generation]
    if not found:
        return []
    # Who looks before there are any need not wait for what they are made of.
    from ...tasks.values.learning import ROUNDS, UPDATES

    updates: dict[tuple[str, int], tuple[ResultRecord, UpdateValues]] = {}
    rounds: dict[tuple[str, int], tuple[int, RoundValues]] = {}
    for record in found:
        key = (record.system or "", int(record.values["entry"]))
        if record.kind == LEARNING_UPDATE:
            update = UPDATES.read(record)
            last = updates.get(key)
            if last is None or (record.generation, update.round) > (last[0].generation, last[1].round):
                updates[key] = record, update
        elif record.kind == LEARNING_ROUND:
            of_round = ROUNDS.read(record)
            before = rounds.get(key)
            if before is None or (record.generation, of_round.round) > (before[0], before[1].round):
                rounds[key] = record.generation, of_round
    return [
        LearningStanding(
            record.campaign,
            record.system,
            key[1],
            record.generation,
            update,
            rounds[key][1] if key in rounds else None,
        )
        for key, (record, update) in sorted(updates.items())
    ]


def learning_verdict(
    base: Verdict,
    standings: Sequence[LearningStanding],
    generation: int,
    *,
    alone: bool,
    asks_for_properties: bool = False,
    bounds_eV_per_A: Mapping[str, float] | None = None,
) -> Verdict:
    """Return what the rule says of a generation in which entries learnt.

    It has converged once the upper end of the audits' interval is below the tolerance, of every entry. Where errors
    fall no more, or labels are used up, before that, it has not, and says so: an alarm that fell silent has no part
    in it.

    Parameters
    ----------
    base
        What the other rules say.
    standings
        Of all entries that learn; where there are none ``base`` stands.
    generation
        The one that was assessed.
    alone
        Whether nothing else explores.
    asks_for_properties
        Whether properties decide: audits are told then, and end nothing.
    bounds_eV_per_A
        Force errors that models cannot fall below by the locality test, by model.
    """
    if not standings:
        return base
    told = "; ".join(one.text for one in standings)
    within = all(one.update.is_within_tolerance for one in standings)
    used = alone and not any(one.has_labels_left for one in standings)
    if asks_for_properties:
        if used and not base.stop:
            return Verdict(
                True, False, f"stopped after generation {generation}: {_used(standings)}; {base.reason}; {told}"
            )
        return replace(base, reason=f"{base.reason}; {told}")
    if within and (alone or base.stop):
        return Verdict(True, True, f"converged in generation {generation}: audits are within tolerance: {told}")
    if within:
        return base
    if used:
        reason = f"stopped after generation {generation}, not converged: {_used(standings)}, and {_short(standings)}"
        return Verdict(True, False, f"{reason}: {told}{_bounds(bounds_eV_per_A)}")
    if not base.stop:
        return replace(base, reason=f"{base.reason}; {told}")
    if base.converged:
        why = base.reason.removeprefix(f"converged in generation {generation}: ")
        reason = (
            f"stopped in generation {generation}, not converged: more labels do not help: {why}, and "
            f"{_short(standings)}: {told}"
        )
        advice = "; more sparse points, a finer or longer-ranged description may"
        return Verdict(True, False, f"{reason}{advice}{_bounds(bounds_eV_per_A)}")
    return Verdict(True, False, f"{base.reason}; not converged: {told}{_bounds(bounds_eV_per_A)}")


def _short(standings: Sequence[LearningStanding]) -> str:
    """Return what keeps audits from being within tolerance: of the entry that is farthest from it."""
    outside = [one.update for one in standings if not one.update.is_within_tolerance]
    known = [(one.audited, one.force_tolerance_eV_per_A) for one in outside if one.audited is not None]
    if any(found.force_low_eV_per_A > tolerance for found, tolerance in known):
        return "audits are above the tolerance"
    if len(known) < len(outside) or any(found.audits < FEWEST_AUDITS for found, _ in known):
        return f"there are too few audits (at least {FEWEST_AUDITS} are needed)"
    return "the audits' interval reaches above the tolerance"


def _used(standings: Sequence[LearningStanding]) -> str:
    total = sum(one.update.max_labels for one in standings)
    return f"all {total} labels that explore.max_labels allows are used"


def _bounds(bounds_eV_per_A: Mapping[str, float] | None) -> str:
    """Return what no model can fall below by the locality test, in words."""
    if not bounds_eV_per_A:
        return ""
    listed = ", ".join(f"{name} {bound:.3g}" for name, bound in sorted(bounds_eV_per_A.items()))
    return f"; by the locality test no model of this cutoff falls below (eV/Å): {listed}"
