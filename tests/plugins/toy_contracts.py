"""The toys keep the contracts; run with pytest in a process beside which they are installed."""

from __future__ import annotations

from ionloop_toys.analysis import NEIGHBOURS_ANALYSIS
from ionloop_toys.engine import LennardJonesSettings
from ionloop_toys.model import PairSettings
from ionloop_toys.selection import ShortestBondSettings

from ionloop.fitting.kinds.contract import ModelContract
from ionloop.labelling.contract import EngineContract
from ionloop.sampling.selections.contract import SelectionContract
from ionloop.workflows.analyses.base import Analysis
from ionloop.workflows.analyses.contract import AnalysisContract


class TestShortestBond(SelectionContract):
    def settings(self, count: int) -> ShortestBondSettings:
        return ShortestBondSettings(count=count)


class TestNeighbours(AnalysisContract):
    def analysis(self) -> Analysis:
        return NEIGHBOURS_ANALYSIS


class TestToyPair(ModelContract):
    kind = "toy-pair"

    def settings(self) -> PairSettings:
        return PairSettings(cutoff_A=4.0, bumps=5)


class TestLennardJones(EngineContract):
    def settings(self) -> LennardJonesSettings:
        return LennardJonesSettings()
