"""Whether the model intervals of energy differences hold what they say: paths, defects and strained cells.

    python benchmarks/model_intervals.py labels.xyz crystal.xyz labelled.xyz [--mobile Li] [--sizes 12 25 0]

``labels.xyz`` are GFN1-xTB labels of dynamics at 800 K (REF_energy, REF_forces, and energies of isolated atoms);
``crystal.xyz`` is the crystal. A model of all labels relaxes the crystal and Frenkel pairs in it; paths from the one to
the others, the pairs and strained cells are labelled with GFN1-xTB (``labelled.xyz`` is written, or read where it is
there). No fit sees them. Models of random parts of the labels then predict differences from the crystal.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.io import read, write
from ase.optimize import FIRE

from ionloop.analysis.barriers.bands import continuous_end, interpolated_path
from ionloop.analysis.defects.defect_sites import sample_frenkel_pairs, with_defect
from ionloop.fitting.data_sets import DataSet, read_extxyz
from ionloop.fitting.models import fit_model, load_model, load_posterior
from ionloop.fitting.posterior.calibration import LEVELS
from ionloop.fitting.settings import GapSettings
from ionloop.labelling.registry import ENGINES

PAIRS, IMAGES, STRAINED = 16, 7, 24
LARGEST_STRAIN, STRAIN_STD = 0.05, 0.025
RELAXATION_STEPS, FORCE_TOLERANCE_eV_per_A = 60, 0.03


def relaxed(atoms: Atoms, calculator: object) -> Atoms:
    atoms = atoms.copy()
    atoms.calc = calculator
    FIRE(atoms, logfile=None, maxstep=0.1).run(fmax=FORCE_TOLERANCE_eV_per_A, steps=RELAXATION_STEPS)
    atoms.calc = None
    return atoms


def structures(crystal: Atoms, mobile: str, calculator: object, distances_A: tuple[float, float]) -> list[Atoms]:
    """Return the crystal first, then paths, whose last images are the defects, and strained cells."""
    found = [crystal.copy()]
    found[0].info["family"] = "crystal"
    separation_A, clearance_A = distances_A
    pairs = sample_frenkel_pairs(
        crystal, mobile, PAIRS, seed=3, minimum_separation_A=separation_A, clearance_A=clearance_A
    )
    for number, pair in enumerate(pairs):
        end = continuous_end(crystal, relaxed(with_defect(crystal, pair), calculator))
        path = interpolated_path(crystal, end, IMAGES)
        for place, positions in enumerate(path[1:], start=2):
            image = crystal.copy()
            image.positions = positions
            image.info.update(family="defect" if place == IMAGES else "path", group=number)
            found.append(image)
    random = np.random.default_rng(0)
    strains = [share * np.eye(3) for share in np.linspace(-LARGEST_STRAIN, LARGEST_STRAIN, 11) if abs(share) > 1e-9]
    strains += [0.5 * (one + one.T) for one in random.normal(0, STRAIN_STD, (STRAINED, 3, 3))]
    for strain in strains:
        cell = crystal.copy()
        cell.set_cell(cell.cell.array @ (np.eye(3) + strain), scale_atoms=True)
        cell.info["family"] = "strain"
        found.append(cell)
    return found


def labelled(found: list[Atoms], file: Path) -> list[Atoms]:
    engine = ENGINES.get("gfn1-xtb")
    done = []
    for atoms in found:
        evaluation = engine.evaluate(atoms, engine.smoke_settings(), file.parent)
        atoms.info["REF_energy"] = float(evaluation.energy)
        done.append(atoms)
        write(file, done)
    return done


def tell(kind: str, data: DataSet, settings: GapSettings, test: list[Atoms], folder: Path) -> None:
    fit_model(kind, data, settings, None, folder, seed=1)
    posterior, calculator = load_posterior(folder), load_model(folder)
    vectors = posterior.energy_vectors(test)
    energies = np.array([calculator.get_property("energy", one) - one.info["REF_energy"] for one in test])
    errors, stds = energies[1:] - energies[0], np.linalg.norm(vectors[1:] - vectors[0], axis=1)
    families = np.array([one.info["family"] for one in test[1:]])
    for family in ("path", "defect", "strain", "all"):
        own = slice(None) if family == "all" else families == family
        z = np.abs(errors[own] / stds[own])
        inside = ", ".join(f"{100 * np.mean(z <= posterior.factor(level)):.1f}" for level in LEVELS)
        print(
            f"{kind} of {len(data)}: {family:6s} {len(z):3d} differences, rms error {_rms(errors[own]):.3f} eV, "
            f"predicted {_rms(stds[own]):.3f} eV; inside 50, 90, 95 %: {inside} %",
            flush=True,
        )


def _rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(values))))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("labels", type=Path)
    parser.add_argument("crystal", type=Path)
    parser.add_argument("labelled", type=Path)
    parser.add_argument("--mobile", default="Li")
    parser.add_argument("--separation", type=float, default=3.0, help="of ion and hole in a Frenkel pair (Å), at least")
    parser.add_argument("--clearance", type=float, default=1.5, help="of a hole from every ion (Å), at least")
    parser.add_argument("--sizes", type=int, nargs="+", default=[12, 25, 0], help="frames that are fitted; 0: all")
    parser.add_argument("--settings", type=json.loads, default={}, help="of the GAP, as JSON; else the defaults")
    given = parser.parse_args()
    data, settings = read_extxyz(given.labels), GapSettings.model_validate(given.settings)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if given.labelled.exists():
            test = read(given.labelled, ":")
        else:
            fit_model("gap", data, settings, None, folder / "all", seed=1)
            calculator = load_model(folder / "all")
            crystal = relaxed(read(given.crystal), calculator)
            found = structures(crystal, given.mobile, calculator, (given.separation, given.clearance))
            test = labelled(found, given.labelled)
        random = np.random.default_rng(0)
        for size in given.sizes:
            chosen = sorted(random.permutation(len(data))[: size or len(data)])
            part = DataSet(tuple(data.configurations[place] for place in chosen), data.isolated_atom_energies)
            tell("gap", part, settings, test, folder / f"fit-{size}")


if __name__ == "__main__":
    main()
