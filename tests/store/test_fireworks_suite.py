"""FireWorks' own tests must pass on the embedded store wherever they pass on mongomock."""

import importlib.util
from pathlib import Path

import pytest

_SPEC = importlib.util.spec_from_file_location(
    "run_fireworks_suite", Path(__file__).with_name("run_fireworks_suite.py")
)
suite = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(suite)

FAST = (
    "core/tests/test_firework.py",
    "core/tests/test_launchpad.py::LaunchPadTest",
    "core/tests/test_launchpad.py::LaunchPadRerunExceptionTest",
    "scripts/tests/test_lpad_run.py",
)


def check(selection):
    ours = suite.run("embedded", selection)
    assert "passed" in {outcome for outcome, _ in ours.values()}
    # Whatever passes here need not be asked of the other.
    rest = {test: found for test, found in ours.items() if found[0] != "passed"}
    theirs = suite.run("mongomock", tuple(rest)) if rest else {}
    passed = [test for test, (outcome, _) in theirs.items() if outcome == "passed"]
    assert {test: ours.get(test) for test in passed} == {}


def test_a_quick_part_of_fireworks_own_tests_passes():
    check(FAST)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_all_of_fireworks_own_tests_pass_that_pass_on_mongomock():
    check(())
