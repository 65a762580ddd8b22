"""`ionloop fit` and `ionloop evaluate` on files as users have them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT

from ionloop.cli import run_command_line

SETTINGS = """
gap:
  two_body: {cutoff_A: 4.0, sparse_points: 5}
  soap: {cutoff_A: 4.0, n_max: 3, l_max: 2, sparse_points: 10}
baseline: {charges: {Cu: 0.1, Au: -0.1}}
"""


def write_labels(path: Path, seeds: range, energy: str = "REF_energy") -> None:
    lines = []
    for seed in seeds:
        atoms = bulk("CuAu", "cesiumchloride", a=3.1).repeat((2, 2, 1))
        atoms.rattle(0.08, seed=seed)
        atoms.calc = EMT()
        table = np.hstack([atoms.positions, atoms.get_forces()])
        virial = " ".join(map(str, (-atoms.get_volume() * atoms.get_stress(voigt=False)).ravel()))
        cell = " ".join(map(str, atoms.cell.array.ravel()))
        lines.append(
            f'{len(atoms)}\nLattice="{cell}" Properties=species:S:1:pos:R:3:REF_forces:R:3 '
            f'{energy}={atoms.get_potential_energy()} REF_virial="{virial}" pbc="T T T"'
        )
        lines += [f"{symbol} {' '.join(map(str, row))}" for symbol, row in zip(atoms.symbols, table, strict=True)]
    path.write_text("\n".join(lines) + "\n")


@pytest.fixture
def files(tmp_path: Path) -> Path:
    write_labels(tmp_path / "train.xyz", range(6))
    write_labels(tmp_path / "test.xyz", range(10, 13))
    (tmp_path / "settings.yaml").write_text(SETTINGS)
    return tmp_path


@pytest.mark.parametrize("kind", ["gap", "es-gap"])
def test_a_model_is_fitted_and_measured(files, capsys, kind):
    model = str(files / "model")
    arguments = ["--out", model, "--kind", kind, "--settings", str(files / "settings.yaml")]
    assert run_command_line(["fit", str(files / "train.xyz"), *arguments]) == 0
    told = capsys.readouterr()
    assert "no isolated atom of Au, Cu" in told.err
    assert "6 energies, 144 force components and 36 virial components" in told.out
    assert "Model intervals: left-out errors are" in told.out
    assert "Inside their 95 % intervals: " in told.out
    assert run_command_line(["evaluate", model, str(files / "test.xyz"), "--json"]) == 0
    errors = json.loads(capsys.readouterr().out)
    assert errors["configurations"] == 3
    spread = 0.3
    assert 0 < errors["force_eV_per_A"]["rmse"] < spread
    assert set(errors["force_by_element_eV_per_A"]) == {"Cu", "Au"}
    assert errors["virial_eV_per_atom"]["count"] == 18
    assert 0 < errors["virial_eV_per_atom"]["rmse"] < spread
    parity = files / "parity.npz"
    asked = ["evaluate", model, str(files / "test.xyz"), "--by-anion", "Cu-Au"]
    assert run_command_line([*asked, "--json"]) == 0
    (composition,) = json.loads(capsys.readouterr().out)["by_composition"].values()
    assert composition["energy_eV_per_atom"] == errors["energy_eV_per_atom"]
    assert sum(one["force_eV_per_A"]["count"] for one in composition["force_by_anion_eV_per_A"].values()) == 72
    assert run_command_line([*asked, "--parity", str(parity)]) == 0
    told = capsys.readouterr().out
    assert "By composition and anion" in told
    assert "virial" in told
    for one in errors["force_by_magnitude_eV_per_A"]:
        assert f"{1000 * one['errors']['rmse']:.2f}" in told
    assert sum(one["errors"]["count"] for one in errors["force_by_magnitude_eV_per_A"]) == 72
    with np.load(parity) as arrays:
        difference = arrays["predicted_forces"] - arrays["reference_forces"]
    assert np.sqrt(np.mean(difference**2)) == pytest.approx(errors["force_eV_per_A"]["rmse"])


def test_a_model_says_how_sure_it_is_beside_its_errors(files, capsys):
    model, parity = str(files / "model"), files / "parity.npz"
    arguments = ["--out", model, "--settings", str(files / "settings.yaml")]
    assert run_command_line(["fit", str(files / "train.xyz"), *arguments]) == 0
    capsys.readouterr()
    asked = ["evaluate", model, str(files / "test.xyz"), "--uncertainty", "--parity", str(parity)]
    assert run_command_line([*asked, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    forces = found["model_interval_coverage"]["force_eV_per_A"]
    with np.load(parity) as arrays:
        z = (arrays["predicted_forces"] - arrays["reference_forces"]) / arrays["force_stds"]
        assert arrays["energy_stds"] == pytest.approx(found["energy_std_eV"])
    assert forces["count"] == z.size
    assert forces["rms_z"] == pytest.approx(np.sqrt(np.mean(z**2)))
    assert run_command_line(asked) == 0
    told = capsys.readouterr().out
    assert "Inside the model's own intervals" in told
    assert f"{forces['rms_z']:.2f}" in told
    assert (
        run_command_line(["evaluate", str(files / "model" / "gap.xml"), str(files / "test.xyz"), "--uncertainty"]) == 2
    )
    assert "has no posterior" in capsys.readouterr().err


def test_a_key_of_another_name_is_asked_for_with_the_command_that_names_it(files, capsys):
    write_labels(files / "other.xyz", range(3), energy="qm_energy")
    arguments = [str(files / "other.xyz"), "--out", str(files / "model"), "--settings", str(files / "settings.yaml")]
    assert run_command_line(["fit", *arguments]) == 2
    told = capsys.readouterr().err
    assert f"ionloop fit {' '.join(arguments)} --energy-key qm_energy\n" in told
    assert not (files / "model").exists()
    assert run_command_line(["fit", *arguments, "--energy-key", "qm_energy"]) == 0


def test_wrong_hyperparameters_are_told_with_line_and_key(files, capsys):
    (files / "settings.yaml").write_text("gap:\n  soap: {nmax: 3}\n")
    arguments = ["--out", str(files / "model"), "--settings", str(files / "settings.yaml")]
    assert run_command_line(["fit", str(files / "train.xyz"), *arguments]) == 2
    told = capsys.readouterr().err
    assert "gap.soap.nmax" in told
    assert "n_max" in told


@pytest.mark.parametrize("arguments", [["fit", "missing.xyz", "--out", "m"], ["evaluate", "missing", "missing.xyz"]])
def test_what_is_not_there_is_named(arguments, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run_command_line(arguments) == 2
    assert "missing" in capsys.readouterr().err


def test_labels_of_two_references_are_fitted_only_if_both_are_named(files, capsys):
    lines = (files / "train.xyz").read_text().replace("REF_energy=", "labelled_by=vasp:1a REF_energy=")
    (files / "mixed.xyz").write_text(lines.replace("vasp:1a", "aims:2b", 2))
    arguments = [str(files / "mixed.xyz"), "--out", str(files / "model"), "--settings", str(files / "settings.yaml")]
    assert run_command_line(["fit", *arguments]) == 2
    told = capsys.readouterr().err
    assert "vasp:1a (4 configurations)" in told
    assert "--mix" in told
    assert not (files / "model").exists()
    assert run_command_line(["fit", *arguments, "--mix", "vasp:1a,aims:2b"]) == 0


def test_all_commands_that_read_labels_have_the_same_options():
    from typer.main import get_command

    from ionloop.cli import app

    commands = get_command(app).commands
    readers = [commands["fit"], commands["evaluate"], commands["import"], *commands["study"].commands.values()]
    shared = {parameter.name for parameter in commands["fit"].params} & {
        parameter.name for parameter in commands["import"].params
    }
    assert {"stress_key", "virial_key", "energy_unit", "force_unit", "stress_unit", "stress_sign"} <= shared
    assert all(shared <= {parameter.name for parameter in one.params} for one in readers)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ("gap: {regularisation_by_config_type: {defalt: {}}}", "did you mean default?"),
        ("gap: {regularisation: {force_by_element_eV_per_A: {Ag: 0.1}}}", "no atom of the data is Ag"),
        ("baseline: {charges: {Cu: 0.1, Au: -0.1, Li: 1.0}}", "baseline.charges.Li"),
    ],
)
def test_settings_for_what_the_data_do_not_hold_are_refused(files, capsys, settings, told):
    (files / "settings.yaml").write_text(settings)
    arguments = ["--out", str(files / "model"), "--settings", str(files / "settings.yaml")]
    assert run_command_line(["fit", str(files / "train.xyz"), *arguments]) == 2
    assert told in capsys.readouterr().err
    assert not (files / "model").exists()


def test_what_contradicts_itself_is_neither_fitted_nor_evaluated_nor_studied(files, capsys):
    text = (files / "train.xyz").read_text().replace("REF_virial=", 'REF_stress="9 0 0 0 9 0 0 0 9" REF_virial=')
    (files / "both.xyz").write_text(text)
    for words in (["fit"], ["evaluate", str(files)], ["study", "data-size"], ["import", "--engine", "x"]):
        out = ["--out", str(files / "out")] if words[0] in ("fit", "study") else []
        assert run_command_line([*words, str(files / "both.xyz"), *out]) == 2
        told = capsys.readouterr().err
        assert "REF_virial and REF_stress contradict each other" in told
        assert "--virial-key REF_virial" in told


def test_a_fit_is_tuned_and_goes_on_from_its_journal(files, capsys):
    command = ["fit", str(files / "train.xyz"), "--out", str(files / "model")]
    command += ["--settings", str(files / "settings.yaml")]
    assert run_command_line([*command, "--tune-budget", "3"]) == 2
    assert "--tune-budget is for --tune" in capsys.readouterr().err
    assert run_command_line([*command, "--tune", "--tune-budget", "3"]) == 0
    told, journal = capsys.readouterr(), files / "model-tuning.json"
    assert "as given: forces" in told.err
    assert "trials (" in told.out
    trials = json.loads(journal.read_text())["trials"]
    assert sum(trial["cost_fits"] for trial in trials) <= 3
    best = min(trial["left_out"]["force_eV_per_A"] for trial in trials)
    assert best <= trials[0]["left_out"]["force_eV_per_A"]
    chosen = files / "model-tuned.yaml"
    assert chosen.read_text().splitlines()[1] == "gap:"
    # All trials are there, and so is the model; a file of settings may ask for the same.
    asking = (files / "settings.yaml").read_text().replace("gap:\n", "gap:\n  tune: {budget_fits: 3}\n")
    (files / "settings.yaml").write_text(asking)
    assert "tune" in asking
    assert run_command_line(command) == 0
    assert json.loads(journal.read_text())["trials"] == trials


@pytest.mark.parametrize(
    ("further", "told"),
    [
        (["--backend", "gap_fit"], "gap_fit gives no left-out errors"),
        (["--tune-budget", "0.5"], "tune-budget"),
    ],
)
def test_what_cannot_be_tuned_is_said(files, capsys, further, told):
    command = ["fit", str(files / "train.xyz"), "--out", str(files / "model")]
    command += ["--settings", str(files / "settings.yaml")]
    assert run_command_line([*command, "--tune", *further]) == 2
    assert told in capsys.readouterr().err
    assert not (files / "model").exists()
