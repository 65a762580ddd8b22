"""From crystals to campaigns of one store: names that stay, one label cache, refusals that stop nobody."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import small_survey
from ase import Atoms
from ase.io import read

from ionloop.core.errors import InputError
from ionloop.sampling.candidates.candidate import Candidate
from ionloop.sampling.candidates.collecting import Collection
from ionloop.store.connection import Store
from ionloop.store.jobs.queue import count_jobs, jobs_wanted
from ionloop.workflows.submission.submission import follow_file
from ionloop.workflows.survey import submission as under_test
from ionloop.workflows.survey.expansion import Member, collected, expand, known_members
from ionloop.workflows.survey.facts import facts_of
from ionloop.workflows.survey.rows import Stage, funnel, survey_rows
from ionloop.workflows.survey.submission import submit_survey
from ionloop.workflows.survey.survey_file import Survey, read_survey


def survey_of(folder: Path, **texts: str) -> Survey:
    file = small_survey.prepare(folder)
    text = file.read_text()
    for before, after in texts.values():
        assert before in text
        text = text.replace(before, after)
    file.write_text(text)
    return read_survey(file)


def members_of(survey: Survey) -> dict[str, Member]:
    return {one.entry.formula or one.entry.source: one for one in expand(survey, collected(survey))}


@pytest.fixture
def survey(tmp_path: Path) -> Survey:
    return survey_of(tmp_path)


def test_names_stay_when_crystals_are_added_or_files_are_renamed(tmp_path: Path, survey: Survey) -> None:
    before = {name: one.entry.campaign for name, one in members_of(survey).items()}
    assert before["AgCu"] is not None
    assert before["AgCu"].startswith("tiny-AgCu-")
    small_survey.add(tmp_path, "aaa", "PtCu", 3.1)
    (tmp_path / "structures" / "agcu.cif").rename(tmp_path / "structures" / "zzz.cif")
    after = members_of(survey)
    assert after["AgCu"].entry.campaign == before["AgCu"]
    assert after["AuCu"].entry.campaign == before["AuCu"]
    assert len({one.entry.campaign for one in after.values() if one.entry.campaign}) == 3


def test_cells_are_repeated_until_faces_are_far_and_ions_are_enough(survey: Survey) -> None:
    member = members_of(survey)["AgCu"]
    heights = 1.0 / np.linalg.norm(np.linalg.inv(member.atoms.cell.array), axis=0)
    assert heights.min() >= 6.0
    assert member.atoms.get_chemical_symbols().count("Cu") >= 8
    assert len(member.atoms) == 4 * np.prod(member.campaign.supercell)


def test_all_campaigns_have_one_reference_and_differ_in_the_crystal_alone(survey: Survey) -> None:
    kept = [one.campaign for one in members_of(survey).values() if one.campaign is not None]
    plain = [one.model_dump(mode="json", exclude={"name", "structure", "supercell"}) for one in kept]
    assert len(plain) == 2
    assert plain[0] == plain[1]


def test_crystals_that_do_not_fit_are_refused_with_the_reason(tmp_path: Path) -> None:
    members = members_of(survey_of(tmp_path, cells=("most_atoms: 32", "most_atoms: 8")))
    assert "cells.most_atoms allows 8" in members["AgCu"].entry.refused[0]
    assert members["Au"].entry.refused == ["it holds no Cu"]
    assert all(one.campaign is None for one in members.values())


def test_a_crystal_that_breaks_what_nobody_thought_of_stops_no_other(survey: Survey, monkeypatch) -> None:
    from ionloop.workflows.survey import expansion

    real = expansion.repetitions

    def repetitions(atoms: Atoms, *rest):
        if "Ag" in atoms.symbols:
            raise ZeroDivisionError("an odd cell")
        return real(atoms, *rest)

    monkeypatch.setattr(expansion, "repetitions", repetitions)
    members = members_of(survey)
    assert members["AgCu"].entry.refused == ["cannot be used: ZeroDivisionError: an odd cell"]
    assert members["AuCu"].campaign is not None


def test_submitted_twice_nothing_is_there_twice(survey: Survey, store: Store) -> None:
    members = list(members_of(survey).values())
    first = submit_survey(store, survey, members)
    jobs = count_jobs(store, jobs_wanted())
    assert len(first.added) == 2
    record = store.surveys[survey.name]
    again = submit_survey(store, survey, members)
    assert (again.added, len(again.known)) == ((), 2)
    assert count_jobs(store, jobs_wanted()) == jobs
    assert store.surveys[survey.name] == record
    assert all(one.survey == survey.name for one in store.campaigns.find())
    # The survey's file is no campaign's: whoever looks for one leaves the settings alone.
    assert all(follow_file(store, one) == [] for one in store.campaigns.find())


def test_a_crystal_joins_and_one_that_is_gone_stays(tmp_path: Path, survey: Survey, store: Store) -> None:
    submit_survey(store, survey, list(members_of(survey).values()))
    small_survey.add(tmp_path, "ptcu", "PtCu", 3.1)
    (tmp_path / "structures" / "agcu.cif").unlink()
    done = submit_survey(store, survey, list(members_of(survey).values()))
    assert len(done.added) == 1
    record = store.surveys[survey.name]
    assert len(record.campaigns) == 3
    assert record.gone[0].startswith("AgCu-")


def test_a_kill_between_two_campaigns_is_made_good_by_the_next_start(survey, store, monkeypatch) -> None:
    members = list(members_of(survey).values())
    real = under_test.submit
    calls = []

    def submit(*arguments, **options):
        calls.append(arguments)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(*arguments, **options)

    monkeypatch.setattr(under_test, "submit", submit)
    with pytest.raises(KeyboardInterrupt):
        submit_survey(store, survey, members)
    record = store.surveys[survey.name]
    told = [one.told for one in survey_rows(record, facts_of(store, record))]
    assert "its campaign is not in the store yet" in told
    monkeypatch.setattr(under_test, "submit", real)
    assert len(submit_survey(store, survey, members).added) == 1


def test_a_campaign_that_is_refused_stands_in_the_table(survey: Survey, store: Store, monkeypatch) -> None:
    real = under_test.submit

    def submit(opened, campaign, *rest, **options):
        if "Ag" in campaign.name:
            raise InputError("somebody else's campaign has this name")
        return real(opened, campaign, *rest, **options)

    monkeypatch.setattr(under_test, "submit", submit)
    submit_survey(store, survey, list(members_of(survey).values()), ["a database did not answer"])
    record = store.surveys[survey.name]
    rows = survey_rows(record, facts_of(store, record))
    assert [one.told for one in rows if one.candidate.formula == "AgCu"] == ["somebody else's campaign has this name"]
    assert dict(funnel(rows)) == {
        "candidates": 4, "kept": 1, "begun": 0, "learnt": 0, "lasting": 0, "conducting": 0
    }  # fmt: skip
    assert [one.stage for one in rows] == [Stage.WAITING, *[Stage.REFUSED] * 3]
    assert record.told == ["a database did not answer"]


def test_settings_that_contradict_what_was_done_leave_campaigns_as_they_were(tmp_path, survey, store) -> None:
    members = list(members_of(survey).values())
    submit_survey(store, survey, members)
    # As if the first job had been done.
    store.database.fireworks.update_many({}, {"$set": {"launches": [1]}})
    survey.file.write_text(survey.file.read_text().replace("seed: 7", "seed: 8"))
    changed = read_survey(survey.file)
    done = submit_survey(store, changed, list(members_of(changed).values()))
    assert len(done.known) == 2
    assert all("goes on as it was" in line for line in done.told)


def test_where_sources_are_silent_the_store_knows_the_crystals(survey: Survey, store: Store) -> None:
    members = list(members_of(survey).values())
    submit_survey(store, survey, members)
    again = known_members(store, survey, store.surveys[survey.name])
    assert {one.entry.name for one in again} == {one.entry.name for one in members}
    done = submit_survey(store, survey, again)
    assert (done.added, len(done.known)) == ((), 2)


def test_the_structure_in_the_store_is_that_of_the_file(tmp_path: Path, survey: Survey, store: Store) -> None:
    submit_survey(store, survey, list(members_of(survey).values()))
    (campaign,) = [one for one in store.campaigns.find() if "AgCu" in one.id]
    unit = read(tmp_path / "structures" / "agcu.cif")
    times = campaign.settings["supercell"]
    assert np.allclose(campaign.structure.to_atoms().positions, unit.repeat(times).positions)


def test_provenance_is_kept_with_keys_that_a_database_takes(survey: Survey) -> None:
    unit = read(survey.file.parent / "structures" / "agcu.cif")
    candidate = Candidate(unit, "a database", "mp-1", provenance={"_x.y": "1", "$z": "2"})
    (member,) = expand(survey, Collection((candidate,), (), (), (), (), ()))
    assert member.entry.provenance["provenance"] == {"_x_y": "1", "z": "2"}
    assert member.entry.provenance["identifier"] == "mp-1"
