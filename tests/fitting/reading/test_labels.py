"""What is taken as a label, in which unit, and what is refused: the right value for every kind of file."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from ase import Atoms, units

from ionloop.core.errors import InputError
from ionloop.core.units import EnergyUnit, ForceUnit, StressSign, StressUnit
from ionloop.fitting.data_sets import LabelledConfiguration
from ionloop.fitting.reading import FileUnits, LabelKeys, LabelRequest, UnclearLabelsError
from ionloop.fitting.reading.isolated import stand_in
from ionloop.fitting.reading.label_units import unit_of
from ionloop.fitting.reading.plausibility import unit_objections

DIGITS = 1e-9


def renamed(frames: list[Any], **names: str) -> list[Any]:
    return [replace(one, names={**one.names, **names}) for one in frames]


def with_entry(frames: list[Any], entry: str) -> list[Any]:
    return [replace(one, entries=f"{one.entries} {entry}") for one in frames]


def gpa(one: Any) -> str:
    return " ".join(map(repr, (-one.virial / one.atoms.get_volume() / units.GPa).ravel().tolist()))


def check_labels(data_set, crystals: list[Any]) -> None:
    for one, written in zip(data_set, crystals, strict=True):
        np.testing.assert_allclose(one.energy, written.energy, rtol=DIGITS)
        np.testing.assert_allclose(one.forces, written.forces, atol=1e-7)
        np.testing.assert_allclose(one.virial, written.virial, atol=1e-6)


class TestNames:
    @pytest.mark.parametrize(
        "names",
        [
            {},
            {"energy": "energy", "forces": "forces", "virial": "virial"},
            {"energy": "Energy", "forces": "force", "virial": "virials"},
            {"energy": "DFT_energy", "forces": "dft_forces", "virial": "dft_virial"},
            {"energy": "ref_energy", "forces": "REF-force", "virial": "Ref_Virial"},
            {"energy": "free_energy"},
        ],
    )
    def test_usual_names_are_found_in_any_case(self, read, frames, crystals, names):
        file = read(renamed(frames, **names))
        check_labels(file.data_set, crystals)
        assert all(name in file.summary[1] for name in names.values())

    def test_names_in_two_cases_are_one_name(self, read, frames, crystals):
        mixed = [*frames[:4], *renamed(frames[4:], virial="ref_virial")]
        file = read(mixed)
        check_labels(file.data_set, crystals)
        assert "virial REF_virial (2) and ref_virial (3)" in file.summary[1]

    def test_free_energy_goes_before_the_energy_without_smearing(self, read, frames, crystals):
        both = [replace(one, entries=f"{one.entries} energy={one.energy + 0.5}") for one in frames]
        file = read(renamed(both, energy="free_energy"))
        check_labels(file.data_set, crystals)
        assert any("free_energy is taken" in line for line in file.summary)
        # Where some frames lack it, no rule decides.
        lacking = [*renamed(both[:4], energy="energy_of_another_name"), *renamed(both[4:], energy="free_energy")]
        with pytest.raises(UnclearLabelsError, match="frames 0-3 have no free_energy"):
            read(lacking)
        named = LabelRequest(LabelKeys(energy="energy"))
        assert read(lacking, named).data_set.configurations[0].energy == pytest.approx(both[2].energy + 0.5)

    @pytest.mark.parametrize("label", ["energy", "forces"])
    def test_two_answers_are_asked_about_and_settled_by_a_name(self, read, frames, crystals, label):
        if label == "energy":
            other = with_entry(frames, "energy=-3.0")
        else:
            other = [*frames[:2], *(replace(one, columns={"forces:R:3": ["0 0 1"] * 8}) for one in crystals)]
        with pytest.raises(UnclearLabelsError, match=f"REF_{label} and {label} of frames") as caught:
            read(other)
        assert caught.value.options == {f"--{label}-key": f"REF_{label}"}
        check_labels(read(other, LabelRequest(LabelKeys(**{label: f"ref_{label}"}))).data_set, crystals)

    def test_the_same_under_two_names_is_no_question(self, read, frames, crystals):
        check_labels(
            read([replace(one, entries=f"{one.entries} energy={one.energy!r}") for one in frames]).data_set, crystals
        )

    def test_two_spellings_that_contradict_each_other(self, read, frames):
        with pytest.raises(InputError, match=r"frames 0-6 .*REF_energy and ref_energy contradict"):
            read(with_entry(frames, "ref_energy=-3.0"))

    def test_unknown_names_are_suggested(self, read, frames):
        with pytest.raises(UnclearLabelsError, match="no frame has energies and forces under a usual name") as caught:
            read(renamed(frames, energy="qm_energy", forces="qm_force"))
        assert caught.value.options == {"--energy-key": "qm_energy", "--forces-key": "qm_force"}
        with pytest.raises(UnclearLabelsError) as caught:
            read(renamed(frames, forces="qm_force"))
        assert caught.value.options == {"--forces-key": "qm_force"}

    def test_a_stress_under_an_unknown_name_is_asked_about(self, read, crystals):
        alone = [replace(one, virial=None, entries=f'stress_GPa="{gpa(one)}"') for one in crystals]
        with pytest.raises(UnclearLabelsError, match="no frame has stresses under a usual name") as caught:
            read(alone)
        assert caught.value.options == {"--stress-key": "stress_GPa"}
        # The unit in the name is the label's.
        check_labels(read(alone, LabelRequest(LabelKeys(stress="stress_GPa"))).data_set, crystals)
        with pytest.raises(InputError, match="stress_GPa=GPa is declared, but --stress-unit kbar was given"):
            read(alone, LabelRequest(LabelKeys(stress="stress_GPa"), FileUnits(stress=StressUnit.KBAR)))
        assert read(alone, LabelRequest(LabelKeys(stress="none"))).data_set.configurations[0].stress is None

    def test_an_energy_per_atom_is_no_label(self, read, frames):
        with pytest.raises(InputError, match="energy per atom; needed are the energies of whole cells"):
            read(renamed(frames, energy="energy_per_atom"), LabelRequest(LabelKeys(energy="energy_per_atom")))

    def test_two_spellings_of_the_type_that_differ(self, read, crystals):
        with pytest.raises(InputError, match="config_type is a and b in two spellings"):
            read(with_entry(crystals, "config_type=a Config_Type=b"))

    def test_forces_in_three_columns_are_not_passed_over(self, read, crystals):
        apart = [
            replace(one, forces=None, columns={f"{name}:R:1": [0.1] * 8 for name in ("fx", "fy", "fz")})
            for one in crystals
        ]
        with pytest.raises(InputError, match="forces stand in the columns fx, fy, fz"):
            read(apart)

    def test_a_name_that_occurs_nowhere(self, read, frames):
        with pytest.raises(InputError, match=r"no frame has 'REF_enrgy' .*did you mean REF_energy"):
            read(frames, LabelRequest(LabelKeys(energy="REF_enrgy")))

    def test_a_name_that_some_frames_have(self, read, frames):
        file = read([*frames[:4], *renamed(frames[4:], virial="old")], LabelRequest(LabelKeys(virial="REF_virial")))
        assert any("REF_virial is in 2 of 7 frames, not in frames 4-6" in line for line in file.summary)

    @pytest.mark.parametrize(("given", "told"), [("stress", "--stress-key stress"), ("dft_stress", "--stress-key")])
    def test_a_stress_named_as_virial(self, read, frames, given, told):
        with pytest.raises(InputError, match=told):
            read(frames, LabelRequest(LabelKeys(virial=given)))

    def test_what_is_not_to_be_taken(self, read, frames):
        file = read(frames, LabelRequest(LabelKeys(forces="none", virial="none")))
        assert all(one.forces is None and one.stress is None for one in file.data_set)

    def test_what_was_not_read_is_said(self, read, frames):
        file = read(
            [replace(one, columns={"magmoms:R:1": [0.0] * len(one.atoms)}) for one in with_entry(frames, "job=7")]
        )
        assert "not read: magmoms, job" in file.summary


class TestStress:
    def written(self, crystals: list[Any], name: str, factor: float, kind: str = "nine") -> list[Any]:
        found = []
        for one in crystals:
            stress = -one.virial / one.atoms.get_volume() * factor
            six = stress.ravel()[[0, 4, 8, 5, 2, 1]]
            text = {
                "nine": " ".join(map(repr, stress.ravel().tolist())),
                "six": " ".join(map(repr, six.tolist())),
                "json": f"_JSON {stress.tolist()}",
            }[kind]
            found.append(replace(one, entries=f'{name}="{text}"'))
        return found

    @pytest.mark.parametrize("kind", ["nine", "six", "json"])
    def test_six_numbers_are_voigt_and_nine_a_matrix(self, read, crystals, kind):
        alone = [replace(one, virial=None) for one in self.written(crystals, "stress", 1.0, kind)]
        read_virials = [one.virial for one in read(alone).data_set]
        np.testing.assert_allclose(read_virials, [one.virial for one in crystals], atol=1e-9)

    @pytest.mark.parametrize(
        ("factor", "options", "file_units"),
        [
            (-1.0, {"--stress-sign": "opposite"}, FileUnits(stress_sign=StressSign.OPPOSITE)),
            (1 / units.GPa, {"--stress-unit": "GPa"}, FileUnits(stress=StressUnit.GPA)),
            (
                -10 / units.GPa,
                {"--stress-unit": "kbar", "--stress-sign": "opposite"},
                FileUnits(stress=StressUnit.KBAR, stress_sign=StressSign.OPPOSITE),
            ),
        ],
    )
    def test_a_stress_that_contradicts_the_virial(self, read, crystals, factor, options, file_units):
        both = self.written(crystals, "REF_stress", factor)
        with pytest.raises(UnclearLabelsError, match=r"contradict each other .* in frames 0-4") as caught:
            read(both)
        assert caught.value.options == options
        check_labels(read(both, LabelRequest(units=file_units)).data_set, crystals)
        named = read(both, LabelRequest(LabelKeys(virial="REF_virial")))
        check_labels(named.data_set, crystals)
        assert any(
            "REF_virial is taken as named; REF_stress contradicts it in frames 0-4" in one for one in named.summary
        )

    def test_an_entry_that_nobody_asked_for_is_left_aside(self, read, crystals):
        odd = with_entry(crystals, 'stress="1 2 3"')
        file = read(odd)
        check_labels(file.data_set, crystals)
        assert any("stress is not six" in line for line in file.summary)
        with pytest.raises(InputError, match="stress is not six"):
            read(odd, LabelRequest(LabelKeys(stress="stress")))

    def test_a_matrix_that_is_not_symmetric_is_told(self, read, crystals):
        skewed = [replace(one, virial=one.virial + np.eye(3, k=1)) for one in crystals]
        assert any("not symmetric" in line for line in read(skewed, LabelRequest(check_units=False)).summary)


class TestUnits:
    def hartree(self, crystals: list[Any], entries: str) -> list[Any]:
        return [
            replace(
                one,
                energy=one.energy / units.Hartree,
                forces=one.forces / (units.Hartree / units.Bohr),
                virial=one.virial / units.Hartree,
                entries=entries,
            )
            for one in crystals
        ]

    @pytest.mark.parametrize(
        "entries",
        [
            "energy-unit=hartree force-unit=hartree/bohr",
            'energy_unit=Ha forces_units="Eh Bohr^-1"',
            'units_energy=Hartree REF_force_unit="Ha/a0"',
        ],
    )
    def test_declared_units_are_converted(self, read, crystals, entries):
        file = read(self.hartree(crystals, entries))
        check_labels(file.data_set, crystals)
        assert any(line.startswith("converted to eV and Å: energy in") for line in file.summary)

    def test_only_frames_with_a_label_need_its_unit(self, read, crystals, atom_alone):
        declared = [replace(one, virial=None, entries=f'stress="{gpa(one)}" stress-unit=GPa') for one in crystals]
        file = read([atom_alone("Cu"), atom_alone("Au"), *declared])
        np.testing.assert_allclose([one.virial for one in file.data_set], [one.virial for one in crystals], atol=1e-9)

    def test_named_units_are_converted(self, read, crystals):
        named = FileUnits(EnergyUnit.HARTREE, force=ForceUnit.HARTREE_PER_BOHR)
        check_labels(read(self.hartree(crystals, ""), LabelRequest(units=named)).data_set, crystals)

    @pytest.mark.parametrize(
        ("entries", "named", "message"),
        [
            ("energy-unit=hartree", FileUnits(EnergyUnit.EV), "--energy-unit eV was given"),
            ("energy_unit=eV/atom", FileUnits(), "not understood as a unit of energy"),
            ("units=furlong", FileUnits(), "not understood"),
            ("energy_unit=eV unit_energy=Ha", FileUnits(), "contradict each other"),
        ],
    )
    def test_declarations_that_do_not_do(self, read, crystals, entries, named, message):
        with pytest.raises(InputError, match=message):
            read(with_entry(crystals, entries), LabelRequest(units=named))

    def test_a_unit_that_only_some_frames_declare(self, read, crystals):
        with pytest.raises(InputError, match=r"frames 1-4 .*no unit of energy is declared"):
            read([*with_entry(crystals[:1], "energy_unit=Ha"), *crystals[1:]])

    @pytest.mark.parametrize(
        ("quantity", "text", "worth"),
        [
            ("energy", "kcal mol-1", units.kcal / units.mol),
            ("energy", "Rydbergs", units.Rydberg),
            ("force", "eV/Å", 1.0),
            ("force", "eV Angstrom^-1", 1.0),
            ("force", "kcal/mol/Ang", units.kcal / units.mol),
            ("force", "a.u.", units.Hartree / units.Bohr),
            ("stress", "eV/A^3", 1.0),
            ("stress", "eV*Å**-3", 1.0),
            ("stress", "kB", 0.1 * units.GPa),
            ("stress", "Ha/bohr3", units.Hartree / units.Bohr**3),
            ("length", "angstroms", 1.0),
            ("energy", "eV/atom", None),
            ("force", "eV", None),
        ],
    )
    def test_spellings(self, quantity, text, worth):
        assert unit_of(quantity, text) == (None if worth is None else pytest.approx(worth))


class TestConsistency:
    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (lambda one: replace(one, forces=-one.forces), "forces do along .* opposite sign"),
            (lambda one: replace(one, forces=one.forces * units.Bohr / units.Hartree), "forces do along .*Ha/Bohr"),
            (
                lambda one: replace(one, energy=one.energy / units.Hartree, virial=one.virial / units.Hartree),
                "look like Ha",
            ),
            (lambda one: replace(one, virial=-one.virial), "virials do along .* opposite sign"),
            (lambda one: replace(one, virial=one.virial * 1e3), "check the unit of stress"),
            (lambda one: replace(one, forces=0 * one.forces), "all forces are zero"),
            (lambda one: replace(one, energy=-one.energy), "the energies are positive"),
            (lambda one: replace(one, virial=0 * one.virial), "data-0 and 4 more is zero to the last digit"),
        ],
    )
    def test_labels_that_contradict_each_other(self, read, crystals, change, message):
        with pytest.raises(InputError, match=message):
            read([change(one) for one in crystals])
        assert len(read([change(one) for one in crystals], LabelRequest(check_units=False)).data_set) == 5

    def test_energies_per_atom_in_cells_of_several_sizes(self, read, crystals):
        larger = [replace(one, atoms=one.atoms.repeat((2, 1, 1)), forces=None, virial=None) for one in crystals]
        total = [replace(one, energy=2 * one.energy) for one in larger]
        assert len(read([*crystals, *total]).data_set) == 10
        each = [replace(one, energy=one.energy / 8) for one in [*crystals, *larger]]
        with pytest.raises(InputError, match=r"8 to 16 atoms have the same energy .* energies per atom"):
            read([replace(one, forces=None, virial=None) for one in each])

    def test_numbers_that_are_not_finite(self, read, crystals):
        broken = [*crystals[:3], *(replace(one, forces=one.forces * np.nan) for one in crystals[3:])]
        with pytest.raises(InputError, match=r"frames 3-4 .*forces are not finite"):
            read(broken)

    def test_repeats_are_used_once_and_contradictions_refused(self, read, crystals):
        file = read([*crystals, *crystals[:2], replace(crystals[2], forces=None, virial=None)])
        check_labels(file.data_set, crystals)
        assert file.repeated == (5, 6, 7)
        with pytest.raises(InputError, match=r"frames 1 and 5 are the same structure .* differ by 0\.2 eV"):
            read([*crystals, replace(crystals[1], energy=crystals[1].energy + 0.2)])

    def test_repeats_with_fewer_digits_and_other_images_are_repeats(self, read, crystals):
        shifted = crystals[0].atoms.copy()
        shifted.positions = np.round(shifted.positions + shifted.cell[0], 5)
        shorter = replace(
            crystals[0],
            atoms=shifted,
            energy=round(crystals[0].energy, 5),
            forces=np.round(crystals[0].forces, 5),
            virial=np.round(crystals[0].virial, 4),
        )
        file = read([*crystals, shorter])
        check_labels(file.data_set, crystals)
        assert file.repeated == (5,)
        with pytest.raises(InputError, match=r"frames 0 and 5 are the same structure .* energies differ by 0\.1"):
            read([*crystals, replace(shorter, energy=crystals[0].energy + 0.1)])
        # A finite difference is another structure.
        moved = crystals[0].atoms.copy()
        moved.positions[0, 0] += 1e-3
        assert read([*crystals, replace(crystals[0], atoms=moved)]).repeated == ()

    def test_energies_alone_are_labels(self, read, crystals):
        file = read([replace(crystals[0], forces=None, virial=None), *crystals[1:]])
        assert file.data_set.configurations[0].forces is None
        assert any("energies alone, without forces: 1 (frame 0)" in line for line in file.summary)

    def test_a_frame_without_an_energy(self, read, crystals):
        with pytest.raises(InputError, match=r"frame 1 .*no energy; the frame has"):
            read([crystals[0], replace(crystals[1], energy=None), *crystals[2:]])


class TestIsolatedAtoms:
    @pytest.mark.parametrize("config_type", ["isolated_atom", "IsolatedAtom", "isolated", ""])
    def test_one_atom_in_open_space_is_recognised(self, read, crystals, config_type, atom_alone):
        file = read([atom_alone("Cu", config_type=config_type), atom_alone("Au", config_type=config_type), *crystals])
        assert dict(file.data_set.isolated_atom_energies) == {"Cu": -10.0, "Au": -12.0}
        assert {one.energy for one in file.data_set.isolated_atoms} == {-10.0, -12.0}
        assert len(file.data_set) == 5

    def test_one_atom_in_a_small_cell_is_a_crystal(self, read, atom_alone):
        atoms = Atoms("Li", cell=[[-1.7, 1.7, 1.7], [1.7, -1.7, 1.7], [1.7, 1.7, -1.7]], pbc=True)
        lithium = replace(atom_alone("Cu"), atoms=atoms, energy=-1.9, forces=np.zeros((1, 3)), entries="")
        assert len(read([lithium]).data_set) == 1
        with pytest.raises(InputError, match=r"images of Li are 2\.94 Å apart, which is a crystal"):
            read([replace(lithium, entries="config_type=isolated_atom")])
        large = Atoms("Li", cell=[10.0] * 3, pbc=True)
        with pytest.raises(InputError, match="only isolated atoms"):
            read([replace(lithium, atoms=large)])

    def test_two_energies_of_one_element_are_refused(self, read, frames, atom_alone):
        with pytest.raises(InputError, match="isolated atom of Cu with -11 eV, while frame 0 has -10 eV"):
            read([*frames, atom_alone("Cu", -11.0)])
        assert len(read([*frames, atom_alone("Cu")]).data_set.isolated_atoms) == 2

    def test_atoms_of_another_reference_are_found(self, read, frames, atom_alone):
        with pytest.raises(InputError, match=r"AuCu .* 9512 eV/atom above them"):
            read([frames[0], atom_alone("Au", -19043.6), *frames[2:]])

    def test_all_electron_energies_that_belong_together_pass(self, read, crystals, atom_alone):
        atoms = {"Cu": -45_000.0, "Au": -520_000.0}
        shift = sum(atoms[symbol] + (10.0 if symbol == "Cu" else 12.0) for symbol in crystals[0].atoms.symbols)
        deep = [replace(one, energy=one.energy + shift) for one in crystals]
        file = read([*(atom_alone(symbol, energy) for symbol, energy in atoms.items()), *deep])
        assert dict(file.data_set.isolated_atom_energies) == atoms

    def test_a_missing_one_is_said_and_stood_in_for(self, read, frames):
        file = read([frames[0], *frames[2:]])
        completed, remark = stand_in(file.data_set)
        assert "no isolated atom of Au beside those of Cu" in remark
        unbound = [
            one.energy - sum(completed.isolated_atom_energies[symbol] for symbol in one.atoms.symbols)
            for one in completed
        ]
        assert np.mean(unbound) == pytest.approx(0.0, abs=1e-6)
        assert completed.isolated_atom_energies["Cu"] == -10.0
        assert [str(one.atoms.symbols) for one in completed.isolated_atoms] == ["Cu"]


class TestWeights:
    def test_those_of_gap_fit_are_used_in_the_units_of_the_file(self, read, crystals):
        entries = "energy-unit=Ha force-unit=Ha/Bohr Energy_Sigma=0.1 force_sigma=0.2 virial_sigma=0.3"
        masked = [
            replace(
                one, entries=entries, columns={"force_mask:L:1": ["T", *"FFFFFFF"], "force_atom_sigma:R:1": [0.5] * 8}
            )
            for one in crystals
        ]
        file = read(masked, LabelRequest(check_units=False))
        for one in file.data_set:
            assert one.weights is not None
            assert one.weights.energy_eV == pytest.approx(0.1 * units.Hartree)
            assert one.weights.force_eV_per_A == pytest.approx(0.2 * units.Hartree / units.Bohr)
            assert one.weights.virial_eV == pytest.approx(0.3 * units.Hartree)
            np.testing.assert_allclose(one.weights.atom_force_eV_per_A[1:], 0.5 * units.Hartree / units.Bohr)
            assert one.weights.unfitted_forces.tolist() == [True] + [False] * 7
        assert any("energies in 5 frames" in line for line in file.summary)

    @pytest.mark.parametrize(
        "entry",
        [
            "config_weight=2.0",
            "weight=0.3",
            "forces_weight=10",
            "forces_sigma=0.1",
            "hessian_sigma=1",
            "energy_sigma=-1",
        ],
    )
    def test_others_are_refused_by_name(self, read, crystals, entry):
        with pytest.raises(InputError, match=rf"frames 0-4 .*{entry.partition('=')[0]}"):
            read(with_entry(crystals, entry))

    def test_factors_of_one_change_nothing(self, read, crystals):
        check_labels(read(with_entry(crystals, "config_weight=1.0 config_energy_weight=1")).data_set, crystals)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("sigma_force_Xx=1.0", "sigma_force_xx weighs labels in a way that no fit here has"),
        ("sigma_energy=1.0", "sigma_energy weighs labels"),
        ("sigma_force=-1", "its regularisation is not usable"),
    ],
)
def test_expected_errors_of_frames_are_used_or_refused(read, crystals, entry, message):
    used = read(with_entry(crystals, "sigma_force_Cu=0.3")).data_set.configurations[0].regularisation
    assert used.force_by_element_eV_per_A == {"Cu": 0.3}
    with pytest.raises(InputError, match=message):
        read(with_entry(crystals, entry))


def test_charges_and_dipoles_that_are_none_are_told(read, crystals, atom_alone):
    odd = [replace(one, columns={"REF_charges:S:1": ["q"] * 8}) for one in with_entry(crystals, 'REF_dipole="1 2"')]
    summary = "\n".join(read(odd).summary)
    assert "REF_charges is not a column of one number and is not taken" in summary
    assert "REF_dipole is not three numbers and is not taken" in summary
    with pytest.raises(InputError, match="stands_in=maybe: 'maybe' is neither T nor F"):
        read([*crystals, *with_entry([atom_alone("Cu")], "stands_in=maybe")])


def test_what_becomes_of_single_atoms_is_said(read, crystals, atom_alone):
    """Those that no configuration holds, and those in cells that are neither a crystal's nor large."""
    near = replace(atom_alone("Cu", config_type=""), atoms=Atoms("Cu", cell=[6.5] * 3, pbc=True))
    silver = replace(atom_alone("Cu"), atoms=Atoms("Ag"))
    summary = "\n".join(read([*crystals, near, silver], LabelRequest(check_units=False)).summary)
    assert "one atom whose images are 6.50 Å apart counts as a crystal" in summary
    assert "isolated atoms of Ag are not used" in summary


