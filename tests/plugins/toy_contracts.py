"""The toys keep the contracts; run with pytest in a process beside which they are installed."""

from __future__ import annotations

from ionloop_toys.analysis import NEIGHBOURS_ANALYSIS
from ionloop_toys.baseline import WolfSettings
from ionloop_toys.engine import LennardJonesSettings
from ionloop_toys.model import PairSettings
from ionloop_toys.sampler import BreathingSettings
from ionloop_toys.selection import ShortestBondSettings

from ionloop.fitting.electrostatics.contract import CHARGES_E, EXPONENTS_PER_A, BaselineContract
from ionloop.fitting.kinds.contract import ModelContract
from ionloop.fitting.settings import GapSettings, SoapSettings, TwoBodySettings
from ionloop.labelling.contract import EngineContract
from ionloop.sampling.samplers.contract import SamplerContract
from ionloop.sampling.selections.contract import SelectionContract
from ionloop.workflows.analyses.base import Analysis
from ionloop.workflows.analyses.contract import AnalysisContract


class TestShortestBond(SelectionContract):
    def settings(self, count: int) -> ShortestBondSettings:
        return ShortestBondSettings(count=count)


class TestBreathing(SamplerContract):
    def settings(self, frames: int) -> BreathingSettings:
        return BreathingSettings(count=frames)


class TestNeighbours(AnalysisContract):
    def analysis(self) -> Analysis:
        return NEIGHBOURS_ANALYSIS


class TestToyPair(ModelContract):
    kind = "toy-pair"

    def settings(self) -> PairSettings:
        return PairSettings(cutoff_A=4.0, bumps=5)


class TestToyWolf(BaselineContract):
    kind = "toy-wolf"
    evaluates_wires = True

    def settings(self) -> WolfSettings:
        return WolfSettings(charges=CHARGES_E, exponents=EXPONENTS_PER_A)


class TestEsGapOnToyWolf(ModelContract):
    kind = "es-gap"
    energy_tolerance_eV = 1e-6
    isolated_tolerance_eV = 1e-3

    def settings(self) -> GapSettings:
        soap = SoapSettings(cutoff_A=3.5, n_max=3, l_max=2, sparse_points=8)
        return GapSettings(two_body=TwoBodySettings(cutoff_A=4.0, sparse_points=6), soap=soap)

    def baseline(self) -> WolfSettings:
        return WolfSettings(charges=CHARGES_E, exponents=EXPONENTS_PER_A)


class TestLennardJones(EngineContract):
    def settings(self) -> LennardJonesSettings:
        return LennardJonesSettings()
