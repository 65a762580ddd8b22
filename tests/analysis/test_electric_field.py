"""A field on fixed charges: finite differences, the polarisation quantum, neutrality, and LAMMPS."""

from __future__ import annotations

from types import ModuleType

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.calculator import PropertyNotImplementedError
from ase.calculators.emt import EMT
from ase.calculators.lj import LennardJones

from ionloop.analysis.electric_field import FieldCalculator, born_charges, dipole_difference_eA, ion_charges
from ionloop.core.errors import InputError
from ionloop.fitting.calculators import EsGapCalculator
from ionloop.fitting.electrostatics.baseline import SlaterEwald

CHARGES = {"Na": 0.7, "Cl": -0.7}
FIELD_V_PER_A = np.array([0.21, -0.13, 0.08])
STEP_A = 1e-4
FINITE_DIFFERENCE_EV_PER_A = 1e-6
EXACT_EV = 1e-9
LAMMPS_EV, LAMMPS_EV_PER_A = 1e-8, 1e-8


def salt(seed: int = 1) -> Atoms:
    atoms = bulk("NaCl", "rocksalt", a=5.6, cubic=True)
    if seed:
        atoms.rattle(0.1, seed=seed)
    return atoms


def in_field(atoms: Atoms, field=FIELD_V_PER_A, calculator=None) -> Atoms:
    atoms = atoms.copy()
    inner = SlaterEwald(CHARGES) if calculator is None else calculator
    atoms.calc = FieldCalculator(inner, CHARGES, field, salt(0))
    return atoms


def test_forces_are_the_derivative_of_the_energy():
    atoms = in_field(salt())
    forces = atoms.get_forces().copy()
    for ion, axis in ((0, 0), (3, 1), (6, 2), (7, 0)):
        energies = []
        for sign in (1, -1):
            atoms.positions[ion, axis] += sign * STEP_A
            energies.append(atoms.get_potential_energy())
            atoms.positions[ion, axis] -= sign * STEP_A
        slope = (energies[0] - energies[1]) / (2 * STEP_A)
        assert -slope == pytest.approx(forces[ion, axis], abs=FINITE_DIFFERENCE_EV_PER_A)


def test_the_energy_falls_with_the_field_by_the_dipole():
    atoms = salt()
    energies = [in_field(atoms, sign * STEP_A * FIELD_V_PER_A).get_potential_energy() for sign in (1, -1)]
    slope = (energies[0] - energies[1]) / (2 * STEP_A)
    dipole = dipole_difference_eA(atoms, salt(0), CHARGES)
    assert -slope == pytest.approx(dipole @ FIELD_V_PER_A, rel=1e-6)


def test_moving_an_ion_by_a_lattice_vector_costs_the_polarisation_quantum_and_no_force():
    still, moved = in_field(salt()), in_field(salt())
    vector = moved.cell.array[1] - moved.cell.array[2]
    moved.positions[5] += vector
    charge = CHARGES[moved.symbols[5]]
    work = moved.get_potential_energy() - still.get_potential_energy()
    assert work == pytest.approx(-charge * FIELD_V_PER_A @ vector, abs=1e-7)
    assert np.allclose(moved.get_forces(), still.get_forces(), atol=1e-7)


def test_moving_the_whole_crystal_changes_nothing():
    atoms = salt()
    shifted = atoms.copy()
    shifted.positions += [1.3, -0.4, 2.2]
    energies = [in_field(one).get_potential_energy() for one in (atoms, shifted)]
    assert energies[0] == pytest.approx(energies[1], abs=1e-7)
    assert np.allclose(in_field(atoms).get_forces().sum(axis=0), 0.0, atol=1e-7)


def test_without_a_field_it_is_the_inner_calculator():
    atoms = salt()
    plain = atoms.copy()
    plain.calc = SlaterEwald(CHARGES)
    field = in_field(atoms, np.zeros(3))
    assert field.get_potential_energy() == plain.get_potential_energy()
    assert np.array_equal(field.get_forces(), plain.get_forces())


def test_there_is_no_stress_in_a_field():
    with pytest.raises(PropertyNotImplementedError):
        in_field(salt()).get_stress()


def test_a_model_on_fixed_charges_knows_what_a_field_does_to_it():
    atoms, parent, short = salt(), salt(0), LennardJones(sigma=2.3, epsilon=0.2, rc=4.0)
    model = EsGapCalculator(short, SlaterEwald(CHARGES), CHARGES)
    told, known = (FieldCalculator(model, charges, FIELD_V_PER_A, parent) for charges in (CHARGES, None))
    for name in ("energy", "forces", "dipole"):
        assert np.array_equal(known.get_property(name, atoms), told.get_property(name, atoms))
    assert np.allclose(born_charges(model, atoms), born_charges(model, atoms, CHARGES), atol=1e-12)
    assert np.array_equal(model.get_property("charges", atoms), [CHARGES[symbol] for symbol in atoms.symbols])
    assert "charges" not in EsGapCalculator.implemented_properties
    free = EsGapCalculator(short, SlaterEwald(CHARGES), None, "that pass freely")
    with pytest.raises(InputError, match="charges that pass freely"):
        born_charges(free, atoms)


