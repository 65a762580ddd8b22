"""A model: pair potentials that are sums of bumps, fitted by linear least squares."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import ClassVar

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from ase.neighborlist import neighbor_list
from ase.stress import full_3x3_to_voigt_6_stress
from pydantic import Field, PositiveFloat, PositiveInt

from ionloop.core.citations import Citation
from ionloop.core.errors import InputError
from ionloop.core.looks import Look
from ionloop.core.settings import FrozenSettings
from ionloop.fitting.gap_fit import TargetCounts
from ionloop.fitting.kinds.base import FitReport, FitRequest, ModelKind
from ionloop.fitting.models import ModelManifest


class PairSettings(FrozenSettings):
    """Bumps between a shortest distance and the cutoff, one set for each pair of elements."""

    cutoff_A: PositiveFloat = Field(5.0, description="Distance at which atoms stop to see each other (Å)")
    bumps: PositiveInt = Field(8, description="Bumps of each pair of elements (count)")
    ridge: PositiveFloat = Field(1e-6, description="Penalty on the coefficients' squares (1/eV²)")


def basis(distances: np.ndarray, settings: PairSettings) -> tuple[np.ndarray, np.ndarray]:
    """Return bumps and their derivatives, shape [n_distances, n_bumps]; both vanish at the cutoff."""
    centres = np.linspace(1.5, settings.cutoff_A, settings.bumps)
    width = centres[1] - centres[0] if len(centres) > 1 else 1.0
    x = (distances[:, None] - centres) / width
    bump, slope = np.exp(-0.5 * x**2), -x / width * np.exp(-0.5 * x**2)
    rest = 1.0 - (distances[:, None] / settings.cutoff_A) ** 2
    fade, fade_slope = rest**3, -6.0 * distances[:, None] / settings.cutoff_A**2 * rest**2
    return bump * fade, slope * fade + bump * fade_slope


def design(atoms: Atoms, pairs: list[str], settings: PairSettings) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return energy [n], forces [3 N, n] and derivative by strain [6, n] of every coefficient."""
    i, j, distances, vectors = neighbor_list("ijdD", atoms, settings.cutoff_A)
    values, slopes = basis(distances, settings)
    symbols = np.array(atoms.get_chemical_symbols())
    names = np.array(["-".join(sorted(pair)) for pair in zip(symbols[i], symbols[j], strict=True)], dtype=str)
    energy, forces, strain = [], [], []
    for pair in pairs:
        here = names == pair
        energy.append(0.5 * values[here].sum(axis=0))
        gradient = slopes[here][:, None, :] * (vectors[here] / distances[here][:, None])[:, :, None]
        on_atoms = np.zeros((len(atoms), 3, settings.bumps))
        np.add.at(on_atoms, i[here], gradient)
        forces.append(on_atoms.reshape(-1, settings.bumps))
        tensor = 0.5 * np.einsum("nak,nb->abk", gradient, vectors[here])
        strain.append(np.stack([full_3x3_to_voigt_6_stress(tensor[..., k]) for k in range(settings.bumps)], axis=1))
    return np.concatenate(energy), np.concatenate(forces, axis=1), np.concatenate(strain, axis=1)


class PairCalculator(Calculator):
    """The potential of a file."""

    implemented_properties: ClassVar[list[str]] = ["energy", "free_energy", "forces", "stress"]

    def __init__(self, file: Path) -> None:
        super().__init__()
        content = json.loads(file.read_text())
        self._settings = PairSettings.model_validate(content["settings"])
        self._alone, self._pairs = content["isolated_atom_energies_eV"], content["pairs"]
        self._coefficients = np.array(content["coefficients"])

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes) -> None:
        super().calculate(atoms, list(properties), list(system_changes))
        unknown = sorted(set(self.atoms.symbols) - set(self._alone))
        if unknown:
            raise InputError(f"this pair potential knows nothing of {', '.join(unknown)}")
        energy, forces, strain = design(self.atoms, self._pairs, self._settings)
        total = float(energy @ self._coefficients) + sum(self._alone[symbol] for symbol in self.atoms.symbols)
        self.results = {
            "energy": total,
            "free_energy": total,
            "forces": (forces @ self._coefficients).reshape(-1, 3),
        }
        if self.atoms.cell.rank == 3:
            self.results["stress"] = strain @ self._coefficients / self.atoms.get_volume()