def test_the_summary_has_at_most_ten_lines(read, frames):
    busy = [replace(one, entries=f"{one.entries} job=1 stress=none virial_text=x") for one in frames]
    busy += [replace(frames[2], columns={"energy:R:1": [0.0] * 8, "force:R:1": [0.0] * 8, "tag:I:1": [1] * 8})]
    file = read([*busy, *frames[3:5]])
    assert len(file.summary) <= 10
    assert file.summary[0].endswith("10 frames, 5 configurations of Cu, Au (40 atoms)")


def test_the_type_and_the_errors_of_an_isolated_atom_are_kept(read, crystals, atom_alone):
    copper = replace(atom_alone("Cu"), entries="config_type=IsolatedAtom energy_sigma=1e-4")
    gold = replace(atom_alone("Au"), entries="")
    found = {str(one.atoms.symbols): one for one in read([copper, gold, *crystals]).data_set.isolated_atoms}
    assert found["Cu"].config_type == "IsolatedAtom"
    assert found["Cu"].weights.energy_eV == 1e-4
    assert found["Au"].config_type == "isolated_atom"


def test_forces_that_constraints_have_made_zero_are_pointed_out(read, crystals):
    held = []
    for one in crystals:
        forces = one.forces.copy()
        forces[2] = 0.0
        held.append(replace(one, forces=forces))
    summary = read(held, LabelRequest(check_units=False)).summary
    assert any("exactly zero in frames 0-4" in line for line in summary)


def test_vacuum_of_slabs_says_nothing_of_the_sign_of_stresses():
    """Pressure that falls with density: wrong of crystals, nothing of slabs, whose volume is vacuum as one likes."""
    found = []
    for pbc in ([True, True, True], [True, True, False]):
        data = []
        for number, height in enumerate(np.linspace(5.0, 12.0, 12)):
            atoms = Atoms("LiH", positions=[[0, 0, 0], [0, 0, 1.6]], cell=[4.0, 4.0, height], pbc=pbc)
            stress = np.array([0.02, 0.02, 0.02, 0, 0, 0]) * (4 - height)
            data.append(LabelledConfiguration(atoms, -1.0, np.zeros((2, 3)), stress, str(number)))
        found.append([one for one in unit_objections(data) if "falls with its density" in one])
    crystals, slabs = found
    assert len(crystals) == 1
    assert slabs == []
