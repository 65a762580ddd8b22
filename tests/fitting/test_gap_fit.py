from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest

from ionloop.core.errors import InputError
from ionloop.fitting import gap_fit
from ionloop.fitting.calculators import GapCalculator
from ionloop.fitting.data_sets import DataSet, LabelledConfiguration, format_extxyz
from ionloop.fitting.gap_fit import (
    LOG_FILE,
    POTENTIAL_FILE,
    FitLimits,
    GapFitError,
    TargetCounts,
    build_arguments,
    check_counts,
    expected_counts,
    explain_failure,
    find_executable,
    fit_gap,
    format_targets,
    parse_counts,
    read_log,
    run_gap_fit,
)
from ionloop.fitting.settings import GapSettings, Regularisation, SoapSettings, TwoBodySettings

PAIRS = [("Li", "Li"), ("Li", "S"), ("S", "S")]
KILL_PATIENCE_S = 10.0


def force_rmse(folder: Path, data_set: DataSet, element: str) -> float:
    calculator = GapCalculator(folder / POTENTIAL_FILE, data_set.elements)
    errors = [
        (calculator.get_property("forces", item.atoms) - item.forces)[item.atoms.symbols == element]
        for item in data_set
    ]
    return float(np.sqrt(np.mean(np.concatenate(errors) ** 2)))


def make_program(folder: Path, script: str) -> Path:
    program = folder / "fake_gap_fit"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return program


def run_program(folder: Path, script: str, wall_time_s: float | None = None) -> float:
    limits = FitLimits(executable=make_program(folder, script), wall_time_s=wall_time_s)
    return run_gap_fit(folder, ["x=1"], limits)


def test_equal_inputs_give_equal_bytes(lithium_sulfide: DataSet, small_settings: GapSettings, tmp_path: Path) -> None:
    contents = []
    for name in ("one", "two"):
        folder = tmp_path / name
        folder.mkdir()
        fit_gap(folder, lithium_sulfide, PAIRS, small_settings, seed=4, limits=FitLimits())
        contents.append({path.name: path.read_bytes() for path in folder.iterdir() if path.name != LOG_FILE})
    assert contents[0] == contents[1]
    assert b"alpha=" in contents[0][POTENTIAL_FILE]


def test_the_seed_changes_the_sparse_points(
    lithium_sulfide: DataSet, small_settings: GapSettings, tmp_path: Path
) -> None:
    potentials = []
    for seed in (0, 1):
        folder = tmp_path / str(seed)
        folder.mkdir()
        fit_gap(folder, lithium_sulfide, PAIRS, small_settings, seed=seed, limits=FitLimits())
        potentials.append("".join(re.findall(r'alpha="[^"]*"', (folder / POTENTIAL_FILE).read_text())))
    assert potentials[0] != potentials[1]


def test_fit_is_that_of_a_command_written_by_hand(lithium_sulfide: DataSet, tmp_path: Path) -> None:
    """Descriptors expanded by gap_fit and one regularisation for all: the weights agree to the last bit.

    gap_fit expands elements in the order of their appearance, which is by atomic number here, as ours is always.
    """
    settings = GapSettings(
        two_body=TwoBodySettings(cutoff_A=4.5, sparse_points=8),
        soap=SoapSettings(cutoff_A=4.0, n_max=3, l_max=2, sparse_points=15),
        regularisation=Regularisation(force_eV_per_A=0.07),
    )
    ours, by_hand = tmp_path / "ours", tmp_path / "by_hand"
    ours.mkdir()
    by_hand.mkdir()
    fit_gap(ours, lithium_sulfide, PAIRS, settings, seed=0, limits=FitLimits())
    (by_hand / "train.xyz").write_text("".join(format_extxyz(item) for item in lithium_sulfide))
    arguments = [
        "at_file=train.xyz",
        "gap={distance_2b cutoff=4.5 cutoff_transition_width=1.0 covariance_type=ard_se delta=1.0 "
        "theta_uniform=1.0 n_sparse=8 sparse_method=uniform add_species=T : soap n_max=3 l_max=2 atom_sigma=0.5 "
        "cutoff=4.0 cutoff_transition_width=1.0 zeta=4 covariance_type=dot_product delta=0.5 n_sparse=15 "
        "sparse_method=cur_points add_species=T}",
        "e0={Li:-1.5:S:-2.5}",
        "default_sigma={0.001 0.07 0.02 0.0}",
        "energy_parameter_name=REF_energy",
        "force_parameter_name=REF_forces",
        "virial_parameter_name=REF_virial",
        "sparse_jitter=1e-8",
        "rnd_seed=1",
        "gp_file=gap.xml",
    ]
    run_gap_fit(by_hand, arguments, FitLimits())
    weights = [re.findall(r'alpha="([^"]*)"', (folder / POTENTIAL_FILE).read_text()) for folder in (ours, by_hand)]
    assert weights[0] == weights[1]
    assert len(weights[0]) == 3 * 8 + 2 * 15


