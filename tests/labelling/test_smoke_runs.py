"""The doctor's smoke run of an engine."""

from __future__ import annotations

import pytest

from ionloop.cli.console.environment import Status, check_smoke_run
from ionloop.core.errors import InputError
from ionloop.core.kinds import UnknownKind
from ionloop.labelling import ENGINES, engine_of, stop_engine_process
from ionloop.labelling.smoke import smoke_atoms, smoke_settings


@pytest.mark.parametrize("name", ["gfn1-xtb", "gpaw", "cp2k", "espresso", "aims", "vasp"])
def test_every_engine_has_cheap_settings_for_silicon(name):
    settings = smoke_settings(name)
    assert engine_of(settings) is ENGINES.get(name)
    assert settings.wall_time_limit_s <= 300.0
    assert set(smoke_atoms().symbols) == {"Si"}


@pytest.mark.parametrize("name", ["command", "imported"])
def test_what_cannot_run_by_itself_is_refused_with_what_can(name):
    with pytest.raises(InputError, match="allowed: gfn1-xtb, gpaw, cp2k"):
        smoke_settings(name)
    with pytest.raises(UnknownKind, match=r"unknown engine 'cpk2'; installed are gfn1-xtb, .*; did you mean cp2k\?"):
        smoke_settings("cpk2")


def test_smoke_run_of_an_engine_that_is_there():
    check = check_smoke_run("gfn1-xtb")
    assert check.status is Status.OK
    assert "tblite" in check.found


def test_smoke_run_of_an_engine_that_is_not_there_says_why(monkeypatch):
    monkeypatch.setenv("IONLOOP_CP2K_COMMAND", "no-such-cp2k")
    # The labelling process has the environment that it was started with.
    stop_engine_process()
    check = check_smoke_run("cp2k")
    stop_engine_process()
    assert check.status is Status.FAILED
    assert "no-such-cp2k" in check.advice
