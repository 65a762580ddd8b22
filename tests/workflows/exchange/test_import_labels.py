"""Foreign labels: what is stored, what is refused, and what a second import changes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.io import read, write

from ionloop.cli import import_labels as command
from ionloop.core.errors import InputError
from ionloop.core.states import State
from ionloop.core.units import EnergyUnit, LengthUnit, StressSign, StressUnit
from ionloop.fitting.data_sets import format_extxyz
from ionloop.fitting.reading import FileUnits, LabelKeys, LabelRequest, UnclearLabelsError, read_labels
from ionloop.labelling.engines.imported import ImportedSettings
from ionloop.labelling.registry import engine_of
from ionloop.labelling.runner import label
from ionloop.store.queries.labelled import frames
from ionloop.store.queries.rows import Query, run_query
from ionloop.tasks.fit import build_data_set
from ionloop.workflows.exchange.import_labels import ImportRequest, import_labels, read_importable

VASP = ImportedSettings(source="vasp", method="PBE")
DIGITS = 1e-10


def crystals(count: int) -> list[Atoms]:
    found = []
    for seed in range(count):
        atoms = bulk("CuAu", "cesiumchloride", a=3.0 + 0.02 * seed).repeat((2, 2, 1))
        atoms.rattle(0.03, seed=seed)
        atoms.calc = EMT()
        found.append(atoms)
    return found


def frame(
    atoms: Atoms,
    *,
    energy: float = 1.0,
    length: float = 1.0,
    stress_unit: float = 1.0,
    keys: tuple[str, str] = ("REF_energy", "REF_forces"),
) -> Atoms:
    """Return ``atoms`` with EMT's labels in other units (of the given size in eV and Å)."""
    out = Atoms(atoms.symbols, positions=atoms.positions / length, cell=atoms.cell.array / length, pbc=True)
    out.info[keys[0]] = (atoms.get_potential_energy() - 4.0 * len(atoms)) / energy
    out.arrays[keys[1]] = atoms.get_forces() * length / energy
    out.info["REF_stress"] = atoms.get_stress(voigt=False) / stress_unit
    return out


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "labels.xyz"
    write(path, [frame(atoms) for atoms in crystals(10)], format="extxyz")
    return path


@pytest.fixture
def request_for(file):
    return ImportRequest(path=file, engine=VASP, campaign="foreign")


class TestRecords:
    def test_labels_come_back_as_they_were(self, store, request_for):
        summary = import_labels(store, read_importable(request_for))
        assert (summary.frames, summary.new_labels, summary.known_labels, summary.with_stress) == (10, 10, 0, 10)
        data_set = build_data_set(store, store.data_sets[summary.data_set])
        for one, atoms in zip(data_set.configurations, crystals(10), strict=True):
            np.testing.assert_allclose(one.forces, atoms.get_forces(), atol=1e-7)
            np.testing.assert_allclose(one.stress, atoms.get_stress(), atol=1e-7)
            assert one.labelled_by == summary.reference
        assert summary.reference.startswith("vasp:")

    def test_a_query_of_the_campaign_gives_frames_that_name_their_reference(self, store, request_for):
        summary = import_labels(store, read_importable(request_for))
        found = list(frames(store, run_query(store, Query("labels", campaign="foreign"))))
        assert {one.labelled_by for one in found} == {summary.reference}

    def test_a_second_import_changes_nothing(self, store, request_for):
        import_labels(store, read_importable(request_for))
        before = store.labels.count(), store.configurations.count(), store.data_sets.count()
        again = import_labels(store, read_importable(request_for))
        assert (again.new_labels, again.known_labels) == (0, 10)
        assert (store.labels.count(), store.configurations.count(), store.data_sets.count()) == before

    def test_isolated_atoms_of_the_file_become_those_of_the_data_set(self, store, request_for):
        free = Atoms("Cu", cell=[20.0] * 3, pbc=False)
        free.info.update(REF_energy=-0.25, config_type="isolated_atom")
        free.arrays["REF_forces"] = np.zeros((1, 3))
        write(request_for.path, free, format="extxyz", append=True)
        summary = import_labels(store, read_importable(request_for))
        assert summary.isolated_atoms == ("Cu",)
        assert store.data_sets[summary.data_set].isolated_atom_energies == {"Cu": -0.25}