class PairModel(ModelKind):
    """A pair potential."""

    name = "toy-pair"
    rank = 5
    look = Look("Toy pairs", "#117733", "hexagon")
    settings_type = PairSettings
    potential_file = "pairs.json"
    citations: ClassVar[tuple[Citation, ...]] = (Citation("Toy pair potentials", "A. Toy, J. Toys 2026, 1, 2"),)
    exports: ClassVar[tuple[str, ...]] = ("lammps",)

    def cutoff_A(self, settings: FrozenSettings) -> float:
        return self._own(settings).cutoff_A

    def fit(self, request: FitRequest) -> FitReport:
        settings, data = self._own(request.settings), request.targets
        pairs = ["-".join(pair) for pair in itertools.combinations_with_replacement(sorted(data.elements), 2)]
        alone = dict(data.isolated_atom_energies)
        rows, values = [], []
        for one in data.fitted_configurations:
            energy, forces, strain = design(one.atoms, pairs, settings)
            per_atom = 1.0 / len(one.atoms)
            rows.append(10.0 * per_atom * energy[None])
            values.append([10.0 * per_atom * (one.energy - sum(alone[symbol] for symbol in one.atoms.symbols))])
            if one.forces is not None:
                rows.append(forces)
                values.append(one.forces.ravel())
            if one.stress is not None:
                rows.append(per_atom * strain)
                values.append(per_atom * one.stress * one.atoms.get_volume())
        matrix, right = np.concatenate(rows), np.concatenate(values)
        penalty = np.sqrt(settings.ridge) * np.eye(matrix.shape[1])
        extended = np.concatenate([matrix, penalty]), np.concatenate([right, np.zeros(len(penalty))])
        content = {
            "settings": settings.model_dump(mode="json"),
            "isolated_atom_energies_eV": alone,
            "pairs": pairs,
            "coefficients": np.linalg.lstsq(*extended, rcond=None)[0].tolist(),
        }
        (request.folder / self.potential_file).write_text(json.dumps(content))
        fitted = data.fitted_configurations
        return FitReport(
            TargetCounts(
                len(fitted),
                sum(one.forces.size for one in fitted if one.forces is not None),
                6 * sum(one.stress is not None for one in fitted),
            )
        )

    def load(self, folder: Path, manifest: ModelManifest, evaluator: str) -> PairCalculator:
        return PairCalculator(folder / self.potential_file)

    def methods(self, settings: FrozenSettings) -> str:
        own = self._own(settings)
        return f"Toy pair potentials had {own.bumps} bumps up to {own.cutoff_A:g} Å."

    def export(self, target: str, model: Path, structure: Atoms, folder: Path) -> str:
        content = json.loads((model / self.potential_file).read_text())
        settings = PairSettings.model_validate(content["settings"])
        distances = np.linspace(1.0, settings.cutoff_A, 500)
        values, slopes = basis(distances, settings)
        sections = []
        for pair, c in zip(
            content["pairs"], np.split(np.array(content["coefficients"]), len(content["pairs"])), strict=True
        ):
            table = np.stack([np.arange(1, 501), distances, values @ c, -(slopes @ c)], axis=1)
            lines = "\n".join(f"{row[0]:.0f} {row[1]:.10g} {row[2]:.10g} {row[3]:.10g}" for row in table)
            sections.append(f"{pair}\nN 500\n\n{lines}\n")
        (folder / "pairs.table").write_text("\n".join(sections))
        return "Use `pair_style table linear 500` with `pairs.table`; each section is named after its pair."

    @staticmethod
    def _own(settings: FrozenSettings) -> PairSettings:
        assert isinstance(settings, PairSettings)
        return settings


PAIR_MODEL = PairModel()
