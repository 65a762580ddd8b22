"""The promise of docs/conductivity.md, on a part of the kinds of `benchmarks/diffusion_coverage.py`."""

from __future__ import annotations

import importlib.util
import math
import sys
from pathlib import Path

import pytest

BENCHMARK = Path(__file__).parents[3] / "benchmarks" / "diffusion_coverage.py"
REPEATS = 80
# Other seeds than those of the table in the page. With 95 % fewer are held in one of a thousand sets (binomial).
SEEDS = range(10_000, 10_000 + REPEATS)
FEWEST_HELD = 69 / REPEATS
WIDEST_OF_IDEAL = 1.7  # 1.5 in the table; the scatter of so few repeats is known to 8 %
FALSE_ALARMS = 0.1
KINDS = (
    "3 ions, 15 hops each",
    "3 ions, rattling",
    "back-hops 1/7, 14 ions",
    "groups of 3",
    "on-off gates",
    "lattice gas, half full",
)
NOT_DIFFUSIVE = ("no: t^0.9", "no: single files", "no: two sites", "no: not equilibrated", "no: crystal melts at 50 %")


@pytest.fixture(scope="module")
def benchmark():
    spec = importlib.util.spec_from_file_location("diffusion_coverage", BENCHMARK)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_intervals_hold_what_they_say(benchmark, kind):
    for row in benchmark.measure(kind, SEEDS):
        assert row.coverage >= FEWEST_HELD, row
        # Where nothing scatters (the Haven ratio of ions that never hop together) there is no ideal.
        assert math.isnan(row.width_over_ideal) or row.width_over_ideal < WIDEST_OF_IDEAL, row
        assert row.reliable > 1 - FALSE_ALARMS, row


@pytest.mark.slow
@pytest.mark.parametrize("kind", NOT_DIFFUSIVE)
def test_what_is_no_diffusion_is_called_so(benchmark, kind):
    (row,) = benchmark.measure(kind, SEEDS[: REPEATS // 2])
    assert row.reliable < FALSE_ALARMS, row


@pytest.mark.slow
def test_activation_energies_hold_what_they_say(benchmark):
    for row in benchmark.measure_arrhenius("E_a: back-hops 1/7", SEEDS[: REPEATS // 2]):
        assert row.coverage >= 0.8, row
