"""Kill a worker anywhere: afterwards nothing is lost, stuck, or doubled."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("crash_points.py")
PLAIN = {f"plain.{number}" for number in range(1, 5)}
GROWN = {f"growing.{number}" for number in range(1, 5)} | {"growing.1+0", "growing.1+1"}
ADDED = {f"added.{number}" for number in range(1, 5)}


def crash(folder, mode, first, step, most):
    finished = subprocess.run(
        [sys.executable, str(SCRIPT), str(folder), mode, str(first), str(step), str(most)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    return [json.loads(line) for line in finished.stdout.splitlines()]


def check(result):
    """Every firework that the store acknowledged is there once, has run, and nothing is left to mend."""
    expected = set(PLAIN | GROWN)
    if "added" in result["acknowledged"]:
        expected |= ADDED
    if "appended" in result["acknowledged"]:
        expected.add("appended")
    assert expected <= set(result["names"]), result
    assert result["unfinished"] == [], result
    assert result["twice"] == [], result
    assert result["executed"] == result["names"], result
    assert result["left"] == 0, result


def test_a_kill_between_any_two_statements_of_the_embedded_store_breaks_nothing(tmp_path):
    results = crash(tmp_path, "transactions", 7, 83, 10)
    assert sum(result["killed"] for result in results) > 5
    for result in results:
        check(result)
        assert result["mended"] == 0, "a transaction left something to repair"


def test_repair_mends_what_a_kill_leaves_without_transactions(tmp_path):
    results = crash(tmp_path, "server", 13, 60, 9)
    assert any(result["mended"] for result in results)
    for result in results:
        check(result)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(
    ("mode", "step"), [("commits", 1), ("transactions", 17), ("server", 3)], ids=lambda value: str(value)
)
def test_a_kill_at_very_many_points_breaks_nothing(tmp_path, mode, step):
    results = crash(tmp_path, mode, 0, step, 100_000)
    assert not results[-1]["killed"], "the last point lies behind the end of the work"
    for result in results:
        check(result)
        assert mode == "server" or result["mended"] == 0