def test_charged_cells_are_refused_and_rounding_is_spread():
    with pytest.raises(InputError, match=r"charge \+0.4 e"):
        FieldCalculator(EMT(), {"Na": 0.7, "Cl": -0.6}, FIELD_V_PER_A, salt())
    with pytest.raises(InputError, match="Cl has none"):
        FieldCalculator(EMT(), {"Na": 0.7}, FIELD_V_PER_A, salt())
    nearly = ion_charges(salt(), {"Na": 0.7001, "Cl": -0.7})
    assert nearly.sum() == pytest.approx(0.0, abs=1e-15)


@pytest.mark.parametrize("field", [[0.1, 0.2], [0.1, np.nan, 0.0], 0.3])
def test_what_is_no_field_is_refused(field):
    with pytest.raises(InputError, match="three finite components"):
        FieldCalculator(EMT(), CHARGES, field, salt())


def test_another_cell_or_other_ions_than_the_parent_are_refused():
    atoms = in_field(salt())
    atoms.set_cell(atoms.cell.array * 1.01)
    with pytest.raises(InputError, match="another cell"):
        atoms.get_potential_energy()
    atoms = in_field(salt())
    atoms.symbols[0] = "Cl"
    with pytest.raises(InputError, match="other ions"):
        atoms.get_potential_energy()
    with pytest.raises(InputError, match="same ions"):
        dipole_difference_eA(salt(), salt()[:-1], CHARGES)


def lammps_in_field(
    lammps: ModuleType, atoms: Atoms, moved: int | None, vector: np.ndarray
) -> tuple[float, np.ndarray]:
    """Energy and forces of `fix efield` on a Lennard-Jones crystal, one ion moved by a vector if asked for."""
    engine = lammps.lammps(cmdargs=["-log", "none", "-screen", "none"])
    lengths = atoms.cell.lengths()
    engine.commands_list(
        [
            "units metal",
            "atom_style charge",
            "atom_modify map array",
            f"region box block 0 {lengths[0]} 0 {lengths[1]} 0 {lengths[2]}",
            "create_box 2 box",
            "mass * 1.0",
            *(
                f"create_atoms {1 if symbol == 'Na' else 2} single {x:.15g} {y:.15g} {z:.15g} units box"
                for symbol, (x, y, z) in zip(atoms.symbols, atoms.positions, strict=True)
            ),
            f"set type 1 charge {CHARGES['Na']}",
            f"set type 2 charge {CHARGES['Cl']}",
            "pair_style lj/cut 4.0",
            "pair_coeff * * 0.2 2.3",
            "pair_modify shift yes",
            f"fix field all efield {FIELD_V_PER_A[0]} {FIELD_V_PER_A[1]} {FIELD_V_PER_A[2]}",
            "fix_modify field energy yes",
            "thermo_modify format float %20.15g",
            "run 0",
        ]
    )
    if moved is not None:
        engine.commands_list(
            [
                f"group one id {moved + 1}",
                f"displace_atoms one move {vector[0]:.15g} {vector[1]:.15g} {vector[2]:.15g} units box",
                "run 0",
            ]
        )
    energy = float(engine.get_thermo("pe"))
    forces = np.array(engine.gather_atoms("f", 1, 3)).reshape(-1, 3)
    engine.close()
    return energy, forces


@pytest.mark.parametrize("turns", [None, (0.31, -0.12, 0.2), (1.0, 0.0, -2.0)], ids=["still", "moved", "wrapped"])
def test_lammps_fix_efield_gives_the_same_forces_and_energy_differences(lammps, turns):
    atoms = salt(0)
    atoms.positions += 0.2
    atoms.rattle(0.1, seed=3)
    vector = np.zeros(3) if turns is None else np.array(turns) @ atoms.cell.array
    moved = None if turns is None else 4
    start, _ = lammps_in_field(lammps, atoms, None, vector)
    energy, forces = lammps_in_field(lammps, atoms, moved, vector)
    ours = in_field(atoms, calculator=LennardJones(sigma=2.3, epsilon=0.2, rc=4.0))
    before = ours.get_potential_energy()
    if moved is not None:
        ours.positions[moved] += vector
    assert ours.get_potential_energy() - before == pytest.approx(energy - start, abs=LAMMPS_EV)
    assert np.allclose(ours.get_forces(), forces, atol=LAMMPS_EV_PER_A)
