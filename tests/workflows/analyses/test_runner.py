"""The graph of an analysis in one process: the numbers of plain function calls, and nothing left behind."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import numpy as np
import pytest
import typer
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.io import write
from typer.testing import CliRunner

from ionloop.analysis.energy_volume.curves import EnergyVolumeSettings, energy_volume_point, fit_points
from ionloop.analysis.fixed_cell_relaxation import relax_ions
from ionloop.analysis.locality.curves import LocalitySettings
from ionloop.analysis.locality.measurement import measure_locality
from ionloop.cli.analyse import energy_volume as command
from ionloop.core.errors import InputError
from ionloop.fitting.data_sets import DataSet, LabelledConfiguration
from ionloop.fitting.models import fit_model, load_model
from ionloop.fitting.settings import GapSettings
from ionloop.store.identifiers import derive_seed
from ionloop.tasks.values.energy_volume import VOLUME_CURVES
from ionloop.tasks.values.locality import LOCALITIES
from ionloop.workflows.analyses.energy_volume.kind import ENERGY_VOLUME
from ionloop.workflows.analyses.locality.kind import LOCALITY
from ionloop.workflows.analyses.runner import Question, ask

SETTINGS = EnergyVolumeSettings(points=5, strain=0.02, reference="none")
GAP = GapSettings.model_validate(
    {
        "two_body": {"cutoff_A": 4.0, "sparse_points": 6},
        "soap": {"cutoff_A": 4.0, "n_max": 3, "l_max": 2, "sparse_points": 12},
    }
)
EMT_ENGINE = {"engine": "command", "calculator": "ase.calculators.emt:EMT"}
EXACT = 1e-12


def crystal() -> Atoms:
    atoms = bulk("CuAu", "cesiumchloride", a=3.2).repeat((2, 2, 2))
    del atoms[[0, 6]]
    return atoms


def whole_crystal() -> Atoms:
    atoms = bulk("CuAu", "cesiumchloride", a=3.1).repeat((2, 1, 1))
    # Something to be relaxed.
    atoms.positions[0] += 0.05
    return atoms


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A GAP of copper and gold, fitted to EMT."""
    labelled = []
    for seed in range(8):
        atoms = crystal() if seed % 2 else bulk("CuAu", "cesiumchloride", a=3.1).repeat((2, 2, 2))
        atoms.set_cell(atoms.cell.array * (0.95 + 0.0125 * seed), scale_atoms=True)
        atoms.rattle(0.08, seed=seed)
        atoms.calc = EMT()
        energy, forces, stress = atoms.get_potential_energy(), atoms.get_forces(), atoms.get_stress()
        atoms.calc = None
        labelled.append(LabelledConfiguration(atoms, float(energy), forces, stress, f"frame-{seed}"))
    folder = tmp_path_factory.mktemp("model") / "gap"
    fit_model("gap", DataSet(tuple(labelled), {"Au": 0.0, "Cu": 0.0}), GAP, None, folder, seed=1)
    return folder


def test_energy_and_volume_are_those_of_plain_calls(model: Path) -> None:
    calculator = load_model(model, backend="native")
    relaxed = relax_ions(whole_crystal(), calculator, SETTINGS.relaxation).atoms
    points = [energy_volume_point(relaxed, calculator, strain, SETTINGS.relaxation) for strain in SETTINGS.strains]
    expected = fit_points(points)
    before = set(Path(tempfile.gettempdir()).glob("ionloop-analyse-*"))
    seen: list[tuple[int, int]] = []
    answer = ask(
        ENERGY_VOLUME, Question(whole_crystal(), [model], SETTINGS), lambda done, total, key: seen.append((done, total))
    )
    assert seen == [(number, SETTINGS.points + 2) for number in range(1, SETTINGS.points + 3)]
    curve = VOLUME_CURVES.read(answer.only(VOLUME_CURVES.name))
    assert curve.fit is not None
    assert curve.fit.model_dump() == pytest.approx(expected.model_dump(), rel=EXACT)
    assert not answer.failed
    assert answer.section is not None
    assert answer.section.key == "energy-volume"
    assert set(Path(tempfile.gettempdir()).glob("ionloop-analyse-*")) == before


def test_the_command_is_the_same_graph(model: Path, tmp_path: Path) -> None:
    write(tmp_path / "cuau.extxyz", whole_crystal())
    app = typer.Typer()
    app.command("energy-volume")(command.energy_volume)
    arguments = [str(tmp_path / "cuau.extxyz"), "--model", str(model), "--points", "5", "--strain", "0.02", "--json"]
    found = CliRunner().invoke(app, arguments, catch_exceptions=False)
    values = json.loads(found.stdout)
    fit = VOLUME_CURVES.read(
        ask(ENERGY_VOLUME, Question(whole_crystal(), [model], SETTINGS)).only(VOLUME_CURVES.name)
    ).fit
    assert fit is not None
    assert (values["cells"], values["unconverged"]) == (5, 0)
    assert values["bulk_modulus_GPa"] == pytest.approx(fit.bulk_modulus_GPa, rel=1e-6)


def test_locality_is_that_of_plain_calls(model: Path) -> None:
    settings = LocalitySettings(potential="gap", radii_A=(2.5, 3.0), samples=3, centres=1, supercell=(1, 1, 1))
    expected = measure_locality(
        crystal(), load_model(model, backend="native"), settings, seed=derive_seed(1, LOCALITY.name)
    )
    answer = ask(LOCALITY, Question(crystal(), [model], settings, campaign={"mobile": "Cu", "models": ["gap"]}))
    found = LOCALITIES.read(answer.only("locality"))
    assert found.before.keys() == expected.before.keys()
    for symbol, curve in expected.before.items():
        np.testing.assert_allclose(found.before[symbol].value_eV_per_A, curve.value_eV_per_A, rtol=1e-9)


def test_what_cannot_be_asked_is_refused(model: Path) -> None:
    with pytest.raises(InputError, match="energy_volume asks the reference here: name an engine"):
        ask(ENERGY_VOLUME, Question(crystal(), [model], SETTINGS.model_copy(update={"reference": "relax"})))
    with pytest.raises(InputError, match="one model of each kind"):
        ask(ENERGY_VOLUME, Question(crystal(), [model, model], SETTINGS))


def test_the_reference_is_asked_where_it_is_named() -> None:
    settings = SETTINGS.model_copy(update={"reference": "relax", "relax_ions": False})
    answer = ask(ENERGY_VOLUME, Question(crystal(), [], settings, reference=EMT_ENGINE))
    curve = VOLUME_CURVES.read(answer.only(VOLUME_CURVES.name))
    assert len(curve.volumes_A3_per_atom) == SETTINGS.points
    assert answer.only(VOLUME_CURVES.name).model_kind == "reference"
