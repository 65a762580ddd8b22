"""Dipoles of small molecules: electronegativities that follow the environment (kQEq) against constant ones (QEq).

Molecules of H, C, N and O of ASE's G2 set, and those with a methyl, amino, hydroxyl or aldehyde group in a hydrogen's
place, with their atoms displaced, labelled by GFN2-xTB (tblite).
Whole molecules are held out. The closed form of kQEq is fitted to more and more of the others; QEq with published
electronegativities, and with constants that are fitted to all of them, stand beside::

    python benchmarks/dipoles_of_molecules.py
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import numpy as np
from ase import Atoms
from ase.build import molecule
from ase.collections import g2
from tblite.ase import TBLite

from ionloop.core.arrays import FloatArray
from ionloop.fitting.data_sets import DataSet, LabelledConfiguration
from ionloop.fitting.electrostatics.coulomb.clouds import cloud_table
from ionloop.fitting.electrostatics.equilibrated.kind import EQUILIBRATED, EquilibratedSettings
from ionloop.fitting.electrostatics.equilibrated.literature import ELECTRONEGATIVITIES_EV
from ionloop.fitting.electrostatics.joint.charge_columns import ChargeColumns, Parameters
from ionloop.fitting.electrostatics.joint.joint_fit import charge_prior_factor
from ionloop.fitting.electrostatics.joint.label_rows import LabelSigmas, label_rows, solve_labels
from ionloop.fitting.native.sparse_fit.candidates import choose_sparse_points
from ionloop.fitting.native.sparse_fit.design import Descriptors, RowBuilder
from ionloop.fitting.native.sparse_fit.fit_inputs import FitInputs
from ionloop.fitting.native.sparse_fit.row_store import RowStore
from ionloop.fitting.settings import GapSettings, SoapSettings
from ionloop.workflows.campaign.baseline_charges import slater_exponent

ELEMENTS = ("C", "H", "N", "O")
JITTER = 1e-8
# What a group is made from, which of its hydrogens leaves, and its bond to carbon (Å).
GROUPS = {"CH3": ("CH4", 1, 1.53), "NH2": ("NH3", 1, 1.47), "OH": ("H2O", 1, 1.43), "CHO": ("H2CO", 2, 1.51)}
CLOSEST_A = 1.2


def parents() -> dict[str, Atoms]:
    """Return the closed-shell molecules of the set."""
    found = {name: molecule(name) for name in g2.names}
    return {
        name: atoms
        for name, atoms in found.items()
        if len(atoms) > 2
        and int(atoms.numbers.sum()) % 2 == 0
        and not atoms.get_initial_magnetic_moments().any()
        and set(atoms.symbols) <= set(ELEMENTS)
    }


def substituted(atoms: Atoms, place: int, group: str) -> Atoms | None:
    """Return a molecule with a group in a hydrogen's place, None where it has no room."""
    vectors = atoms.positions - atoms.positions[place]
    distances = np.linalg.norm(vectors, axis=1)
    distances[place] = np.inf
    neighbour = int(distances.argmin())
    if atoms.symbols[neighbour] != "C":
        return None
    base, leaving, length_A = GROUPS[group]
    added = molecule(base)
    inner = int(np.argmin(np.where(added.numbers == 1, np.inf, added.get_distances(leaving, range(len(added))))))
    added.rotate(added.positions[leaving] - added.positions[inner], vectors[neighbour], center=added.positions[inner])
    outward = -vectors[neighbour] / distances[neighbour]
    added.positions += atoms.positions[neighbour] + length_A * outward - added.positions[inner]
    del added[leaving]
    rest = atoms.copy()
    del rest[place]
    apart = np.linalg.norm(rest.positions[:, None] - added.positions, axis=2)
    return rest + added if apart.min() > CLOSEST_A else None


def many_molecules() -> dict[str, Atoms]:
    """Return the molecules of the set, and those with a group in place of one hydrogen of a carbon."""
    found = parents()
    for name, atoms in parents().items():
        places = np.flatnonzero(atoms.numbers == 1)
        for group in GROUPS:
            for place in places[[0, -1]] if len(places) > 1 else places:
                one = substituted(atoms, int(place), group)
                if one is not None:
                    found[f"{name}-{group}-{place}"] = one
    return found


