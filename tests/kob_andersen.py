"""A binary liquid that cools to a glass: Kob and Andersen, Phys. Rev. E 1995, 51, 4626 (10.1103/PhysRevE.51.4626).

Nickel and phosphorus, whose glass it was made for, 80 to 20; in units of 2.2 Å and 0.1 eV its mode-coupling temperature
of 0.435 is 505 K.
"""

from __future__ import annotations

import numpy as np
from ase.calculators.calculator import Calculator, all_changes
from matscipy.neighbours import neighbour_list

SIGMA_A, EPSILON_EV = 2.2, 0.1
KINDS = {"Ni": 0, "P": 1}
SIGMAS = SIGMA_A * np.array([[1.0, 0.8], [0.8, 0.88]])
EPSILONS = EPSILON_EV * np.array([[1.0, 1.5], [1.5, 0.5]])
REACH = 2.5


class KobAndersen(Calculator):
    """Lennard-Jones pairs, shifted in energy and force to vanish at 2.5 diameters."""

    implemented_properties = ("energy", "forces", "stress")

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        kinds = np.array([KINDS[symbol] for symbol in self.atoms.symbols])
        first, second, r, vector = neighbour_list("ijdD", self.atoms, REACH * SIGMA_A)
        sigma, epsilon = SIGMAS[kinds[first], kinds[second]], EPSILONS[kinds[first], kinds[second]]
        inside = r < REACH * sigma
        first, r, vector, sigma, epsilon = (one[inside] for one in (first, r, vector, sigma, epsilon))
        sixth = (sigma / r) ** 6
        slope = 24 * epsilon * (sixth - 2 * sixth**2) / r
        end = REACH**-6
        slope_end = 24 * epsilon * (end - 2 * end**2) / (REACH * sigma)
        shift = 4 * epsilon * (end**2 - end) + slope_end * (r - REACH * sigma)
        pull = ((slope - slope_end) / r)[:, None] * vector
        forces = np.zeros((len(kinds), 3))
        for axis in range(3):
            forces[:, axis] = np.bincount(first, weights=pull[:, axis], minlength=len(kinds))
        virial = 0.5 * np.einsum("pi,pj->ij", pull, vector) / self.atoms.get_volume()
        energy = float(0.5 * (4 * epsilon * (sixth**2 - sixth) - shift).sum())
        self.results = {
            "energy": energy,
            "free_energy": energy,
            "forces": forces,
            "stress": virial[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]],
        }
