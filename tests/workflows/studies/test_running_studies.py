"""Both studies end to end on a set that costs seconds: Cu and Au by EMT, through the functions and the command."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.io import write

from ionloop.analysis.studies.studies import ReferenceQualityStudy
from ionloop.cli import study as command
from ionloop.core.errors import InputError
from ionloop.fitting.consistency import MixedReferencesError
from ionloop.fitting.data_sets import DataSet, LabelledConfiguration, mean_energy_per_atom, read_extxyz, write_extxyz
from ionloop.fitting.settings import GapSettings
from ionloop.labelling.engines.imported import ImportedSettings
from ionloop.workflows.exchange.import_labels import ImportRequest, import_labels, read_importable
from ionloop.workflows.studies.results import campaign_data_set, record_data_size, study_page, study_sections
from ionloop.workflows.studies.runs import (
    NamedLabels,
    StudyPlan,
    TransportRun,
    common_configurations,
    farthest_point_order,
    run_data_size_study,
    run_reference_quality_study,
)

SETTINGS = {
    "two_body": {"cutoff_A": 4.0, "sparse_points": 4},
    "soap": {"cutoff_A": 3.5, "n_max": 2, "l_max": 1, "sparse_points": 8},
}
GAP = GapSettings.model_validate(SETTINGS)
COMMAND_ENGINE = "{engine: command, calculator: 'ase.calculators.emt:EMT'}"


def crystal(seed: int) -> Atoms:
    atoms = bulk("CuAu", "cesiumchloride", a=3.1).repeat((2, 2, 1))
    atoms.rattle(0.02 + 0.01 * seed, seed=seed)
    return atoms


def labels(count: int, noise: float = 0.0, offset: float = 0.0) -> DataSet:
    """Return EMT's labels, with errors of the forces and an offset of the energy per atom put on."""
    found = []
    random = np.random.default_rng(7)
    for seed in range(count):
        atoms = crystal(seed)
        atoms.calc = EMT()
        forces = atoms.get_forces() + noise * random.normal(size=(len(atoms), 3))
        energy = atoms.get_potential_energy() + offset * len(atoms) - 3.0 * len(atoms)
        found.append(LabelledConfiguration(atoms, energy, forces, atoms.get_stress(), f"emt-{seed}"))
    return DataSet(tuple(found), mean_energy_per_atom(found))


@pytest.fixture
def plan(tmp_path) -> StudyPlan:
    return StudyPlan(folder=tmp_path / "study", kind="gap", settings=GAP)


class TestDataSize:
    def test_models_of_nested_halves_are_measured_on_the_same_held_out_structures(self, plan):
        study = run_data_size_study(labels(11), plan, smallest=2)
        assert study.held_out == 2
        assert [point.configurations for point in study.points] == [9, 4, 2]
        assert [point.environments["Cu"] for point in study.points] == [36, 16, 8]
        assert all(point.errors.force_eV_per_A.count == 2 * 8 * 3 for point in study.points)
        assert study.points[0].errors.force_eV_per_A.rmse < study.points[-1].errors.force_eV_per_A.rmse

    def test_an_interrupted_study_finds_its_models(self, plan):
        first = run_data_size_study(labels(6), plan, smallest=2)
        again = run_data_size_study(labels(6), plan, smallest=2)
        assert again == first

    def test_the_order_begins_in_the_middle_and_names_every_structure_once(self):
        order = farthest_point_order(labels(6).configurations, seed=1)
        assert sorted(order) == list(range(6))
        # The most displaced crystal is farthest from the most central one.
        assert order[1] in (0, 5)

    def test_transport_of_every_model_is_measured_or_told_why_not(self, plan, tmp_path):
        run = TransportRun(
            temperatures_K=(300.0,),
            length_ps=0.12,
            equilibration_ps=0.0,
            timestep_fs=2.0,
            write_every=2,
            mobile="Cu",
        )
        study = run_data_size_study(labels(6), StudyPlan(tmp_path / "t", "gap", GAP, transport=run), smallest=5)
        (transport,) = study.points[0].transport
        assert transport.temperature_K == 300.0
        assert transport.diffusivity_A2_per_ps is not None or transport.remark
        # A crystal at room temperature does not conduct.
        assert not transport.reliable

    def test_ions_that_are_nowhere_are_asked_for(self, tmp_path):
        plan = StudyPlan(tmp_path / "t", "gap", GAP, transport=TransportRun())
        with pytest.raises(InputError, match="no configuration holds Li"):
            run_data_size_study(labels(6), plan)