def labelled_molecules(copies: int, seed: int) -> list[list[LabelledConfiguration]]:
    """Return displaced copies of every molecule, in random order."""
    random = np.random.default_rng(seed)
    found = []
    for name, atoms in many_molecules().items():
        own = []
        for copy in range(copies):
            moved = Atoms(atoms.symbols, positions=atoms.positions + random.normal(0, 0.05, atoms.positions.shape))
            moved.calc = TBLite(method="GFN2-xTB", verbosity=0)
            dipole = moved.get_dipole_moment()
            own.append(
                LabelledConfiguration(moved, moved.get_potential_energy(), None, None, f"{name}-{copy}", dipole=dipole)
            )
        found.append(own)
    random.shuffle(found)
    return found


def error(columns: ChargeColumns, tests: Sequence[tuple[int, LabelledConfiguration]], parameters: Parameters) -> float:
    """Return the root-mean-square length of the dipoles' errors (e Å)."""
    squares = []
    for index, one in tests:
        dipole = columns.charges(index, parameters) @ one.atoms.positions
        squares.append(float(np.square(dipole - one.dipole).sum()))
    return float(np.sqrt(np.mean(squares)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--copies", type=int, default=1)
    parser.add_argument("--points", type=int, default=300)
    parser.add_argument("--hardness", type=float, default=5.0)
    parser.add_argument("--bond-hardness", type=float, default=None, help="without it charge passes freely")
    parser.add_argument("--spread", type=float, default=2.0, help="spread_eV")
    parser.add_argument("--sigma", type=float, default=0.02, help="dipole_sigma_eA")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    molecules = labelled_molecules(given.copies, given.seed)
    held = molecules[: len(molecules) // 4]
    others = molecules[len(molecules) // 4 :]
    tests = [one for own in held for one in own]
    lengths = [float(np.square(one.dipole).sum()) for one in tests]
    print(f"{len(held)} molecules held out, their dipoles {np.sqrt(np.mean(lengths)):.3f} e Å")
    for count in (10, 30, 100, len(others)):
        trained = [one for own in others[:count] for one in own]
        print(f"{count:3d} molecules: " + told(trained, tests, given))


def told(trained: list[LabelledConfiguration], tests: list[LabelledConfiguration], given: argparse.Namespace) -> str:
    """Return errors of the model and of constant electronegativities, fitted to some molecules."""
    soap = SoapSettings(cutoff_A=3.5, n_max=6, l_max=4, atom_sigma_A=0.4, zeta=2, sparse_points=given.points)
    gap = GapSettings(two_body=None, soap=soap)
    descriptors = Descriptors.of(ELEMENTS, gap)
    data = DataSet(tuple(trained), dict.fromkeys(ELEMENTS, 0.0))
    builder = RowBuilder(descriptors, choose_sparse_points(FitInputs(data, gap, given.seed), descriptors, map))
    exponents = {symbol: slater_exponent(symbol) for symbol in ELEMENTS}
    settings = EquilibratedSettings(
        charges=dict.fromkeys(ELEMENTS, 0.0),
        exponents=exponents,
        hardness_eV=dict.fromkeys(ELEMENTS, given.hardness),
        bond_hardness_eV=given.bond_hardness,
    )
    order = ("H", "C", "N", "O")
    every = [*trained, *tests]
    with RowStore(1e9) as store:
        columns = ChargeColumns(
            builder, every, EQUILIBRATED.charge_model(settings, order), cloud_table(order, exponents), 1e-6, None, store
        )
        for index in range(len(every)):
            columns.keep(index, columns.precompute(index))
        held = list(enumerate(every))[len(trained) :]
        published = np.array([ELECTRONEGATIVITIES_EV[symbol] for symbol in order])
        rows = label_rows(columns, trained, LabelSigmas(dipole_eA=given.sigma))
        n_points = columns.n_coefficients
        factor = np.zeros((n_points + 4, n_points + 4))
        factor[:n_points, :n_points] = charge_prior_factor(columns, given.spread, JITTER)
        factor[n_points:, n_points:] = np.eye(4) / 10.0
        mean = np.concatenate([np.zeros(n_points), published])

        def at(theta: FloatArray) -> float:
            return error(columns, held, Parameters(theta[n_points:], theta[:n_points]))

        held_factor = factor.copy()
        held_factor[:n_points, :n_points] *= 1e6
        constants = at(solve_labels(rows, held_factor, mean))
        model = at(solve_labels(rows, factor, mean))
        untrained = at(mean)
    return f"kQEq {model:.4f} e Å, constants fitted {constants:.4f}, published {untrained:.4f}"


if __name__ == "__main__":
    main()