class TestRefusals:
    def refused(self, store, request: ImportRequest, match: str) -> None:
        with pytest.raises(InputError, match=match):
            import_labels(store, read_importable(request))
        assert store.labels.count() == store.configurations.count() == store.campaigns.count() == 0

    def change(self, path: Path, **changes) -> None:
        atoms = read(path, ":", format="extxyz")
        for index, alter in changes.items():
            alter(atoms[int(index.removeprefix("at_"))])
        write(path, atoms, format="extxyz")

    def test_one_structure_with_two_answers_in_the_file(self, store, request_for):
        atoms = read(request_for.path, "0", format="extxyz")
        atoms.info["REF_energy"] += 0.01
        write(request_for.path, atoms, format="extxyz", append=True)
        self.refused(store, request_for, "0 and 10 are the same structure .* energies differ by 0.01 eV")

    def test_numbers_that_are_not_finite_and_forces_that_are_too_large(self, store, request_for):
        def spoil(atoms):
            atoms.arrays["REF_forces"][0, 0] = np.nan

        def enlarge(atoms):
            atoms.arrays["REF_forces"][1, 1] = 1e3

        self.change(request_for.path, at_2=spoil, at_4=enlarge)
        self.refused(store, request_for, "2 of 10 labels cannot be used(.|\n)*not finite(.|\n)*above maximum_force")
        summary = import_labels(store, read_importable(replace(request_for, skip_unusable=True)))
        assert (summary.new_labels, len(summary.skipped)) == (8, 2)

    def test_a_length_in_bohr_taken_for_angstrom(self, store, request_for):
        write(request_for.path, [frame(one, length=units.Bohr) for one in crystals(4)], format="extxyz")
        self.refused(store, request_for, "check the unit of length")

    def test_a_stress_in_kbar_taken_for_ev_per_cubic_angstrom(self, store, request_for):
        hot = [frame(one, stress_unit=0.1 * units.GPa) for one in crystals(4)]
        write(request_for.path, hot, format="extxyz")
        self.refused(store, request_for, "check the unit of stress")

    def test_a_stress_of_the_opposite_sign(self, store, request_for):
        write(request_for.path, [frame(one, stress_unit=-1.0) for one in crystals(10)], format="extxyz")
        self.refused(store, request_for, "wrong sign")
        right = replace(request_for, units=FileUnits(stress_sign=StressSign.OPPOSITE))
        assert import_labels(store, read_importable(right)).new_labels == 10

    def test_labels_of_two_codes_in_one_file(self, store, request_for):
        def shift(atoms):
            atoms.info["REF_energy"] -= 1000.0

        self.change(request_for.path, at_1=shift, at_2=shift, at_5=shift)
        self.refused(store, request_for, "two groups")

    def test_another_answer_in_the_store(self, store, request_for):
        import_labels(store, read_importable(request_for))

        def shift(atoms):
            atoms.info["REF_energy"] += 0.5

        self.change(request_for.path, at_3=shift)
        with pytest.raises(InputError, match=r"the store has other(.|\n)*configuration 3: energies differ by 0\.5"):
            import_labels(store, read_importable(request_for))

    def test_a_campaign_of_another_reference_names_what_differs(self, store, request_for):
        import_labels(store, read_importable(request_for))
        other = replace(request_for, engine=ImportedSettings(source="vasp", method="PBEsol"))
        with pytest.raises(InputError, match="method: 'PBE' and 'PBEsol'"):
            import_labels(store, read_importable(other))


def test_units_and_keys_are_converted(tmp_path):
    keys, written = ("my_energy", "my_forces"), crystals(3)
    other = [
        frame(one, energy=units.Hartree, length=units.Bohr, stress_unit=-0.1 * units.GPa, keys=keys) for one in written
    ]
    write(tmp_path / "a.xyz", other, format="extxyz")
    file_units = FileUnits(EnergyUnit.HARTREE, LengthUnit.BOHR, StressUnit.KBAR, StressSign.OPPOSITE)
    found = read_labels(tmp_path / "a.xyz", LabelRequest(LabelKeys(*keys), file_units))
    for one, atoms in zip(found.data_set, written, strict=True):
        np.testing.assert_allclose(one.energy, atoms.get_potential_energy() - 4.0 * len(atoms), rtol=1e-7)
        np.testing.assert_allclose(one.forces, atoms.get_forces(), atol=1e-6)
        np.testing.assert_allclose(one.atoms.positions, atoms.positions, atol=1e-6)
        np.testing.assert_allclose(one.stress, atoms.get_stress(), atol=1e-6)


