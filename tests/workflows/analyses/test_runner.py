"""The graph of an analysis in one process: the numbers of plain function calls, and nothing left behind."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.calculators.mixing import SumCalculator
from ase.io import write
from matscipy.calculators.pair_potential import LennardJonesCut, PairPotential
from typer.testing import CliRunner

from ionloop.analysis.defects.settings import FrenkelSettings
from ionloop.analysis.energy_volume.curves import energy_volume_point, fit_points
from ionloop.analysis.energy_volume.settings import EnergyVolumeSettings
from ionloop.analysis.fixed_cell_relaxation import relax_ions
from ionloop.analysis.fixed_cell_relaxation_settings import FixedCellRelaxation
from ionloop.analysis.locality.settings import LocalitySettings
from ionloop.cli.analyse import energy_volume as command
from ionloop.core.errors import InputError
from ionloop.fitting.data_sets import DataSet, LabelledConfiguration
from ionloop.fitting.electrostatics.baseline import SlaterEwald
from ionloop.fitting.models import fit_model, load_model
from ionloop.fitting.settings import GapSettings
from ionloop.sampling.structures.crystals import build_crystal
from ionloop.tasks.values.defects import FRENKEL, FRENKEL_IN_FIELD
from ionloop.tasks.values.energy_volume import VOLUME_CURVES
from ionloop.tasks.values.locality import LOCALITIES
from ionloop.workflows.analyses.defects.kinds import FRENKEL as FRENKEL_PAIRS
from ionloop.workflows.analyses.energy_volume.kind import ENERGY_VOLUME
from ionloop.workflows.analyses.locality.kind import LOCALITY
from ionloop.workflows.analyses.runner import Answer, OwnCalculator, Question, ask
from ionloop.workflows.campaign.baseline_charges import slater_exponent

SETTINGS = EnergyVolumeSettings(points=5, strain=0.02, reference="none")
GAP = GapSettings.model_validate(
    {
        "two_body": {"cutoff_A": 4.0, "sparse_points": 6},
        "soap": {"cutoff_A": 4.0, "n_max": 3, "l_max": 2, "sparse_points": 12},
    }
)
EMT_ENGINE = {"engine": "command", "calculator": "ase.calculators.emt:EMT"}
EXACT = 1e-12
SALT_CHARGES = {"Na": 0.8, "Cl": -0.8}
CHARGES = {"Li": 0.3, "P": 1.5, "S": -0.6}
FIELD_SETTINGS = FrenkelSettings(
    pairs=1,
    attempts=2,
    supercell=(2, 2, 2),
    axes=("x", "z"),
    fields_V_per_A=(-0.05, 0.05),
    relaxation=FixedCellRelaxation(max_step_A=0.1),
    reference=False,
)
FEW_FRAMES = {"temperature_K": 300, "timestep_fs": 0.5, "equilibration_steps": 2, "frames": 3, "steps_per_frame": 2}
RELAXED_EV = 1e-6
"""Where a relaxation ends may differ by this between machines (eV)."""
RELAXED_EA = 1e-4
SLOPE_TOLERANCE = 0.05
"""Of the dipole: what the curvature between -0.05 and 0.05 V/Å leaves in the mean slope."""


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


def pair_potential() -> SumCalculator:
    """The toy of examples/defects.py: rock salt's charges and repulsion."""
    repulsion = {
        (11, 17): LennardJonesCut(0.1, 2.55, 5.0),
        (17, 17): LennardJonesCut(0.01, 3.4, 5.0),
        (11, 11): LennardJonesCut(0.01, 2.2, 5.0),
    }
    return SumCalculator([SlaterEwald(SALT_CHARGES, accuracy=1e-4), PairPotential(repulsion)])


def salt_question(**changes: Any) -> Question:
    salt = bulk("NaCl", "rocksalt", a=5.64, cubic=True)
    own = OwnCalculator(pair_potential(), SALT_CHARGES)
    return Question(salt, [own], FIELD_SETTINGS.model_copy(update=changes), campaign={"mobile": "Na", "seed": 1})


