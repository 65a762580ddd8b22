"""Dispersion by DFT-D3 with Becke-Johnson damping, added to what a density-functional code computed.

By the library simple-dftd3 (package dftd3) for every code alike: pairs only, as most codes do by default, parameters of
the functional, cutoffs of the original program. It depends on positions alone, so that it can be added afterwards.
Method: Grimme, Antony, Ehrlich, Krieg, J. Chem. Phys. 2010, 132, 154104 (10.1063/1.3382344); damping: Grimme, Ehrlich,
Goerigk, J. Comput. Chem. 2011, 32, 1456 (10.1002/jcc.21759).
"""

from __future__ import annotations

import importlib.util
from dataclasses import replace

import numpy as np
from ase import Atoms
from ase.stress import full_3x3_to_voigt_6_stress
from ase.units import Bohr, Hartree

from ...core.citations import Citation
from ..engine import EngineFailure
from ..outcome import Evaluation

PACKAGE = "dftd3"
REMEDY = "install it with `pip install dftd3`"
PAIR_CUTOFF_BOHR = 9000.0**0.5
COORDINATION_CUTOFF_BOHR = 40.0
CITATIONS = (
    Citation(
        "DFT-D3", "S. Grimme, J. Antony, S. Ehrlich, H. Krieg, J. Chem. Phys. 2010, 132, 154104", "10.1063/1.3382344"
    ),
    Citation(
        "Becke-Johnson damping",
        "S. Grimme, S. Ehrlich, L. Goerigk, J. Comput. Chem. 2011, 32, 1456",
        "10.1002/jcc.21759",
    ),
    Citation("simple-dftd3", "S. Ehlert, J. Open Source Softw. 2024, 9, 7169", "10.21105/joss.07169"),
)
R2SCAN_CITATION = Citation(
    "r2SCAN-D3",
    "S. Ehlert, U. Huniar, J. Ning, J. W. Furness, J. Sun, A. D. Kaplan, J. P. Perdew, J. G. Brandenburg, "
    "J. Chem. Phys. 2021, 154, 061101",
    "10.1063/5.0041008",
)


def is_installed() -> bool:
    """Say whether the library is there."""
    return importlib.util.find_spec(PACKAGE) is not None


def check_installed() -> None:
    """Refuse to begin what could not be ended.

    Raises
    ------
    EngineFailure
        If the library is not there.
    """
    if not is_installed():
        raise EngineFailure(f"dispersion d3bj needs the package {PACKAGE}; {REMEDY}")


def d3bj(atoms: Atoms, functional: str) -> Evaluation:
    """Return energy (eV), forces (eV/Å) and, of a crystal, stress (eV/Å³) of the dispersion alone.

    Parameters
    ----------
    functional
        Whose parameters are taken: "pbe", "pbesol", "r2scan".

    Raises
    ------
    EngineFailure
        If the library is not there, or has no data for an element.
    """
    check_installed()
    from dftd3.interface import DispersionModel, RationalDampingParam

    periodic = bool(atoms.pbc.any())
    try:
        model = DispersionModel(
            atoms.numbers,
            atoms.positions / Bohr,
            atoms.cell.array / Bohr if periodic else None,
            atoms.pbc if periodic else None,
        )
        model.set_realspace_cutoff(disp2=PAIR_CUTOFF_BOHR, disp3=COORDINATION_CUTOFF_BOHR, cn=COORDINATION_CUTOFF_BOHR)
        found = model.get_dispersion(RationalDampingParam(method=functional, atm=False), grad=True)
    except RuntimeError as error:
        raise EngineFailure(f"simple-dftd3: {error}") from error
    stress = None
    if atoms.pbc.all():
        stress = full_3x3_to_voigt_6_stress(np.asarray(found["virial"]) * Hartree / atoms.get_volume())
    return Evaluation(
        energy=float(found["energy"]) * Hartree, forces=-np.asarray(found["gradient"]) * Hartree / Bohr, stress=stress
    )


def with_dispersion(evaluation: Evaluation, atoms: Atoms, functional: str) -> Evaluation:
    """Return a code's result with the dispersion added to energy, forces and stress."""
    added = d3bj(atoms, functional)
    stress = evaluation.stress
    if stress is not None and added.stress is not None:
        stress = stress + added.stress
    return replace(
        evaluation, energy=evaluation.energy + added.energy, forces=evaluation.forces + added.forces, stress=stress
    )