def test_a_stress_that_contradicts_the_virial_is_refused(tmp_path):
    atoms = crystals(1)[0]
    out = frame(atoms)
    out.info["REF_virial"] = atoms.get_stress(voigt=False) * atoms.get_volume()
    write(tmp_path / "a.xyz", out, format="extxyz")
    with pytest.raises(UnclearLabelsError, match="opposite sign"):
        read_labels(tmp_path / "a.xyz")
    found = read_labels(tmp_path / "a.xyz", LabelRequest(LabelKeys(virial="none")))
    np.testing.assert_allclose(found.data_set.configurations[0].stress, atoms.get_stress(), atol=DIGITS + 1e-7)


def test_a_campaign_cannot_label_with_what_was_imported(tmp_path):
    outcome = label(crystals(1)[0], VASP, tmp_path)
    assert outcome.state is State.REJECTED
    assert "were imported" in outcome.reason
    assert not engine_of(VASP).probe(VASP).found


def test_the_command_imports_and_tells(file, tmp_path, capsys):
    options = {"store": str(tmp_path / "s.db"), "root": tmp_path / "files"}
    command.import_file(file, engine="vasp", as_json=True, **options)
    told = json.loads(capsys.readouterr().out)
    assert (told["campaign"], told["new_labels"]) == ("imported-labels", 10)
    with pytest.raises(InputError, match="say what computed the labels"):
        command.import_file(file, **options)
    with pytest.raises(InputError, match="not one word"):
        command.import_file(file, engine="my code", **options)


def test_weights_charges_and_dipoles_stay_with_the_label(tmp_path, store):
    """From file to store, to the file that a query writes, and to the data set that a campaign fits."""
    path = tmp_path / "weighted.xyz"
    written = [frame(atoms) for atoms in crystals(3)]
    for index, atoms in enumerate(written):
        atoms.info |= {"energy_sigma": 0.01 * (index + 1), "sigma_force": 0.2, "REF_dipole": [0.1, 0.2, 0.3]}
        atoms.arrays["REF_charges"] = np.linspace(-1.0, 1.0, len(atoms))
        atoms.arrays["force_mask"] = np.arange(len(atoms)) < index
    free = Atoms("Cu", info={"REF_energy": -4.0, "energy_sigma": 0.002, "config_type": "isolated_atom"})
    write(path, [*written, free], format="extxyz")
    request = ImportRequest(path, VASP, "weighted")
    summary = import_labels(store, read_importable(request))
    read_back = tmp_path / "back.xyz"
    queried = list(frames(store, run_query(store, Query("labels", campaign="weighted"))))
    read_back.write_text("".join(map(format_extxyz, queried)))
    again = read_labels(read_back).data_set
    found = sorted(again, key=lambda one: one.weights.energy_eV)
    for index, one in enumerate(found):
        assert one.weights.energy_eV == pytest.approx(0.01 * (index + 1))
        assert one.weights.unfitted_forces.sum() == index
        assert one.regularisation.force_eV_per_A == pytest.approx(0.2)
        np.testing.assert_allclose(one.charges, np.linspace(-1.0, 1.0, len(one.atoms)))
        np.testing.assert_allclose(one.dipole, [0.1, 0.2, 0.3])
    [atom] = again.isolated_atoms
    assert atom.weights.energy_eV == pytest.approx(0.002)
    data_set = build_data_set(store, store.data_sets[summary.data_set])
    assert [one.weights.energy_eV for one in data_set] == pytest.approx([0.01, 0.02, 0.03])
    path.write_text(path.read_text().replace("energy_sigma=0.01 ", "energy_sigma=0.04 "))
    with pytest.raises(InputError, match="their weights differ"):
        import_labels(store, read_importable(request))


def test_an_energy_that_stands_in_for_an_isolated_atom_is_no_label(tmp_path, store):
    path = tmp_path / "fitted.xyz"
    free = Atoms("Cu", info={"REF_energy": -4.0, "config_type": "isolated_atom", "stands_in": True})
    write(path, [*(frame(atoms) for atoms in crystals(2)), free], format="extxyz")
    summary = import_labels(store, read_importable(ImportRequest(path, VASP, "fitted")))
    assert summary.isolated_atoms == ()
    assert dict(store.data_sets[summary.data_set].isolated_atom_energies) == {}
