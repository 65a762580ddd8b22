"""Whether a process that left its name in a store still lives, as far as this process could see.

Two machines' clocks may be minutes apart, so that no time that another wrote says how long its heart has been silent.
What counts is how long this process, by its own clock that nobody sets, has looked at a heart that did not beat.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ...core.processes import has_ended, has_rebooted

HEARTBEAT_S = 20.0
SILENCE_S = 300.0
"""Who has been silent for longer is taken for dead."""
_LONGEST_GAP_S = 120.0
"""The most that one look adds: whoever was stopped (with its machine, say) for an hour has not looked for an hour."""


@dataclass
class _Heart:
    beat: Any
    looked: float
    silence_s: float = 0.0


class Hearts:
    """The hearts that this process has looked at.

    Parameters
    ----------
    clock
        Seconds that never go back.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._known: dict[str, _Heart] = {}
        self._looking = threading.Lock()

    def silence_s(self, name: str, beat: Any, last_outage_end: float = -math.inf) -> float:
        """Look at a heart; return for how long it has been seen not to beat (s), 0 at the first look.

        Parameters
        ----------
        beat
            What it last wrote; only whether that changes counts.
        last_outage_end
            When the store was last back from an outage, in which no heart could be heard (s of ``time.monotonic``).
        """
        with self._looking:
            moment = self._clock()
            heart = self._known.get(name)
            if heart is None or heart.beat != beat or last_outage_end >= heart.looked:
                self._known[name] = _Heart(beat, moment)
                return 0.0
            heart.silence_s += min(moment - heart.looked, _LONGEST_GAP_S)
            heart.looked = moment
            return heart.silence_s


HEARTS = Hearts()
"""What this process saw."""


def is_dead(document: Mapping[str, Any], last_outage_end: float = -math.inf, hearts: Hearts = HEARTS) -> bool:
    """Return whether the process of that document (``_id``, ``heartbeat``, `process_document`) is known to be gone.

    Where its number means something, the process table tells, and at once; so does a reboot. Elsewhere only a heart
    that was seen to be silent for five minutes does.
    """
    ended = has_ended(document["_id"])
    if ended is None and not has_rebooted(document):
        return hearts.silence_s(document["_id"], document.get("heartbeat"), last_outage_end) > SILENCE_S
    return ended is not False
