"""Kinds of results: every value has a unit or says that it has none, and what earlier releases wrote is read."""

from __future__ import annotations

import importlib
import json
import lzma
import pkgutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel

from ionloop.store.records import RecordUnreadable, ResultRecord
from ionloop.store.result_kinds import ResultKind, _models_in
from ionloop.tasks import values
from ionloop.tasks.values.barriers import HOPS
from ionloop.tasks.values.charges import BY_ERROR, BY_LOCALITY, CHARGES_BY_ERROR, CHARGES_BY_LOCALITY, FITTED_CHARGES
from ionloop.tasks.values.defects import FRENKEL_IN_FIELD
from ionloop.tasks.values.energy_volume import CurveValues
from ionloop.tasks.values.loop import CONCLUSIONS, MODEL_ERRORS, ConclusionValues

DOCUMENTS = Path(__file__).parent / "results-of-0.1.json.xz"
"""One result of every kind, written by the tasks of the release before their values had types."""


def kinds() -> dict[str, ResultKind]:
    modules = [
        importlib.import_module(f"{values.__name__}.{one.name}") for one in pkgutil.iter_modules(values.__path__)
    ]
    return {
        f"{module.__name__}.{name}": kind
        for module in modules
        for name, kind in vars(module).items()
        if isinstance(kind, ResultKind)
    }


def fields(model: type[BaseModel], above: str = "") -> Iterator[tuple[str, str]]:
    """Yield the fields of a type and of those inside with their descriptions."""
    for name, field in model.model_fields.items():
        inner = list(_models_in(field.annotation))
        # What the whole says goes for everything below.
        if not inner or (field.description or "").endswith(")"):
            yield f"{above}{name}", field.description or ""
        else:
            for one in inner:
                yield from fields(one, f"{above}{name}.")


@pytest.mark.parametrize("kind", kinds().values(), ids=kinds())
def test_every_value_says_its_unit_or_that_it_has_none(kind):
    assert [name for name, description in fields(kind.values_type) if not description.endswith(")")] == []


def test_units_are_those_of_records():
    summary = HOPS.units["summary"]
    assert isinstance(summary, dict)
    assert (summary["mean_jump_A"], HOPS.units["duration_ps"]) == ("Å", "ps")
    # A record's units are two deep: those of values farther below stand beside their neighbours.
    assert FRENKEL_IN_FIELD.units["pairs"] == {
        "separation_A": "Å", "dipole_eA": "e Å", "field_V_per_A": "V/Å", "formation_energy_eV": "eV",
        "formation_energy_model_half_width_eV": "eV", "dipole_model_half_width_eA": "e Å",
    }  # fmt: skip
    assert MODEL_ERRORS.units["force_eV_per_A"] == "eV/Å"


SINCE_THEN = {
    "ionloop.tasks.values.experts.EXPERTS",
    *(f"ionloop.tasks.values.glasses.{name}" for name in ("GLASS", "GLASSES")),
    "ionloop.tasks.values.properties.PROPERTIES",
    *(f"ionloop.tasks.values.screening.{name}" for name in ("SCREENING_CELLS", "SCREENING_RUNS", "SCREENINGS")),
    *(f"ionloop.tasks.values.rotation.{name}" for name in ("HELD_POLYANIONS", "ROTATIONS")),
    "ionloop.tasks.values.speciation.SPECIATIONS",
    "ionloop.tasks.values.structure_functions.STRUCTURE_FUNCTIONS",
    "ionloop.tasks.values.tuning.TUNINGS",
    "ionloop.tasks.values.learning.LEGS",
    "ionloop.tasks.values.learning.ROUNDS",
    "ionloop.tasks.values.learning.UPDATES",
}


def test_results_of_the_release_before_are_read():
    documents = json.loads(lzma.decompress(DOCUMENTS.read_bytes()))
    read = set()
    for document in documents:
        record = ResultRecord.from_document(document)
        for name, kind in kinds().items():
            other = {BY_LOCALITY: CHARGES_BY_ERROR, BY_ERROR: CHARGES_BY_LOCALITY}.get(record.values.get("criterion"))
            if kind.name == record.kind and kind not in (other, FITTED_CHARGES):
                again = kind.document(kind.read(record))
                assert {key: again[key] for key in record.values} == record.values, name
                read.add(name)
            elif kind.name == record.kind and kind is FITTED_CHARGES:
                assert kind.read(record).charges == record.values["charges"]
                read.add(name)
    assert read == set(kinds()) - SINCE_THEN


def record(**values) -> ResultRecord:
    return ResultRecord(id="result-1", campaign="c", kind="conclusion", values=values)


def test_what_a_later_release_added_is_left_out():
    found = CONCLUSIONS.read(record(reason="converged", converged=True, models={}, added=1))
    assert found == ConclusionValues(reason="converged", converged=True, models={})


def test_what_is_no_such_result_is_refused_by_name():
    with pytest.raises(RecordUnreadable, match=r"'result-1' holds no conclusion \(wrong: converged, models\)"):
        CONCLUSIONS.read(record(reason="converged"))
    with pytest.raises(TypeError, match="values of conclusion are ConclusionValues, not CurveValues"):
        CONCLUSIONS.document(CurveValues.model_construct())
    assert CHARGES_BY_LOCALITY.name == CHARGES_BY_ERROR.name == FITTED_CHARGES.name