class TestReferenceQuality:
    def test_noise_of_the_labels_shows_in_forces_and_in_the_models(self, plan):
        first, second = labels(8), labels(8, noise=0.2, offset=1.5)
        study = run_reference_quality_study(NamedLabels("full", first), NamedLabels("noisy", second), plan)
        assert study.differences.force_eV_per_A.rmse == pytest.approx(0.2, rel=0.2)
        assert study.differences.energy_offset_eV_per_atom["AuCu"] == pytest.approx(1.5)
        clean, noisy = study.models
        assert (clean.fitted_to, noisy.fitted_to) == ("full", "noisy")
        assert noisy.errors.force_eV_per_A.rmse > clean.errors.force_eV_per_A.rmse
        # The noise that its own labels carry is no error of the model.
        assert noisy.force_error_against_other.rmse < noisy.errors.force_eV_per_A.rmse

    def test_structures_are_matched_whatever_their_order(self):
        first, second = labels(5), labels(7)
        shuffled = DataSet(second.configurations[::-1], second.isolated_atom_energies)
        both = common_configurations(first, shuffled)
        assert [one.identifier for one in both[1].configurations] == [one.identifier for one in first.configurations]
        with pytest.raises(InputError, match="no structure in common"):
            common_configurations(first, DataSet(second.configurations[5:]))


class TestResults:
    def test_a_study_of_a_campaign_is_a_section_of_its_report(self, store, plan, tmp_path):
        write_extxyz(tmp_path / "labels.xyz", DataSet(labels(8).configurations))
        import_labels(
            store, read_importable(ImportRequest(tmp_path / "labels.xyz", ImportedSettings(source="emt"), "emt"))
        )
        data_set = campaign_data_set(store, "emt")
        assert len(data_set) == 8
        study = run_data_size_study(data_set, plan, smallest=3)
        assert record_data_size(store, "emt", study).kind == "data-size"
        (section,) = study_sections(store, "emt")
        assert "2 held-out configurations" in section.summary
        page = study_page(section)
        assert "<table>" in page
        assert page.count("plotly-graph-div") >= 2

    def test_a_campaign_that_is_not_there_is_named(self, store):
        with pytest.raises(InputError, match="unknown campaign 'none'"):
            campaign_data_set(store, "none")


@pytest.fixture
def files(tmp_path: Path) -> Path:
    write_extxyz(tmp_path / "labels.xyz", DataSet(labels(8).configurations))
    (tmp_path / "settings.yaml").write_text(json.dumps({"gap": SETTINGS}))
    (tmp_path / "emt.yaml").write_text(f"reference: {COMMAND_ENGINE}\n")
    return tmp_path


def test_the_data_size_command_writes_table_json_and_page(files, capsys):
    out = files / "out"
    command.data_size(out, files / "labels.xyz", smallest=3, settings=files / "settings.yaml")
    told = capsys.readouterr().out
    assert "2 held-out configurations" in told
    assert json.loads((out / "data-size.json").read_text())["points"][0]["configurations"] == 6
    assert (out / "data-size.html").stat().st_size > 1e6
    with pytest.raises(InputError, match="one of the two"):
        command.data_size(out)


def test_the_reference_quality_command_computes_the_second_labels(files, capsys):
    out, settings = files / "out", files / "settings.yaml"
    command.reference_quality(
        out, files / "labels.xyz", relabel=[files / "emt.yaml"], names="old,new", settings=settings, as_json=True
    )
    study = ReferenceQualityStudy.model_validate_json(capsys.readouterr().out)
    # The same engine again: equal forces, and the offset that was put on the energies.
    assert study.differences.force_eV_per_A.maximum < 1e-8
    assert study.differences.energy_offset_eV_per_atom["AuCu"] == pytest.approx(3.0)
    assert study.models[0].errors.force_eV_per_A.rmse == pytest.approx(study.models[1].errors.force_eV_per_A.rmse)
    with pytest.raises(InputError, match="a second file"):
        command.reference_quality(out, files / "labels.xyz", settings=settings)


def test_the_reference_quality_command_computes_both_labels_of_bare_structures(files, capsys):
    out = files / "out"
    write(files / "bare.xyz", [crystal(seed) for seed in range(8)], format="extxyz")
    engines = [files / "emt.yaml", files / "emt.yaml"]
    command.reference_quality(out, files / "bare.xyz", relabel=engines, settings=files / "settings.yaml", as_json=True)
    study = ReferenceQualityStudy.model_validate_json(capsys.readouterr().out)
    assert study.differences.configurations == 8
    assert study.differences.force_eV_per_A.maximum == 0.0
    written = read_extxyz(out / "first-labels.xyz")
    assert len(written) == 8
    assert {str(one.labelled_by).partition(":")[0] for one in written} == {"command"}
    with pytest.raises(InputError, match="or two for both"):
        command.reference_quality(out, files / "bare.xyz", files / "labels.xyz", relabel=engines)


def test_the_reference_quality_command_refuses_a_set_of_two_references(files):
    one, *others = labels(8).configurations
    mixed = DataSet((replace(one, labelled_by="vasp:1"), *(replace(other, labelled_by="aims:2") for other in others)))
    write_extxyz(files / "mixed.xyz", mixed)
    settings = files / "settings.yaml"
    with pytest.raises(MixedReferencesError, match="aims:2"):
        command.reference_quality(files / "out", files / "mixed.xyz", files / "labels.xyz", settings=settings)
    mix = "vasp:1,aims:2"
    command.reference_quality(files / "out", files / "mixed.xyz", files / "labels.xyz", settings=settings, mix=mix)
    assert (files / "out" / "reference-quality.json").exists()
