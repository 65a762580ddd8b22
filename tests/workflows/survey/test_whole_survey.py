"""A whole survey on this machine: killed, carried on, with a crystal that its engine does not know."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import small_survey

from ionloop.cli import run_command_line
from ionloop.core.errors import InputError
from ionloop.core.states import State
from ionloop.sampling.candidates.base import SourceUnavailable
from ionloop.store.campaigns import find_survey
from ionloop.store.connection import Store, open_store
from ionloop.store.jobs.queue import count_jobs, jobs_wanted
from ionloop.workflows.running.worker_limits import job_queries
from ionloop.workflows.submission.holds import Hold, all_controls, decide
from ionloop.workflows.survey.expansion import collected, expand
from ionloop.workflows.survey.facts import facts_of
from ionloop.workflows.survey.rows import Stage, survey_rows
from ionloop.workflows.survey.submission import submit_survey
from ionloop.workflows.survey.supervisor import survey_standing
from ionloop.workflows.survey.survey_file import read_survey

LIMIT_S = 200


def start(file: Path) -> subprocess.Popen[bytes]:
    with (file.parent / "run.log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "ionloop.cli", "survey", str(file), "--workers", "1"],
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )


def finished_jobs(file: Path) -> int:
    store = file.parent / "ionloop.db"
    if not store.exists():
        return 0
    opened = open_store(str(store), read_only=True)
    try:
        return count_jobs(opened, jobs_wanted(states={State.FINISHED}))
    finally:
        opened.close()


@pytest.mark.slow
def test_a_survey_is_killed_and_carried_on_and_a_bad_crystal_stops_nothing(tmp_path: Path, capsys) -> None:
    # EMT knows no iron: its labels fail, and so does its campaign.
    file = small_survey.prepare(tmp_path, {"agcu": ("AgCu", 3.3), "fecu": ("FeCu", 3.2)})
    first = start(file)
    end = time.monotonic() + LIMIT_S
    while finished_jobs(file) < 3 and first.poll() is None and time.monotonic() < end:
        time.sleep(0.3)
    os.killpg(first.pid, signal.SIGKILL)
    first.wait()
    log = tmp_path / "run.log"
    assert start(file).wait(LIMIT_S) == 0, log.read_text()
    opened = open_store(str(tmp_path / "ionloop.db"), read_only=True)
    record = find_survey(opened, "tiny")
    rows = {one.candidate.formula: one for one in survey_rows(record, facts_of(opened, record))}
    assert rows["AgCu"].stage is Stage.ENDED
    assert rows["AgCu"].outcome is not None
    assert rows["AgCu"].facts.labels >= 8
    iron = next(one for formula, one in rows.items() if "Fe" in formula)
    assert iron.stage is Stage.FAILED
    assert iron.told
    assert rows["Au"].stage is Stage.REFUSED
    names = [one.id for one in opened.campaigns.find()]
    assert len(names) == len(set(names)) == 2
    opened.close()
    page = (tmp_path / "tiny-survey.html").read_text()
    assert "AgCu" in page
    assert run_command_line(["survey", str(file), "--table", str(tmp_path / "t.md")]) == 0
    assert "AgCu" in (tmp_path / "t.md").read_text()


def submitted(folder: Path, store: Store) -> tuple[str, ...]:
    survey = read_survey(small_survey.prepare(folder))
    submit_survey(store, survey, expand(survey, collected(survey)))
    return find_survey(store, "tiny").campaigns


def test_workers_of_a_survey_take_jobs_of_its_campaigns_alone(tmp_path: Path, finished_store: Store) -> None:
    names = submitted(tmp_path, finished_store)
    (query,) = job_queries(all_controls(finished_store), names, None)
    assert count_jobs(finished_store, query) == sum(
        count_jobs(finished_store, jobs_wanted(campaigns=[one])) for one in names
    )
    decide(finished_store, names[0], priority=5)
    first, _ = job_queries(all_controls(finished_store), names, None)
    assert count_jobs(finished_store, first) == count_jobs(finished_store, jobs_wanted(campaigns=[names[0]]))
    decide(finished_store, names[0], hold=Hold.PAUSED)
    (query,) = job_queries(all_controls(finished_store), names, None)
    assert count_jobs(finished_store, query) == count_jobs(finished_store, jobs_wanted(campaigns=[names[1]]))
    with pytest.raises(InputError, match="did you mean 'tiny'"):
        find_survey(finished_store, "tinny")


def test_a_survey_is_over_where_nothing_can_run(tmp_path: Path, store: Store) -> None:
    names = submitted(tmp_path, store)
    standing = survey_standing(store, names)
    assert not standing.is_over
    assert standing.unfinished == 2
    for name in names:
        decide(store, name, hold=Hold.PAUSED, reason="a person's")
    held = survey_standing(store, names)
    assert held.is_over
    assert set(held.held) == set(names)
    store.database.campaigns.update_many({}, {"$set": {"state": "finished"}})
    ended = survey_standing(store, names)
    assert ended.is_over
    assert (ended.unfinished, ended.ended) == (0, 2)


def test_campaigns_are_submitted_for_workers_elsewhere(tmp_path: Path, capsys) -> None:
    file = small_survey.prepare(tmp_path)
    assert run_command_line(["survey", str(file), "--submit"]) == 0
    assert "ionloop worker --survey tiny" in capsys.readouterr().out
    assert run_command_line(["worker", "--survey", "tiny", "--campaign", "x"]) == 2


def test_a_survey_goes_on_where_its_sources_are_silent(tmp_path: Path, capsys) -> None:
    file = small_survey.prepare(tmp_path)
    files = 'candidates: [{kind: files, paths: ["structures/*.cif"]}]'
    # Nobody listens at port 9 of this machine.
    silent = "candidates: [{kind: optimade, url: http://127.0.0.1:9, attempts: 1}]"
    text = file.read_text()
    assert files in text
    file.write_text(text.replace(files, silent))
    assert run_command_line(["survey", str(file), "--submit"]) == SourceUnavailable.exit_status
    file.write_text(text)
    assert run_command_line(["survey", str(file), "--submit"]) == 0
    capsys.readouterr()
    file.write_text(text.replace(files, silent))
    assert run_command_line(["survey", str(file), "--submit"]) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "0 campaign(s) added, 2 there already" in told
    assert "goes on with the crystals that the store knows" in told
    opened = open_store(str(tmp_path / "ionloop.db"), read_only=True)
    assert len(find_survey(opened, "tiny").campaigns) == 2
    opened.close()
