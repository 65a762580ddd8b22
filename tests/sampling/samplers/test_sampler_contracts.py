"""Every built-in sampler keeps the contract that other people's inherit."""

from __future__ import annotations

import pytest

from ionloop.core.kinds import UnknownKind
from ionloop.sampling.relaxation_settings import RelaxationSettings
from ionloop.sampling.samplers.base import CommonSamplerSettings
from ionloop.sampling.samplers.changing_temperature import AnnealingSettings, MeltQuenchSettings, RampSettings
from ionloop.sampling.samplers.constant_temperature import MolecularDynamicsSamplerSettings, NPTSettings, NVTSettings
from ionloop.sampling.samplers.contract import SamplerContract
from ionloop.sampling.samplers.mobile_ion import LithiumMonteCarloSettings
from ionloop.sampling.samplers.random_packing import RandomPackingSettings
from ionloop.sampling.samplers.rattled import RattledSettings
from ionloop.sampling.samplers.registry import SAMPLERS

SHORT = {"timestep_fs": 2.0, "write_every": 2, "replicas": 2}


class TestNVT(SamplerContract):
    def settings(self, frames: int) -> CommonSamplerSettings:
        return NVTSettings(**SHORT, temperature_K=(300, 600), length_ps=0.016, candidates=frames)


class TestNPT(SamplerContract):
    def settings(self, frames: int) -> CommonSamplerSettings:
        return NPTSettings(**SHORT, length_ps=0.016, candidates=frames, barostat={"every": 3})


class TestMolecularDynamics(SamplerContract):
    def settings(self, frames: int) -> CommonSamplerSettings:
        return MolecularDynamicsSamplerSettings(count=frames, write_every=2, timestep_fs=2.0)


class TestRamp(SamplerContract):
    def settings(self, frames: int) -> CommonSamplerSettings:
        return RampSettings(**SHORT, temperatures_K=(300, 900, 300), length_ps=0.02, candidates=frames)


class TestMeltQuench(SamplerContract):
    def settings(self, frames: int) -> CommonSamplerSettings:
        times = {"heat_ps": 0.006, "melt_ps": 0.006, "quench_K_per_ps": 200_000, "hold_ps": 0.006}
        return MeltQuenchSettings(**SHORT, **times, candidates=frames, pressure_GPa=0.0, barostat={"every": 3})


class TestAnnealing(SamplerContract):
    def settings(self, frames: int) -> CommonSamplerSettings:
        return AnnealingSettings(**SHORT, length_ps=0.08, cycles=2, candidates=frames)


class TestLithiumMonteCarlo(SamplerContract):
    def settings(self, frames: int) -> CommonSamplerSettings:
        return LithiumMonteCarloSettings(count=frames, sweeps=5, relaxation=RelaxationSettings(steps=4))


class TestLithiumMonteCarloWithoutRelaxation(SamplerContract):
    def settings(self, frames: int) -> CommonSamplerSettings:
        return LithiumMonteCarloSettings(count=frames, sweeps=5, relaxation=RelaxationSettings(steps=0))


class TestRandomPacking(SamplerContract):
    def settings(self, frames: int) -> CommonSamplerSettings:
        return RandomPackingSettings(count=frames, density_spread=0.1, relaxation={"steps": 6})


class TestRandomPackingWithoutRelaxation(SamplerContract):
    def settings(self, frames: int) -> CommonSamplerSettings:
        return RandomPackingSettings(count=frames, density_g_per_cm3=9.0, relaxation={"steps": 0})


class TestRattled(SamplerContract):
    def settings(self, frames: int) -> CommonSamplerSettings:
        return RattledSettings(count=frames)


def test_every_sampler_of_ionloop_is_tested_here() -> None:
    tested = {
        type(contract().settings(1)).model_fields["kind"].default
        for name, contract in globals().items()
        if name.startswith("Test") and isinstance(contract, type) and issubclass(contract, SamplerContract)
    }
    # Those that learn make no runs of their own: tests/sampling/on_the_fly.
    own = {kind.name for kind in SAMPLERS.kinds if SAMPLERS.package_of(kind.name)[0] == "ionloop" and not kind.learns}
    assert tested == own


def test_another_name_is_told_what_there_is() -> None:
    with pytest.raises(UnknownKind, match="did you mean melt-quench"):
        SAMPLERS.get("melt_quench")
