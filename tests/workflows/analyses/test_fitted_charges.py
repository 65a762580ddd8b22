"""Charges that were fitted with models, in reports, exports, costs and fields."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ionloop.analysis.errors.statistics import ParityData, collect_parity_data
from ionloop.core.errors import InputError
from ionloop.fitting.electrostatics.charges_file import ChargesFile, FitComparison, SpeciesCharges
from ionloop.fitting.electrostatics.equilibrated.qeq import QeqSettings
from ionloop.fitting.electrostatics.local import LOCAL, LocalSettings
from ionloop.fitting.kinds.base import FitEstimate
from ionloop.fitting.native.sparse_fit.fit_errors import ErrorSummary
from ionloop.store.connection import Store
from ionloop.store.queries.latest import latest_by_model
from ionloop.tasks.base import TaskParameters
from ionloop.tasks.fit import labelled_configurations
from ionloop.tasks.predictions import read_parity, record_predictions, write_parity
from ionloop.workflows.analyses.defects.graph import models_in_field
from ionloop.workflows.analyses.fitted_charges import charge_section, charge_summary
from ionloop.workflows.analyses.sections import FigureBlock
from ionloop.workflows.campaign.settings import Campaign
from ionloop.workflows.exchange.export import Target, export
from ionloop.workflows.report.page import citations


def comparison(force_eV_per_A: float) -> FitComparison:
    errors = ErrorSummary(0.002, force_eV_per_A, None, {})
    return FitComparison(training_errors=errors, leave_out_errors=errors, objective=1.0)


def charges(control: bool = True) -> ChargesFile:
    def species(mean: float) -> SpeciesCharges:
        told = {"std_e": 0.05, "least_e": mean - 0.1, "most_e": mean + 0.1, "uncertainty_e": 0.012}
        return SpeciesCharges(constant_e=mean, coefficients_e=(0.1,), mean_e=mean, **told)

    return ChargesFile(
        kind="local",
        species={"Li": species(0.35), "P": species(1.75), "S": species(-0.7)},
        steps=7,
        has_converged=False,
        fitted=comparison(0.174),
        without_charges=comparison(0.242),
        short_range_control=comparison(0.180) if control else None,
    )


@pytest.fixture
def local_store(finished_store: Store) -> Store:
    """The small campaign, its models on local charges."""
    settings = LocalSettings(charges={"Li": 0.35, "P": 1.75, "S": -0.7}, exponents={"Li": 0.79, "P": 1.6, "S": 1.6})
    for model in finished_store.models.find({"campaign": "small", "kind": "es-gap"}):
        finished_store.models.replace(model.model_copy(update={"baseline": settings.model_dump(mode="json")}))
        charges().write(finished_store.artefacts.path(model.path))
    return finished_store


def test_charges_that_raise_the_error_are_told_as_such():
    file = charges().model_copy(update={"fitted": comparison(0.409)})
    assert "charges raise the leave-out force error from 242 to 409 meV/Å" in charge_summary("ES-GAP", file)


def test_the_report_tells_charges_by_environment(local_store: Store):
    errors = latest_by_model(local_store, "small", "errors", subset="new")["es-gap"]
    configurations = labelled_configurations(local_store, errors.inputs)
    data = collect_parity_data(
        configurations,
        [one.energy for one in configurations],
        [one.forces for one in configurations],
        [np.where(one.atoms.numbers == 3, 0.4, -0.3) for one in configurations],
    )
    place = TaskParameters(campaign="small", generation=errors.generation)
    model = local_store.models[str(errors.model)]
    record_predictions(local_store, place, model, "new", errors.inputs, data)
    section = charge_section(local_store, local_store.models.find({"campaign": "small"}))
    assert section is not None
    (figure,) = (block for block in section.blocks if isinstance(block, FigureBlock))
    assert f"charges of {len(data.elements)} atoms in {len(configurations)} configurations" in figure.caption
    rows = {row[0]: row[2:4] for row in section.blocks[-1].rows}
    assert {name[:2]: told for name, told in rows.items() if name.startswith("Li")} == {"Li": ("+0.400", "0.000")}
    # The same of charges at rest that nothing was fitted for.
    at_rest = QeqSettings(charges={"Li": 0.0, "P": 0.0, "S": 0.0}).model_dump(mode="json")
    for one in local_store.models.find({"campaign": "small", "kind": "es-gap"}):
        local_store.models.replace(one.model_copy(update={"baseline": at_rest}))
    untrained = charge_section(local_store, local_store.models.find({"campaign": "small"}))
    assert untrained is not None
    assert untrained.title == "Charges of the models"
    assert untrained.summary == "ES-GAP has qeq charges, which were fitted to nothing."
    assert [block.caption for block in untrained.blocks[:1]] == [figure.caption]


def test_predictions_with_charges_are_read_as_they_were_written(tmp_path):
    data = ParityData(
        *(np.zeros(shape) for shape in (1, 1, (2, 3), (2, 3))), np.array(["Li", "S"]), np.array([1.0, -1.0])
    )
    write_parity(tmp_path / "with.npz", data)
    assert np.array_equal(read_parity(tmp_path / "with.npz").predicted_charges, [1.0, -1.0])
    write_parity(tmp_path / "without.npz", replace(data, predicted_charges=None))
    assert read_parity(tmp_path / "without.npz").predicted_charges is None, "as an earlier release wrote them"


def test_the_report_tells_the_control_beside_the_gain(local_store: Store):
    section = charge_section(local_store, local_store.models.find({"campaign": "small"}))
    assert section is not None
    assert "from 242 to 174 meV/Å" in section.summary
    assert "an interaction that ends after a few Å reaches 180 meV/Å" in section.summary
    errors, species, environments = section.blocks
    assert "its predictions were not recorded" in environments.text, "as in stores of earlier releases"
    assert [row[0] for row in errors.rows] == ["no charges", "charges, short-ranged control", "charges"]
    assert "7 steps, not converged" in errors.caption
    assert species.rows[0][:3] == ("Li", "+0.350", "0.012")


def test_a_gain_without_control_is_called_so(local_store: Store):
    for model in local_store.models.find({"campaign": "small", "kind": "es-gap"}):
        charges(control=False).write(local_store.artefacts.path(model.path))
    section = charge_section(local_store, local_store.models.find({"campaign": "small"}))
    assert section is not None
    assert "nobody knows how much of that is electrostatics" in section.summary


def test_a_lost_file_of_charges_is_told(local_store: Store):
    for model in local_store.models.find({"campaign": "small", "kind": "es-gap"}):
        (local_store.artefacts.path(model.path) / "charges.json").unlink()
    section = charge_section(local_store, local_store.models.find({"campaign": "small"}))
    assert section is not None
    assert "charges.json is missing" in section.blocks[0].text


def test_models_on_fixed_charges_have_no_such_section(finished_store: Store):
    assert charge_section(finished_store, finished_store.models.find({"campaign": "small"})) is None


@pytest.mark.parametrize("target", [Target.QUIP, Target.LAMMPS])
def test_other_programs_are_refused_by_name(local_store: Store, tmp_path, target):
    with pytest.raises(InputError, match=f"{target.value} cannot evaluate local charges"):
        export(local_store, "small", target, tmp_path / "out", "es-gap")
    assert not (tmp_path / "out").exists()
    assert export(local_store, "small", target, tmp_path / "gap", "gap").is_dir()


def test_no_field_acts_on_them_and_their_work_is_cited():
    document = {"name": "lps", "structure": "li7p3s11"}
    fixed = Campaign.model_validate(document)
    local = Campaign.model_validate({**document, "baseline": {"kind": "local"}})
    assert (models_in_field(fixed), models_in_field(local)) == (("es-gap",), ())
    works = {one.what for one in citations(local.model_dump(mode="json"))}
    assert "Charges from energies and forces" in works
    assert "Charges from energies and forces" not in {one.what for one in citations(fixed.model_dump(mode="json"))}


def test_a_fit_of_both_is_told_to_take_more():
    alone = FitEstimate(100, memory_bytes=1e9, time_s=10.0, model_bytes=1e6, columns=1000)
    both = LOCAL.with_fit(alone)
    assert both.columns == 2000
    assert both.memory_bytes > alone.memory_bytes
    assert both.time_s > 10 * alone.time_s
