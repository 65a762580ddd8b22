"""Frenkel pairs of rock salt in one process: the symmetry of the curves, the figure, and recombination."""

from __future__ import annotations

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.mixing import SumCalculator
from matscipy.calculators.pair_potential import LennardJonesCut, PairPotential

from ionloop.analysis.defects.defect_sites import DefectState
from ionloop.analysis.defects.figures import FieldCurve, SeparationPoints, field_figure, separation_figure
from ionloop.analysis.defects.formation import FrenkelSettings
from ionloop.analysis.defects.frenkel_study import PairStudy, study_frenkel_pairs
from ionloop.analysis.fixed_cell_relaxation import FixedCellRelaxation
from ionloop.core.errors import InputError
from ionloop.fitting.electrostatics.baseline import SlaterEwald

CHARGES = {"Na": 0.8, "Cl": -0.8}
# Of the dipole: what the curvature between -0.05 and 0.05 V/Å leaves in the mean slope.
SLOPE_TOLERANCE = 0.05
SETTINGS = FrenkelSettings(
    pairs=1,
    attempts=2,
    supercell=(2, 2, 2),
    axes=("x", "z"),
    fields_V_per_A=(-0.05, 0.05),
    relaxation=FixedCellRelaxation(max_step_A=0.1),
)


def potential() -> SumCalculator:
    """The toy of examples/defects.py."""
    repulsion = {
        (11, 17): LennardJonesCut(0.1, 2.55, 5.0),
        (17, 17): LennardJonesCut(0.01, 3.4, 5.0),
        (11, 11): LennardJonesCut(0.01, 2.2, 5.0),
    }
    return SumCalculator([SlaterEwald(CHARGES, accuracy=1e-4), PairPotential(repulsion)])


@pytest.fixture(scope="module")
def studies() -> list[PairStudy]:
    salt = bulk("NaCl", "rocksalt", a=5.64, cubic=True)
    return list(study_frenkel_pairs(salt, potential(), "Na", SETTINGS, charges=CHARGES, seed=1))


def test_as_many_pairs_are_made_as_asked_for_and_only_the_first_survivors_are_followed(studies):
    assert len(studies) == SETTINGS.tried
    survivors = [study for study in studies if study.state is not DefectState.RECOMBINED]
    assert survivors
    assert [bool(study.curves) for study in survivors] == [True] + [False] * (len(survivors) - 1)
    assert all(study.formation_energy_eV is None for study in studies if study.state is DefectState.RECOMBINED)


def test_formation_energies_fall_along_the_dipole(studies):
    study = next(study for study in studies if study.curves)
    for axis, component in (("x", 0), ("z", 2)):
        low, zero, high = study.curves[axis]
        assert zero.formation_energy_eV == study.formation_energy_eV
        slope = (high.formation_energy_eV - low.formation_energy_eV) / 0.1
        dipole = study.dipole_eA[component]
        assert slope == pytest.approx(-dipole, abs=SLOPE_TOLERANCE * np.linalg.norm(study.dipole_eA))


def test_without_charges_there_is_no_field():
    salt = bulk("NaCl", "rocksalt", a=5.64, cubic=True)
    settings = SETTINGS.model_copy(update={"attempts": 1, "supercell": (2, 1, 1)})
    (study,) = study_frenkel_pairs(salt, potential(), "Na", settings, seed=1)
    assert study.curves == {}
    assert study.dipole_eA is None


def test_no_room_is_told_before_anything_is_relaxed():
    settings = SETTINGS.model_copy(update={"minimum_separation_A": 40.0})
    with pytest.raises(InputError, match="larger supercell"):
        next(study_frenkel_pairs(bulk("NaCl", "rocksalt", a=5.64, cubic=True), potential(), "Na", settings))


def test_the_figure_has_a_line_per_axis_and_a_cross_where_the_pair_is_gone():
    curves = [
        FieldCurve("x", (-0.2, -0.1, 0.0, 0.1), (None, 0.9, 0.8, 0.7), ("recombined", "hopped", "intact", "intact")),
        FieldCurve("z", (-0.1, 0.0, 0.1), (0.8, 0.8, 0.8), ("intact",) * 3),
    ]
    assert curves[0].recombinations == [(-0.2, 0.9)]
    figure = field_figure(curves)
    lines = [trace for trace in figure.data if trace.mode == "lines+markers"]
    assert [trace.name for trace in lines] == ["along x", "along z"]
    assert lines[0].marker.symbol[1] == "circle-open"
    (cross,) = [trace for trace in figure.data if trace.mode == "markers"]
    assert (cross.x, cross.y) == ((-0.2,), (0.9,))
    assert "V/Å" in figure.layout.xaxis.title.text
    points = separation_figure(
        [SeparationPoints("gap", (3.0, 4.0), (0.5, 0.6)), SeparationPoints("gap", (3.0,), (1,), "r")]
    )
    assert [trace.name for trace in points.data] == ["GAP", "r"]
