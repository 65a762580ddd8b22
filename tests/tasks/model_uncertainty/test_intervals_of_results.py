"""Model intervals of a real fit, as jobs write them into results."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT

from ionloop.analysis.defects.settings import FrenkelSettings
from ionloop.analysis.energy_volume.settings import EnergyVolumeSettings
from ionloop.analysis.errors.statistics import parity_data
from ionloop.fitting.data_sets import DataSet, LabelledConfiguration
from ionloop.fitting.models import fit_model, load_model, load_posterior
from ionloop.fitting.posterior.calibration import FEWEST_GROUPS
from ionloop.fitting.settings import GapSettings
from ionloop.tasks.model_uncertainty.intervals import NOT_A_MODEL, Posteriors, coverage_values, read_posterior
from ionloop.tasks.values.barriers import PotentialOnPathValues
from ionloop.tasks.values.defects import FRENKEL
from ionloop.tasks.values.energy_volume import VOLUME_CURVES
from ionloop.workflows.analyses.defects.kinds import FRENKEL as FRENKEL_ANALYSIS
from ionloop.workflows.analyses.energy_volume.kind import ENERGY_VOLUME
from ionloop.workflows.analyses.runner import OwnCalculator, Question, ask

LATTICE_A = 3.05
SETTINGS = GapSettings.model_validate(
    {
        "two_body": {"cutoff_A": 4.0, "sparse_points": 8},
        "soap": {"cutoff_A": 4.0, "n_max": 3, "l_max": 2, "sparse_points": 12},
    }
)


def crystal() -> Atoms:
    return bulk("CuAu", "cesiumchloride", a=LATTICE_A).repeat((2, 2, 1))


def labelled(seeds: range) -> tuple[LabelledConfiguration, ...]:
    found = []
    for seed in seeds:
        atoms = crystal()
        atoms.set_cell(atoms.cell * (1 + 0.01 * (seed % 5 - 2)), scale_atoms=True)
        atoms.rattle(0.12, seed=seed)
        asked = atoms.copy()
        asked.calc = EMT()
        found.append(
            LabelledConfiguration(
                atoms, asked.get_potential_energy(), np.array(asked.get_forces()), asked.get_stress(), f"label-{seed}"
            )
        )
    return tuple(found)


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("fitted") / "model"
    fit_model("gap", DataSet(labelled(range(FEWEST_GROUPS + 7)), {"Au": 0.0, "Cu": 0.0}), SETTINGS, None, folder)
    return folder


@pytest.mark.slow
def test_an_equation_of_state_gets_the_intervals_of_the_models_draws(model):
    settings = EnergyVolumeSettings(strain=0.03, points=6, relax_ions=False, reference="none")
    answer = ask(ENERGY_VOLUME, Question(bulk("CuAu", "cesiumchloride", a=LATTICE_A), [model], settings))
    values = VOLUME_CURVES.read(answer.only(VOLUME_CURVES.name))
    assert values.fit is not None
    posterior = load_posterior(model)
    cells = [bulk("CuAu", "cesiumchloride", a=LATTICE_A) for _ in values.volumes_A3_per_atom]
    for cell, volume in zip(cells, values.volumes_A3_per_atom, strict=True):
        cell.set_cell(cell.cell * (2 * volume / cell.get_volume()) ** (1 / 3), scale_atoms=True)
    lowest = int(np.argmin(values.energies_eV_per_atom))
    spread = [posterior.half_width(posterior.difference_std_eV(cells[lowest], cell)) / 2 for cell in cells]
    assert values.energies_model_half_width_eV_per_atom == pytest.approx(spread, abs=1e-9)
    assert values.model_interval_reason == ""
    assert 0 < values.volume_model_half_width_A3_per_atom < 0.1 * values.fit.volume_A3_per_atom
    assert values.bulk_modulus_model_half_width_GPa > 0
    assert answer.section is not None
    assert "(fit) ±" in answer.section.summary
    assert "(model) GPa" in answer.section.summary


def test_a_calculator_that_stands_in_has_no_interval_and_the_report_says_why():
    settings = EnergyVolumeSettings(strain=0.03, points=6, relax_ions=False, reference="none")
    answer = ask(ENERGY_VOLUME, Question(bulk("Cu"), [OwnCalculator(EMT(), name="emt")], settings))
    values = VOLUME_CURVES.read(answer.only(VOLUME_CURVES.name))
    assert values.volume_model_half_width_A3_per_atom is None
    assert "has no posterior" in values.model_interval_reason
    assert answer.section is not None
    assert any("no model interval" in getattr(block, "text", "") for block in answer.section.blocks)


@pytest.mark.slow
def test_formation_energies_get_the_intervals_of_their_differences(model):
    settings = FrenkelSettings(
        pairs=1, attempts=2, fields_V_per_A=(), supercell=(1, 1, 1), reference=False,
        relaxation={"max_steps": 50, "force_tolerance_eV_per_A": 1.0},
        basins={"recombination_radius_A": 0.05},
    )  # fmt: skip
    atoms = crystal()
    del atoms[0]
    answer = ask(FRENKEL_ANALYSIS, Question(atoms, [model], settings, campaign={"mobile": "Cu", "seed": 1}))
    values = FRENKEL.read(answer.only(FRENKEL.name))
    assert values.intact, answer.failed
    widths = [
        pair.formation_energy_model_half_width_eV for pair in values.pairs if pair.formation_energy_eV is not None
    ]
    assert all(width is not None and width > 0 for width in widths)
    # The mean of correlated errors is no surer than the least sure of them, and surer than all errors added up.
    assert 0 < values.formation_energy_model_half_width_eV <= max(widths) + 1e-12


def test_errors_on_new_labels_say_how_often_they_lie_inside(model, store, builder):
    builder.add_campaign()
    labels = builder.add_generation_0()
    assert labels
    record = builder.add_model("gap", 1, builder.add_data_set(1, []))
    shutil.copytree(model, store.artefacts.path(record.path), dirs_exist_ok=True)
    new = labelled(range(100, 112))
    told = coverage_values(store, record.id, new, parity_data(load_model(model), new))
    coverage = told["model_interval_coverage"]
    assert set(coverage.force_by_element_eV_per_A) == {"Au", "Cu"}
    assert coverage.force_eV_per_A.count == 3 * sum(len(one.atoms) for one in new)
    # The fit left out labels of the same kind: what is calibrated on them holds here.
    assert 0.5 < coverage.force_eV_per_A.rms_z < 2.0
    assert coverage.force_eV_per_A.inside_95 > 0.8
    assert coverage.energy_eV.inside_95 > 0.8


def test_the_reference_is_no_model_and_a_damaged_posterior_is_told(model, store, tmp_path):
    assert Posteriors(store).of(None) == NOT_A_MODEL
    assert "not in the store" in Posteriors(store).of("model-gone")
    xml = tmp_path / "gap.xml"
    xml.write_text("<x/>")
    assert read_posterior(xml) == "gap.xml is a potential alone, without the folder of its fit: it has no posterior"
    assert str(tmp_path) not in str(read_posterior(tmp_path / "nothing"))
    assert not isinstance(read_posterior(model), str)


def test_what_no_model_interval_is_known_of_is_written_as_before():
    """Records without are those of the release before."""
    energies = {"energies_eV": (0.0, 0.1), "curve_coordinate_A": (), "curve_energies_eV": ()}
    numbers = {"forward_eV": 0.1, "reverse_eV": 0.0, "maximum_A": 1.0, "fit_error_eV": 0.01}
    bare = PotentialOnPathValues(**energies, **numbers)
    assert set(bare.model_dump()) == {*energies, *numbers}
    sure = bare.model_copy(update={"forward_model_half_width_eV": 0.0})
    assert sure.model_dump()["forward_model_half_width_eV"] == 0.0