def test_all_targets_are_found_and_the_command_is_kept(
    lithium_sulfide: DataSet, small_settings: GapSettings, tmp_path: Path
) -> None:
    first, *rest = lithium_sulfide
    data_set = DataSet((replace(first, stress=None), *rest), lithium_sulfide.isolated_atom_energies)
    run = fit_gap(tmp_path, data_set, PAIRS, small_settings, seed=0, limits=FitLimits())
    n_atoms = sum(item.n_atoms for item in data_set)
    assert run.counts == TargetCounts(energies=5, forces=3 * n_atoms, virials=6 * 4)
    assert run.command[0] == "gap_fit"
    assert "e0={Li:-1.5:S:-2.5}" in run.command


@pytest.mark.slow
def test_force_errors_by_element_are_honoured(
    lithium_sulfide: DataSet, small_settings: GapSettings, tmp_path: Path
) -> None:
    errors: dict[str, dict[str, float]] = {}
    for trusted, other in (("Li", "S"), ("S", "Li")):
        folder = tmp_path / trusted
        folder.mkdir()
        regularisation = Regularisation(
            energy_eV_per_atom=0.1,
            virial_eV_per_atom=1.0,
            force_by_element_eV_per_A={trusted: 0.001, other: 10.0},
        )
        settings = small_settings.model_copy(update={"regularisation": regularisation})
        fit_gap(folder, lithium_sulfide, PAIRS, settings, seed=0, limits=FitLimits())
        found = re.search(r"per-atom setting of force_atom_sigma found: +(\d+)", read_log(folder / LOG_FILE))
        assert found is not None
        assert int(found[1]) == sum(item.n_atoms for item in lithium_sulfide)
        errors[trusted] = {element: force_rmse(folder, lithium_sulfide, element) for element in ("Li", "S")}
    assert errors["Li"]["Li"] < 0.5 * errors["S"]["Li"]
    assert errors["S"]["S"] < 0.5 * errors["Li"]["S"]


def test_own_regularisation_goes_before_that_of_the_type_and_the_general_one(
    lithium_sulfide: DataSet,
) -> None:
    first, second, third, *_ = lithium_sulfide
    settings = GapSettings(
        regularisation=Regularisation(force_eV_per_A=0.1),
        regularisation_by_config_type={"hot": Regularisation(force_eV_per_A=0.2)},
    )
    data_set = DataSet(
        (
            replace(first, config_type="hot", regularisation=Regularisation(force_eV_per_A=0.3)),
            replace(second, config_type="hot"),
            third,
        )
    )
    text = format_targets(data_set, settings)
    assert re.findall(r" force_sigma=(\S+)", text) == ["0.3", "0.2", "0.1"]
    energy_sigma = float(re.findall(r" energy_sigma=(\S+)", text)[0])
    assert energy_sigma == pytest.approx(settings.regularisation.energy_eV_per_atom * np.sqrt(first.n_atoms))


def test_every_element_gets_its_isolated_atom_energy(lithium_sulfide: DataSet) -> None:
    data_set = DataSet(lithium_sulfide.configurations, {"S": -2.5})
    with pytest.raises(KeyError, match="Li"):
        build_arguments(data_set, PAIRS, GapSettings(), seed=0)


def test_isolated_atoms_have_the_energies_given(
    lithium_sulfide: DataSet, small_settings: GapSettings, tmp_path: Path
) -> None:
    fit_gap(tmp_path, lithium_sulfide, PAIRS, small_settings, seed=0, limits=FitLimits())
    text = (tmp_path / POTENTIAL_FILE).read_text()
    assert float(re.search(r'<e0 Z="3" value="([^"]+)"', text)[1]) == -1.5  # type: ignore[index]
    assert float(re.search(r'<e0 Z="16" value="([^"]+)"', text)[1]) == -2.5  # type: ignore[index]


