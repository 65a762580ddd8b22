"""`ionloop pause`, `resume`, `cancel`, `priority`, `status` and `launch` as a user types them."""

from __future__ import annotations

import json

import pytest

from ionloop.cli import run_command_line
from ionloop.workflows.submission.holds import budget_of, charge

PROFILE = "scheduler: slurm\nresources: {all: {kinds: [other]}}\n"


@pytest.fixture
def command(builder, monkeypatch):
    """Run a command on a store with a campaign, and return its exit status."""
    monkeypatch.setenv("IONLOOP_STORE", builder.store.location)
    monkeypatch.setenv("COLUMNS", "200")
    return lambda *words: run_command_line(list(words))


def test_a_campaign_is_paused_resumed_cancelled_and_taken_back(command, builder, capsys):
    builder.add_job("generation-0/label/a", "label", 0, "READY")
    for words, told in (
        (("pause",), "small is paused"),
        (("status",), "paused: paused by hand"),
        (("resume",), "small may go on"),
        (("cancel", "small"), "small is cancelled"),
        (("status",), "go on with: ionloop resume small"),
        (("resume", "small"), "small may go on"),
        (("priority", "small", "7"), "priority 7"),
        (("priority", "small", "-5"), "priority -5"),
    ):
        assert command(*words) == 0, words
        assert told in capsys.readouterr().out, words


def test_a_wrong_name_or_number_is_told_with_what_is_allowed(command, capsys):
    assert command("pause", "smal") == 2
    assert "did you mean 'small'" in capsys.readouterr().err
    # A worker of a campaign that there is none of does not end as if it had worked.
    assert command("worker", "--campaign", "smal") == 2
    assert "did you mean 'small'" in capsys.readouterr().err
    assert command("priority", "small", "1000") == 2
    assert "from -100 to 100" in capsys.readouterr().err


def test_status_shows_the_budget_and_the_queue_to_people_and_scripts(command, builder, capsys):
    builder.store.database.campaigns.update_one({"_id": "small"}, {"$set": {"settings.max_core_hours": 10.0}})
    charge(builder.store, "small", "gfn1-xtb", 3600 * 2.5)
    assert command("status") == 0
    assert "core hours: 2.5 of 10 (all)" in capsys.readouterr().out
    assert command("status", "--json") == 0
    (status,) = json.loads(capsys.readouterr().out)
    assert status["core_hours"] == {"gfn1-xtb": 2.5}
    assert status["max_core_hours"] == {"all": 10.0}


def test_what_is_refused_has_changed_nothing(command, builder, capsys):
    builder.store.database.campaigns.update_one({"_id": "small"}, {"$set": {"settings.max_core_hours": 10.0}})
    charge(builder.store, "small", "gfn1-xtb", 3600.0)
    before = list(builder.store.database.controls.find()), budget_of(builder.store, "small")
    for words in (("resume", "--max-core-hours", "0.5"), ("priority", "small", "101"), ("priority", "small", "--five")):
        assert command(*words) == 2, words
    assert (list(builder.store.database.controls.find()), budget_of(builder.store, "small")) == before
    assert command("resume", "--max-core-hours", "20") == 0
    assert budget_of(builder.store, "small") == {None: 20.0}


def test_launching_without_a_scheduler_or_with_a_wrong_profile_is_told(command, tmp_path, monkeypatch, capsys):
    profile = tmp_path / "profile.yaml"
    profile.write_text(PROFILE.replace("slurm", "slrum"))
    assert command("launch", "--cluster", str(profile)) == 2
    assert "did you mean slurm?" in capsys.readouterr().err
    profile.write_text(PROFILE)
    monkeypatch.setenv("IONLOOP_STORE_PASSWORD", "secret")
    assert command("launch", "--cluster", str(profile), "--once") == 2
    told = capsys.readouterr().err
    assert "IONLOOP_STORE_PASSWORD" in told
    assert "secret" not in told
    monkeypatch.delenv("IONLOOP_STORE_PASSWORD")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert command("launch", "--cluster", str(profile), "--daemon") == 2
    assert "squeue is not on this machine" in capsys.readouterr().err
