"""A survey in a store on a server: submitted once, worked on by workers that take its jobs alone, told from there."""

from __future__ import annotations

from pathlib import Path

import small_survey
from server import DatabaseServer

from ionloop.core.states import State
from ionloop.store.campaigns import find_survey
from ionloop.store.jobs.queue import count_jobs, jobs_wanted
from ionloop.workflows.running.worker import Worker
from ionloop.workflows.survey.expansion import collected, expand
from ionloop.workflows.survey.page import write_table
from ionloop.workflows.survey.submission import submit_survey
from ionloop.workflows.survey.supervisor import survey_standing
from ionloop.workflows.survey.survey_file import read_survey


def test_a_survey_lives_on_a_server(database_server: DatabaseServer, tmp_path: Path) -> None:
    survey = read_survey(small_survey.prepare(tmp_path))
    members = expand(survey, collected(survey))
    store = database_server.open(tmp_path / "shared")
    try:
        assert len(submit_survey(store, survey, members).added) == 2
        assert submit_survey(store, survey, members).added == ()
        names = find_survey(store, "tiny").campaigns
        assert Worker(store, names).run(max_jobs=3) == 3
        assert count_jobs(store, jobs_wanted(states={State.FINISHED})) == 3
        assert not survey_standing(store, names).is_over
        table = write_table(store, find_survey(store, "tiny"), tmp_path / "table.md").read_text()
        assert "AgCu" in table
        assert "it holds no Cu" in table
    finally:
        store.close()
