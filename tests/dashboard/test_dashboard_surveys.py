"""The page of surveys: the funnel, every crystal with its campaign, and who was refused."""

from __future__ import annotations

from dashboard_client import ClientOf

from ionloop.store.connection import Store
from ionloop.store.records import SurveyCandidate


def test_a_survey_leads_to_its_campaigns_and_says_who_was_refused(client_of: ClientOf, finished_store: Store) -> None:
    client = client_of(finished_store)
    page = client.get("/survey")
    assert page.status_code == 200
    for text in ("Funnel", '<a href="/campaign?name=small">Li3PS4</a>', "its band gap is 0.10 eV", "b.cif"):
        assert text in page.text
    assert client.get("/survey?name=survey").text == page.text
    assert client.get("/survey?name=another").status_code == 404
    assert 'href="/survey"' in client.get("/").text


def test_a_store_without_surveys_says_how_to_start_one(client_of: ClientOf, store: Store) -> None:
    page = client_of(store).get("/survey")
    assert page.status_code == 200
    assert "ionloop survey" in page.text


def test_texts_of_others_are_text(client_of: ClientOf, finished_store: Store) -> None:
    hostile = "<script>alert(1)</script>"
    record = finished_store.surveys["survey"]
    odd = SurveyCandidate(name="odd", formula=hostile, source=hostile, refused=[hostile], flags=[hostile])
    changed = record.model_copy(update={"candidates": [*record.candidates, odd], "told": [hostile]})
    finished_store.surveys.replace(changed)
    page = client_of(finished_store).get("/survey").text
    assert hostile not in page
    assert "&lt;script&gt;" in page


def test_what_changes_in_the_store_changes_the_page(client_of: ClientOf, finished_store: Store) -> None:
    client = client_of(finished_store)
    before = client.get("/survey").text
    record = finished_store.surveys["survey"]
    finished_store.surveys.replace(record.model_copy(update={"told": ["a database did not answer"]}))
    after = client.get("/survey").text
    assert before != after
    assert "a database did not answer" in after
