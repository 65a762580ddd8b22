"""What may be changed in the file of a campaign that is in a store already: declared once for every key.

Work that is done stays as it is and what comes follows the file. So a key may change freely where nothing that was
computed depends on it, may only grow where more of the same can be added, and must stay where results of two settings
would mix.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from itertools import zip_longest
from typing import Any

from ...labelling.registry import ENGINES
from ...labelling.settings import is_physics
from .analyses import INSTALLED, SYSTEMS, AnalysisOfFile
from .problems import ANY_ENTRY, Key, dotted
from .tuning import TUNE

_LONG_TEXT = 500


class Effect(StrEnum):
    """What may become of a value once a campaign is submitted.

    ``MORE``: it may only grow. ``ADDED``: names or entries may be added below it; those that there are stay.
    """

    FREE = "any time"
    MORE = "more"
    ADDED = "added"
    FIXED = "no"


class Stage(IntEnum):
    """From which part of a campaign on a setting is used; before it has begun, anything may change."""

    START = 0
    GENERATIONS = 1
    ANALYSES = 2


@dataclass(frozen=True)
class Rule:
    """What holds for one key.

    Attributes
    ----------
    effect
        What may become of the value.
    used
        The part of a campaign that uses it first.
    explores
        Whether more of it is a reason for another generation after the loop had ended.
    """

    effect: Effect
    used: Stage = Stage.START
    explores: bool = False


_GROWING = (Effect.MORE, Effect.ADDED)
_FIXED = Rule(Effect.FIXED)
_FREE = Rule(Effect.FREE)

# One word stands for a key with all below it, unless a longer line says otherwise; an analysis tells its own.
RULES: Mapping[str, Rule] = {
    "name": _FIXED,
    # A path: what counts is the structure that it names, which is compared as such.
    "structure": _FREE,
    "supercell": _FIXED,
    "systems": Rule(Effect.ADDED, explores=True),
    "mobile": _FIXED,
    "seed": _FIXED,
    "reference": _FIXED,
    # Decided when a code was upgraded, not when the campaign began.
    "mix_versions": _FREE,
    "initial": _FIXED,
    "baseline": _FIXED,
    # Of a species that a system brings which joins later.
    "baseline.charges": Rule(Effect.ADDED),
    "models": _FIXED,
    "gap": Rule(Effect.FIXED, Stage.GENERATIONS),
    # Of the next search: what earlier ones found stays.
    "gap.tune.budget_fits": _FREE,
    "gap.tune.budget_core_minutes": _FREE,
    "fit": Rule(Effect.FIXED, Stage.GENERATIONS),
    "evaluate": _FREE,
    "sampling": Rule(Effect.FIXED, Stage.GENERATIONS),
    "sampling.length_ps": Rule(Effect.MORE, Stage.GENERATIONS, explores=True),
    "sampling.replicas": Rule(Effect.MORE, Stage.GENERATIONS, explores=True),
    # At the end: runs and their seeds go by the place of their entry.
    "explore": Rule(Effect.ADDED, Stage.GENERATIONS, explores=True),
    f"explore.{ANY_ENTRY}.length_ps": Rule(Effect.MORE, Stage.GENERATIONS, explores=True),
    f"explore.{ANY_ENTRY}.replicas": Rule(Effect.MORE, Stage.GENERATIONS, explores=True),
    f"explore.{ANY_ENTRY}.max_labels": Rule(Effect.MORE, Stage.GENERATIONS, explores=True),
    "selection": Rule(Effect.FIXED, Stage.GENERATIONS),
    "selection.count": Rule(Effect.MORE, Stage.GENERATIONS, explores=True),
    "stop": _FREE,
    # A set that is taken from the first generation, and compares all of them.
    "stop.audit": Rule(Effect.FIXED, Stage.GENERATIONS),
    "proposals": _FREE,
    "max_core_hours": _FREE,
    "analyses": Rule(Effect.FIXED, Stage.ANALYSES),
}
WHOLE_ANALYSIS = Rule(Effect.FREE, Stage.ANALYSES)
"""An analysis that is added is made, and one that is taken out is made no more; its results stay."""


def rule_of(key: Key, engine: str = "") -> Rule:
    """Return what holds for a key of the campaign file; ``engine`` is the name of the reference engine."""
    return _rule_of(tuple(ANY_ENTRY if isinstance(part, int) else part for part in key), engine)


def _rule_of(key: tuple[str, ...], engine: str) -> Rule:
    if key[:1] == ("reference",) and len(key) > 1:
        return _FREE if key[1] in _harmless(engine) else _FIXED
    if key[:1] == ("systems",) and key[2:4] == ("explore", ANY_ENTRY):
        return _rule_of(key[2:], engine)
    if key[:1] == ("systems",) and len(key) > 2:
        # A path may change, what it names may not; a composition has none.
        return _FREE if key[2:] in (("structure",), ("crystalline",)) else _FIXED
    if key[:1] == ("analyses",) and len(key) == 2:
        return WHOLE_ANALYSIS
    if key[:1] == ("analyses",) and key[2:] == (SYSTEMS,):
        return Rule(Effect.MORE, Stage.ANALYSES)
    if key[:1] == ("analyses",) and len(key) > 2 and key[1] in INSTALLED:
        return _rule_of_analysis(INSTALLED.get(key[1]), key[2:])
    for length in range(len(key), 0, -1):
        found = RULES.get(".".join(key[:length]))
        if found is not None:
            is_within = found.effect is Effect.ADDED and len(key) > length + 1
            return Rule(Effect.FIXED, found.used) if is_within else found
    return _FIXED


def _rule_of_analysis(analysis: AnalysisOfFile, key: tuple[str, ...]) -> Rule:
    for length in range(len(key), 0, -1):
        name = ".".join(key[:length])
        if name in analysis.grows:
            return Rule(Effect.MORE, Stage.ANALYSES)
        if name in analysis.free:
            return Rule(Effect.FREE, Stage.ANALYSES)
    return RULES["analyses"]


@functools.cache
def _harmless(engine: str) -> frozenset[str]:
    """Return the settings of an engine that `settings_hash` leaves out; with no name, those of any engine."""
    kinds = [one.settings_type for one in ENGINES.kinds if engine in ("", one.name)]
    return frozenset(name for one in kinds for name in one.model_fields if not is_physics(one, name))


@dataclass(frozen=True)
class Change:
    """One key that differs between the store and the file.

    Attributes
    ----------
    is_allowed
        Whether it may.
    explores
        Whether it is a reason for another generation.
    """

    key: Key
    before: Any
    after: Any
    is_allowed: bool
    explores: bool = False

    @property
    def text(self) -> str:
        """The key and both values, in one line."""
        if isinstance(self.after, Mapping) and self.before is None:
            return f"{dotted(self.key)}: not in the store, added in the file"
        if isinstance(self.before, Mapping) and self.after is None:
            stays = " (results stay)" if self.key[0] == "analyses" else ""
            return f"{dotted(self.key)}: in the store, taken out of the file{stays}"
        if any(isinstance(value, str) and len(value) > _LONG_TEXT for value in (self.before, self.after)):
            return f"{dotted(self.key)}: the content in the store differs from that in the file"
        return f"{dotted(self.key)}: {self.before!r} in the store, {self.after!r} in the file"


def changes(old: Mapping[str, Any], new: Mapping[str, Any], begun: Stage) -> list[Change]:
    """Return what differs between the settings of a campaign in the store and in its file, as plain data.

    Parameters
    ----------
    begun
        The last part of the campaign of which there are jobs.
    """
    engine = str(old.get("reference", {}).get("engine", ""))
    return [_judged(key, before, after, engine, begun) for key, before, after in _differences(old, new)]


def _differences(old: Mapping[str, Any], new: Mapping[str, Any], prefix: Key = ()) -> Iterator[tuple[Key, Any, Any]]:
    for name in sorted(old.keys() | new.keys()):
        before, after, key = old.get(name), new.get(name), (*prefix, name)
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            yield from _differences(before, after, key)
        elif name in ("initial", "explore") and isinstance(before, list) and isinstance(after, list):
            for number, (one, other) in enumerate(zip_longest(before, after)):
                yield from _differences_of_entries(one, other, (*key, number))
        elif before != after and not (name == TUNE and not before and not after):
            yield key, before, after


def _differences_of_entries(
    old: Mapping[str, Any] | None, new: Mapping[str, Any] | None, key: Key
) -> Iterator[tuple[Key, Any, Any]]:
    if old is None or new is None:
        yield key, old, new
    elif old["kind"] != new["kind"]:
        # Everything else differs because of that.
        yield (*key, "kind"), old["kind"], new["kind"]
    else:
        yield from _differences(old, new, key)


def _judged(key: Key, before: Any, after: Any, engine: str, begun: Stage) -> Change:
    rule = rule_of(key, engine)
    grows = before is None if rule.effect is Effect.ADDED else is_more(before, after)
    allowed = rule.effect is Effect.FREE or begun < rule.used or (rule.effect in _GROWING and grows)
    return Change(key, before, after, allowed, rule.explores and grows)


def is_more(before: Any, after: Any) -> bool:
    """Return whether a value only adds to another: a larger number, further entries, something for nothing."""
    if isinstance(before, list) and isinstance(after, list):
        # An empty list stands for all that there are.
        return bool(before) and (not after or all(one in after for one in before))
    if isinstance(before, bool) and isinstance(after, bool):
        return after and not before
    if isinstance(before, int | float) and isinstance(after, int | float):
        return after > before
    return before in (None, "none") and after not in (None, "none")
