"""The toys keep the contracts; run with pytest in a process beside which they are installed."""

from __future__ import annotations

from ionloop_toys.selection import ShortestBondSettings

from ionloop.sampling.selections.contract import SelectionContract


class TestShortestBond(SelectionContract):
    def settings(self, count: int) -> ShortestBondSettings:
        return ShortestBondSettings(count=count)
