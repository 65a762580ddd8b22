"""FireWorks' own tests must pass on the embedded store wherever they pass on mongomock."""

import importlib.util
from concurrent.futures import ThreadPoolExecutor
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
    with ThreadPoolExecutor() as both:
        ours, theirs = both.map(suite.run, ("embedded", "mongomock"), (selection, selection))
    passed = [test for test, (outcome, _) in theirs.items() if outcome == "passed"]
    assert passed
    assert {test: ours.get(test) for test in passed} == dict.fromkeys(passed, ("passed", ""))


def test_a_quick_part_of_fireworks_own_tests_passes():
    check(FAST)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_all_of_fireworks_own_tests_pass_that_pass_on_mongomock():
    check(())
