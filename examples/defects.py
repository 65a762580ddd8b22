"""Frenkel pairs of rock salt in an electric field, with any ASE calculator and without a campaign.

    python examples/defects.py

The potential is a toy (Coulomb energy of fixed charges and a repulsion); its symmetry is what a real crystal has
not: along axes that make the same angle with the pair, the curves are the same.
"""

from __future__ import annotations

from ase.build import bulk
from ase.calculators.calculator import Calculator
from ase.calculators.mixing import SumCalculator
from matscipy.calculators.pair_potential import LennardJonesCut, PairPotential

from ionloop.analysis.defects.figures import FieldCurve, field_figure
from ionloop.analysis.defects.formation import FrenkelSettings
from ionloop.analysis.defects.frenkel_study import PairStudy, study_frenkel_pairs
from ionloop.fitting.electrostatics.baseline import SlaterEwald

CHARGES = {"Na": 0.8, "Cl": -0.8}
SODIUM, CHLORINE = 11, 17
SETTINGS = FrenkelSettings(
    pairs=1, attempts=2, supercell=(2, 2, 2), fields_V_per_A=(-0.2, -0.1, 0.1, 0.2), axes=("x", "z")
)


def potential() -> Calculator:
    """Return Coulomb energy and repulsion: energies in eV, lengths in Å."""
    repulsion = {
        (SODIUM, CHLORINE): LennardJonesCut(0.1, 2.55, 5.0),
        (CHLORINE, CHLORINE): LennardJonesCut(0.01, 3.4, 5.0),
        (SODIUM, SODIUM): LennardJonesCut(0.01, 2.2, 5.0),
    }
    return SumCalculator([SlaterEwald(CHARGES, accuracy=1e-4), PairPotential(repulsion)])


def field_curves(study: PairStudy) -> list[FieldCurve]:
    """Return the curves of one pair as the figure takes them."""
    return [
        FieldCurve(
            axis,
            tuple(point.field_V_per_A for point in points),
            tuple(point.formation_energy_eV for point in points),
            tuple(point.state.value for point in points),
        )
        for axis, points in study.curves.items()
    ]


def main() -> None:
    """Print what becomes of the pairs, and build the figure of those that are followed in the field."""
    crystal = bulk("NaCl", "rocksalt", a=5.64, cubic=True)
    for study in study_frenkel_pairs(crystal, potential(), "Na", SETTINGS, charges=CHARGES, seed=1):
        if study.formation_energy_eV is None:
            print(f"{study.pair.separation_A:.2f} Å apart: {study.state}")
            continue
        print(
            f"{study.pair.separation_A:.2f} Å apart: {study.formation_energy_eV:.3f} eV, dipole {study.dipole_eA} e Å"
        )
        for axis, points in study.curves.items():
            energies = ", ".join(
                f"{point.field_V_per_A:+g}: "
                + (point.state if point.formation_energy_eV is None else f"{point.formation_energy_eV:.3f} eV")
                for point in points
            )
            print(f"  along {axis} (V/Å): {energies}")
        if study.curves:
            figure = field_figure(field_curves(study))
            print(f"  {len(figure.data)} traces; figure.write_html('frenkel-field.html') shows them")


if __name__ == "__main__":
    main()
