"""Records chosen by filters: fields of all kinds, values of results, groups, data frames."""

from __future__ import annotations

import pytest

from ionloop.core.errors import InputError
from ionloop.store import Results
from ionloop.store.connection import Store
from ionloop.store.records import ResultRecord

TEMPERATURES = (600.0, 700.0, 800.0)


@pytest.fixture
def conductivities(finished_store: Store) -> Store:
    for model in ("gap", "es-gap"):
        for number, temperature in enumerate(TEMPERATURES):
            finished_store.results.add(
                ResultRecord(
                    id=f"result-{model}-{number}",
                    campaign="small",
                    generation=2,
                    kind="conductivity",
                    model_kind=model,
                    values={
                        "temperature_K": temperature,
                        "conductivity_mS_cm": {"value": 10.0 * (number + 1), "low": 1.0, "high": 90.0},
                        "warning": None,
                        "lengths": [1, 2],
                    },
                    units={"temperature_K": "K", "conductivity_mS_cm": "mS/cm"},
                )
            )
    return finished_store


def test_the_values_of_results_are_fields(conductivities: Store) -> None:
    found = Results(conductivities).find("kind=conductivity", "model=es-gap", "temperature_K>600", "campaign~sm*")
    assert [record.id for record in found.records] == ["result-es-gap-1", "result-es-gap-2"]
    frame = found.to_dataframe()
    assert list(frame["conductivity_mS_cm.value"]) == [20.0, 30.0]
    assert frame.attrs["units"]["conductivity_mS_cm.value"] == "mS/cm"
    assert "warning" not in frame


def test_a_value_with_an_interval_goes_by_its_name(conductivities: Store) -> None:
    found = Results(conductivities).find("kind=conductivity", "conductivity_mS_cm>=30")
    assert {record.values["temperature_K"] for record in found.records} == {800.0}


def test_groups(conductivities: Store) -> None:
    found = Results(conductivities).find("kind=conductivity")
    rows = found.aggregate(
        ["model_kind"], ["count", "mean:conductivity_mS_cm", "min:temperature_K", "std:temperature_K"]
    )
    assert [tuple(row) for row in rows.cells] == [
        ("es-gap", 3, pytest.approx(20.0), 600.0, pytest.approx(100.0)),
        ("gap", 3, pytest.approx(20.0), 600.0, pytest.approx(100.0)),
    ]
    assert rows.columns[2].header == "mean:conductivity_mS_cm.value (mS/cm)"


def test_rows_are_sorted_and_cut(conductivities: Store) -> None:
    found = Results(conductivities).find("kind=conductivity")
    rows = found.rows(["model_kind", "temperature_K"], sort=["-temperature_K", "model_kind"], limit=3)
    assert [tuple(row) for row in rows.cells] == [("es-gap", 800.0), ("gap", 800.0), ("es-gap", 700.0)]
    assert rows.total == 6


def test_other_kinds_are_asked_alike(finished_store: Store) -> None:
    results = Results(finished_store)
    finished = results.find("state=finished", "generation>=1", kind="labels")
    assert finished.records
    assert all(record.state.value == "finished" and record.generation >= 1 for record in finished.records)
    assert results.find("model=gap", kind="models").records == tuple(finished_store.models.find({"kind": "gap"}))


def test_a_model_may_be_named_by_its_identifier(finished_store: Store) -> None:
    model = next(iter(finished_store.models.find({"kind": "gap"})))
    found = Results(finished_store).find(f"model={model.id}")
    assert found.records
    assert all(record.model == model.id for record in found.records)


@pytest.mark.parametrize(
    ("filters", "message"),
    [
        (["temprature_K>1"], "did you mean 'temperature_K'"),
        (["temperature_K>warm"], "is a number"),
        (["temperature_K"], "FIELD OPERATOR VALUE"),
    ],
)
def test_what_cannot_be_meant_is_refused(conductivities: Store, filters: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Results(conductivities).find("kind=conductivity", *filters)


@pytest.mark.parametrize("function", ["average:temperature_K", "mean", "mean:kind"])
def test_an_aggregate_must_make_sense(conductivities: Store, function: str) -> None:
    with pytest.raises(InputError, match=r"aggregate|holds text"):
        Results(conductivities).find("kind=conductivity").aggregate(["model_kind"], [function])


HOSTILE = [
    'id={"$ne":null}',
    "id=$where",
    "campaign={'$gt':''}",
    "kind=a' || 1==1",
    "values.$where=1",
    "model={'$ne':1}",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_no_filter_reaches_the_database(finished_store: Store, text: str) -> None:
    try:
        found = Results(finished_store).find(text)
    except InputError:
        return
    assert found.records == ()


def test_a_store_that_is_not_there_is_not_made(tmp_path) -> None:
    with pytest.raises(InputError, match="there is no store"):
        Results(tmp_path / "missing.db")
    assert list(tmp_path.iterdir()) == []
