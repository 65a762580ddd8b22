"""Rows of single atoms add up to a GAP's, and serve fits of charges whether they are kept or not."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from ionloop.fitting.data_sets import LabelledConfiguration
from ionloop.fitting.electrostatics.contract import CHARGES_E, EXPONENTS_PER_A, BaselineContract
from ionloop.fitting.electrostatics.coulomb.clouds import cloud_table
from ionloop.fitting.electrostatics.joint.atom_row_store import AtomRowStore
from ionloop.fitting.electrostatics.joint.charge_columns import ChargeColumns, Parameters
from ionloop.fitting.electrostatics.joint.charge_models import LocalCharges
from ionloop.fitting.native.sparse_fit.design import Descriptors, PairedAtoms, RowBuilder, soap_descriptors
from ionloop.fitting.native.sparse_fit.linear_system import Workshop
from ionloop.fitting.native.sparse_fit.row_store import RowStore
from ionloop.fitting.native.sparse_fit.rows import n_rows
from ionloop.fitting.native.sparse_fit.sparse_points import single_layer
from ionloop.fitting.settings import GapSettings, SoapSettings

CONTRACT = BaselineContract()
STRUCTURES = (CONTRACT.crystal(), CONTRACT.molecule(), CONTRACT.crystal(3))
CONFIGURATIONS = [
    LabelledConfiguration(atoms, 0.0, np.zeros((len(atoms), 3)), None, str(number))
    for number, atoms in enumerate(STRUCTURES)
]


@pytest.fixture(scope="module")
def builder() -> RowBuilder:
    soap = SoapSettings(cutoff_A=4.0, n_max=3, l_max=2, sparse_points=8, delta_eV=0.7)
    descriptors = Descriptors.of(["Li", "S"], GapSettings(two_body=None, soap=soap))
    paired = PairedAtoms.of(STRUCTURES[0], descriptors)
    points = {(number,): soap_descriptors(paired, descriptors, number)[:2] for number in descriptors.species}
    return RowBuilder(descriptors, single_layer(points))


@pytest.mark.parametrize("index", [0, 1, 2])
def test_rows_of_all_atoms_add_up_to_those_of_the_configuration(builder, index):
    """A small cell has atoms that are neighbours several times, a larger one atoms without each other."""
    atoms = STRUCTURES[index]
    expected = builder.rows(atoms, [0])[0]
    found = np.zeros((n_rows(len(atoms)), builder.n_columns))
    for start, one in AtomRowStore(builder, CONFIGURATIONS, 0.0).rows(index):
        one.add_weighted(found[:, start : start + one.values.shape[1]], np.ones(len(atoms)))
    np.testing.assert_allclose(found, expected, atol=1e-12)


@pytest.mark.parametrize(("memory_bytes", "disk_bytes"), [(1e6, 0.0), (1e4, 1e6)], ids=["memory", "disk"])
def test_charges_have_the_same_columns_from_rows_that_are_kept(builder, memory_bytes, disk_bytes):
    clouds = cloud_table(["Li", "S"], EXPONENTS_PER_A)
    with (
        ThreadPoolExecutor(2) as pool,
        RowStore(1e8) as matrices,
        AtomRowStore(builder, CONFIGURATIONS, memory_bytes, disk_bytes) as kept,
    ):
        kept.fill(Workshop(pool, 2, lambda progress: None))
        assert all(kept.keeps(index) for index in range(3))
        found = []
        for atom_rows in (None, kept):
            columns = ChargeColumns(builder, CONFIGURATIONS, LocalCharges(), clouds, 1e-6, None, matrices, atom_rows)
            for index in range(3):
                columns.keep(index, columns.precompute(index))
            coefficients = np.random.default_rng(3).normal(size=columns.n_coefficients)
            parameters = Parameters(np.array([CHARGES_E["Li"], CHARGES_E["S"]]), coefficients)
            found.append(
                [
                    columns.linearise(index, parameters, with_columns=wanted)
                    for index in range(3)
                    for wanted in (True, False)
                ]
            )
    for computed, read in zip(*found, strict=True):
        np.testing.assert_allclose(read.values, computed.values, atol=1e-11)
        assert (read.columns is None) == (computed.columns is None)
        if computed.columns is not None:
            np.testing.assert_allclose(read.columns, computed.columns, atol=1e-11)


def test_what_has_no_room_is_computed_each_time(builder):
    room = n_rows(6) * 2 * 6 * 8
    with ThreadPoolExecutor(1) as pool, AtomRowStore(builder, CONFIGURATIONS, room) as kept:
        kept.fill(Workshop(pool, 2, lambda progress: None))
        assert [kept.keeps(index) for index in range(3)] == [True, False, False]
        for (_, read), (_, computed) in zip(
            kept.rows(0), AtomRowStore(builder, CONFIGURATIONS, 0).rows(0), strict=True
        ):
            np.testing.assert_array_equal(read.values, computed.values)
