"""A baseline: charges that interact through a screened Coulomb potential, which ends."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np
from ase.calculators.calculator import Calculator, all_changes
from ase.neighborlist import neighbor_list
from pydantic import Field

from ionloop.core.citations import Citation
from ionloop.core.errors import InputError
from ionloop.fitting.electrostatics.base import BaselineKind
from ionloop.fitting.electrostatics.sections import BaselineSection
from ionloop.fitting.settings import CommonBaselineSettings

COULOMB_EV_A = 14.399645


class WolfSection(BaselineSection):
    """Charges that other atoms screen."""

    kind: Literal["toy-wolf"] = Field("toy-wolf", description="Kind of baseline: screened charges (name)")
    length_A: float = Field(1.5, gt=0, le=20, description="Screening length (Å)")


class WolfSettings(CommonBaselineSettings):
    """What models on it are made with."""

    kind: Literal["toy-wolf"] = Field("toy-wolf", description="Kind of baseline (name)")
    length_A: float = Field(1.5, gt=0, description="Screening length (Å)")


class WolfCalculator(Calculator):
    """Σ k q_i q_j exp(-(r/λ)²)/r over pairs, cut where nothing is left."""

    implemented_properties: ClassVar[list[str]] = ["energy", "free_energy", "forces", "stress", "charges"]

    def __init__(self, settings: WolfSettings) -> None:
        super().__init__()
        self.settings = settings

    def calculate(self, atoms: Any = None, properties: Any = ("energy",), system_changes: Any = all_changes) -> None:
        super().calculate(atoms, list(properties), list(system_changes))
        atoms, length = self.atoms, self.settings.length_A
        unknown = sorted(set(atoms.symbols) - set(self.settings.charges))
        if unknown:
            raise InputError(f"there are no charges of {', '.join(unknown)}")
        charges = np.array([self.settings.charges[symbol] for symbol in atoms.symbols])
        first, second, r, vectors = neighbor_list("ijdD", atoms, 6.0 * length)
        energies = 0.5 * COULOMB_EV_A * charges[first] * charges[second] * np.exp(-((r / length) ** 2)) / r
        slopes = -energies * (1 / r + 2 * r / length**2)
        pulls = (slopes / r)[:, None] * vectors
        forces = np.zeros((len(atoms), 3))
        np.add.at(forces, first, pulls)
        np.add.at(forces, second, -pulls)
        energy = float(energies.sum())
        self.results = {"energy": energy, "free_energy": energy, "forces": forces, "charges": charges}
        if atoms.pbc.sum() >= 2 and atoms.cell.rank == 3:
            stress = vectors.T @ pulls / atoms.get_volume()
            self.results["stress"] = (0.5 * (stress + stress.T)).ravel()[[0, 4, 8, 5, 2, 1]]


class WolfBaseline(BaselineKind):
    """Not a good model of anything."""

    name = "toy-wolf"
    rank = 1
    section_type = WolfSection
    settings_type = WolfSettings
    has_species_charges = True
    citations = (Citation("Screened charges", "A. Toy, J. Toys 2026, 1, 2"),)

    def calculator(self, settings: CommonBaselineSettings) -> Calculator:
        assert isinstance(settings, WolfSettings)
        return WolfCalculator(settings)

    def methods(self, section: BaselineSection) -> str:
        return "a baseline of screened charges"


WOLF = WolfBaseline()