@pytest.fixture(scope="module")
def salt() -> Answer:
    return ask(FRENKEL_PAIRS, salt_question())


def test_frenkel_pairs_are_those_of_plain_calls(salt: Answer) -> None:
    # By `relax_ions`, `field_branch` and `dipole_difference_eA` one after the other, before there was a graph for it.
    gone, whole = FRENKEL.read(salt.only(FRENKEL.name)).pairs
    assert (gone.state, gone.formation_energy_eV) == ("recombined", None)
    assert whole.separation_A == pytest.approx(4.676440954401114, rel=EXACT)
    assert whole.formation_energy_eV == pytest.approx(2.2312213719, abs=RELAXED_EV)
    (pair,) = FRENKEL_IN_FIELD.read(salt.only(FRENKEL_IN_FIELD.name)).pairs
    assert pair.dipole_eA == pytest.approx((3.2289642087, -1.0309592534, -1.0309592534), abs=RELAXED_EA)
    energies = {axis: [point.formation_energy_eV for point in points] for axis, points in pair.axes.items()}
    assert energies["x"] == pytest.approx([2.3872635396, 2.2312213719, 2.0627334081], abs=RELAXED_EV)
    assert energies["z"] == pytest.approx([2.1788676482, 2.2312213719, 2.2813436931], abs=RELAXED_EV)


def test_formation_energies_fall_along_the_dipole(salt: Answer) -> None:
    (pair,) = FRENKEL_IN_FIELD.read(salt.only(FRENKEL_IN_FIELD.name)).pairs
    for axis, component in (("x", 0), ("z", 2)):
        low, _, high = (point.formation_energy_eV for point in pair.axes[axis])
        slope = (high - low) / 0.1
        assert slope == pytest.approx(-pair.dipole_eA[component], abs=SLOPE_TOLERANCE * np.linalg.norm(pair.dipole_eA))


def test_no_room_is_told_before_anything_is_relaxed() -> None:
    with pytest.raises(InputError, match="larger supercell"):
        ask(FRENKEL_PAIRS, salt_question(minimum_separation_A=40.0))


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (
            {"radii_A": (2.5, 3.0), "samples": 2, "centres": 1},
            {"Li": 0.03937012406, "P": 0.07152886969, "S": 0.1347255415},
        ),
        (
            {"protocol": "frozen-sphere", "radii_A": (3.0,), "centres": 1, "frozen_sphere": FEW_FRAMES},
            {"Li": 0.001102535808, "P": 0.001868821137, "S": 0.002868995524},
        ),
    ],
    ids=["displacement", "frozen-sphere"],
)
def test_locality_is_that_of_plain_calls(settings: dict[str, Any], expected: dict[str, float]) -> None:
    # By `induced_response` and `run_frozen_sphere`, centre by centre, before there was a graph for it.
    calculator = SlaterEwald(CHARGES, {symbol: slater_exponent(symbol) for symbol in CHARGES})
    own = OwnCalculator(calculator, name="ewald")
    half = {symbol: charge / 2 for symbol, charge in CHARGES.items()}
    question = Question(
        build_crystal("gamma-li3ps4"),
        [own],
        LocalitySettings(potential=own.name, **settings),
        campaign={"baseline": {"charges": half}},
    )
    found = LOCALITIES.read(ask(LOCALITY, question).only(LOCALITIES.name))
    assert found.potential == "ewald"
    assert {symbol: found.before[symbol].value_eV_per_A[0] for symbol in CHARGES} == pytest.approx(expected, rel=1e-6)
    # Coulomb forces go with the product of two charges: those of halved ones are a quarter.
    assert found.after is not None
    assert {symbol: found.after[symbol].value_eV_per_A[0] for symbol in CHARGES} == pytest.approx(
        {symbol: 0.75 * value for symbol, value in expected.items()}, rel=1e-5
    )


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
