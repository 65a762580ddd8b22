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

from ionloop.analysis.defects.figures import field_figure
from ionloop.analysis.defects.settings import FrenkelSettings
from ionloop.fitting.electrostatics.baseline import SlaterEwald
from ionloop.tasks.values.defects import FRENKEL, FRENKEL_IN_FIELD
from ionloop.workflows.analyses.defects.kinds import FRENKEL as FRENKEL_PAIRS
from ionloop.workflows.analyses.defects.report import field_curve
from ionloop.workflows.analyses.runner import OwnCalculator, Question, ask

CHARGES = {"Na": 0.8, "Cl": -0.8}
SODIUM, CHLORINE = 11, 17
SETTINGS = FrenkelSettings(
    pairs=1,
    attempts=2,
    supercell=(2, 2, 2),
    fields_V_per_A=(-0.2, -0.1, 0.1, 0.2),
    axes=("x", "z"),
    reference=False,
)


def potential() -> Calculator:
    """Return Coulomb energy and repulsion: energies in eV, lengths in Å."""
    repulsion = {
        (SODIUM, CHLORINE): LennardJonesCut(0.1, 2.55, 5.0),
        (CHLORINE, CHLORINE): LennardJonesCut(0.01, 3.4, 5.0),
        (SODIUM, SODIUM): LennardJonesCut(0.01, 2.2, 5.0),
    }
    return SumCalculator([SlaterEwald(CHARGES, accuracy=1e-4), PairPotential(repulsion)])


def main() -> None:
    """Print what becomes of the pairs, and build the figure of those that are followed in the field."""
    crystal = bulk("NaCl", "rocksalt", a=5.64, cubic=True)
    question = Question(crystal, [OwnCalculator(potential(), CHARGES)], SETTINGS, campaign={"mobile": "Na"})
    answer = ask(FRENKEL_PAIRS, question)
    for pair in FRENKEL.read(answer.only(FRENKEL.name)).pairs:
        told = pair.state if pair.formation_energy_eV is None else f"{pair.formation_energy_eV:.3f} eV"
        print(f"{pair.separation_A:.2f} Å apart: {told}")
    for followed in FRENKEL_IN_FIELD.read(answer.only(FRENKEL_IN_FIELD.name)).pairs:
        dipole = ", ".join(f"{component:.2f}" for component in followed.dipole_eA)
        print(f"{followed.separation_A:.2f} Å apart, dipole ({dipole}) e Å")
        for axis, points in followed.axes.items():
            energies = ", ".join(
                f"{point.field_V_per_A:+g}: "
                + (point.state if point.formation_energy_eV is None else f"{point.formation_energy_eV:.3f} eV")
                for point in points
            )
            print(f"  along {axis} (V/Å): {energies}")
        figure = field_figure([field_curve(axis, points) for axis, points in followed.axes.items()])
        print(f"  {len(figure.data)} traces; figure.write_html('frenkel-field.html') shows them")


if __name__ == "__main__":
    main()
