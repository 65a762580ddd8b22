"""The doctor's smoke run of an engine."""

from __future__ import annotations

import re

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


def _licence_ended(engine):
    raise SystemExit("licence\nended")


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (lambda engine: 1 / 0, "ZeroDivisionError: division by zero"),
        (_licence_ended, "SystemExit: licence ended"),
        (lambda engine: {"engine": "command"}, "TypeError: smoke_settings returned a dict, no CommandSettings"),
    ],
)
def test_an_engine_that_cannot_be_asked_is_named_and_the_others_are_told(answer, reason, monkeypatch):
    monkeypatch.setattr(type(ENGINES.get("command")), "smoke_settings", answer)
    told = f"engine 'command' of ionloop {ENGINES.package_of('command')[1]} cannot be used: {reason}"
    check = check_smoke_run("command")
    assert (check.status, check.advice) == (Status.FAILED, told)
    with pytest.raises(InputError, match=f"allowed: gfn1-xtb, gpaw, cp2k.*{re.escape(told)}"):
        smoke_settings("imported")


def test_an_engine_that_breaks_off_in_its_smoke_run_is_named(monkeypatch):
    monkeypatch.setattr(type(ENGINES.get("gfn1-xtb")), "objection", lambda *_: [][0])
    check = check_smoke_run("gfn1-xtb")
    assert check.status is Status.FAILED
    assert "engine 'gfn1-xtb' of ionloop" in check.advice
    assert "IndexError" in check.advice


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