def test_a_fit_that_lost_its_virials_is_refused(
    lithium_sulfide: DataSet,
    small_settings: GapSettings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def format_as_ase_would(configuration: LabelledConfiguration, settings: GapSettings) -> str:
        text = original(configuration, settings)
        return re.sub(r'REF_virial="([^"]*)"', r'REF_virial="_JSON [[1, 2, 3], [4, 5, 6], [7, 8, 9]]"', text)

    original = gap_fit._format_target
    monkeypatch.setattr(gap_fit, "_format_target", format_as_ase_would)
    with pytest.raises(GapFitError, match="virials: 0 found, 30 in the data set"):
        fit_gap(tmp_path, lithium_sulfide, PAIRS, small_settings, seed=0, limits=FitLimits())


def test_count_mismatch_names_each_kind() -> None:
    check_counts(TargetCounts(1, 2, 3), TargetCounts(1, 2, 3))
    with pytest.raises(GapFitError, match="energies: 0 found, 1 in the data set; forces: 3 found, 6"):
        check_counts(TargetCounts(0, 3, 6), TargetCounts(1, 6, 6))


def test_log_without_a_report_is_refused() -> None:
    with pytest.raises(GapFitError, match="does not say how many target energies"):
        parse_counts("nothing here")


def test_real_failures_are_explained(lithium_sulfide: DataSet, small_settings: GapSettings, tmp_path: Path) -> None:
    arguments = build_arguments(lithium_sulfide, PAIRS, small_settings, seed=0)
    with pytest.raises(GapFitError, match=r"cannot read its input file\nLast lines"):
        run_gap_fit(tmp_path, arguments, FitLimits())
    (tmp_path / "targets.xyz").write_text("garbage\n")
    with pytest.raises(GapFitError, match="cannot read its input file"):
        run_gap_fit(tmp_path, arguments, FitLimits())
    (tmp_path / "targets.xyz").write_text(format_targets(lithium_sulfide, small_settings))
    without_energies = [argument for argument in arguments if not argument.startswith("e0=")]
    with pytest.raises(GapFitError, match="energy of an isolated atom is missing"):
        run_gap_fit(tmp_path, without_energies, FitLimits())
    with pytest.raises(GapFitError, match="does not understand its options"):
        run_gap_fit(tmp_path, [arguments[0], "gap={sopa n_max=1}", *arguments[2:]], FitLimits())


@pytest.mark.parametrize(
    ("status", "log", "reason"),
    [
        (-9, "", "killed from outside, most likely for using too much memory"),
        (-11, "", "ended by signal 11 (SIGSEGV)"),
        (1, "LA_Matrix_Factorise: cannot factorise, error: 3", "not positive definite"),
        (1, "Error allocating 8000000000 bytes", "ran out of memory"),
        (2, "Fortran runtime error: No space left on device", "the disk is full"),
        (0, "", "wrote no potential"),
        (7, "something new", "exit status 7"),
    ],
)
def test_failures_are_put_into_words(status: int, log: str, reason: str) -> None:
    message = explain_failure(status, log)
    assert reason in message
    assert log in message


def test_the_last_lines_of_the_log_are_in_the_error(tmp_path: Path) -> None:
    with pytest.raises(GapFitError) as caught:
        run_program(tmp_path, "seq 1 100; echo '   padded          '; exit 3")
    assert "exit status 3" in str(caught.value)
    assert str(caught.value).endswith("99\n100\n   padded")
    assert "\n20\n" not in str(caught.value)


def test_a_program_killed_by_the_system_is_reported(tmp_path: Path) -> None:
    with pytest.raises(GapFitError, match="too much memory"):
        run_program(tmp_path, "kill -9 $$")


def test_wall_time_limit_kills_the_whole_group(tmp_path: Path) -> None:
    with pytest.raises(GapFitError, match=r"wall-time limit of 0\.5 s"):
        run_program(tmp_path, "sleep 600 & echo $! > pid; wait", wall_time_s=0.5)
    assert wait_until_gone(int((tmp_path / "pid").read_text()))


def wait_until_gone(process: int) -> bool:
    deadline = time.monotonic() + KILL_PATIENCE_S
    while time.monotonic() < deadline:
        if not psutil.pid_exists(process) or psutil.Process(process).status() == psutil.STATUS_ZOMBIE:
            return True
        time.sleep(0.02)
    return False


@pytest.mark.skipif(sys.platform != "linux", reason="PR_SET_PDEATHSIG is Linux's")
def test_gap_fit_dies_with_its_parent(tmp_path: Path) -> None:
    program = make_program(tmp_path, "echo $$ > pid.tmp; mv pid.tmp pid; exec sleep 600")
    code = (
        "import sys; from pathlib import Path; from ionloop.fitting.gap_fit import FitLimits, run_gap_fit; "
        "run_gap_fit(Path(sys.argv[1]), [], FitLimits(executable=Path(sys.argv[2])))"
    )
    parent = subprocess.Popen([sys.executable, "-c", code, str(tmp_path), str(program)])
    try:
        deadline = time.monotonic() + KILL_PATIENCE_S
        while not (tmp_path / "pid").exists():
            assert time.monotonic() < deadline, "the program did not start"
            time.sleep(0.02)
    finally:
        os.kill(parent.pid, signal.SIGKILL)
        parent.wait()
    assert wait_until_gone(int((tmp_path / "pid").read_text()))


def test_the_program_is_found_without_an_activated_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert os.access(find_executable(), os.X_OK)


def test_a_missing_program_is_an_input_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="does not exist or cannot be executed"):
        find_executable(tmp_path / "gap_fit")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match="pip install quippy-ase"):
        find_executable()


def test_expected_counts(lithium_sulfide: DataSet) -> None:
    assert expected_counts(lithium_sulfide).total == 5 + 5 * 3 * 12 + 5 * 6
