"""Settings of the density-functional engines: what they share, k-points by spacing, and the open-source codes.

The defaults are meant for insulating Li-P-S solid electrolytes: PBE, Γ-centred k-points by density, a small
Fermi-Dirac width that helps the self-consistency and moves no energy of an insulator, no spin polarisation unless
the structure carries magnetic moments.
"""

from __future__ import annotations

import math
from typing import Annotated, ClassVar, Literal, Self

import numpy as np
from ase import Atoms
from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, PositiveFloat, PositiveInt, model_validator

from ..common_settings import NOT_PHYSICS, CommonSettings

# Round-off must not add a k-point to a cell whose edge divides exactly.
_ROUND_OFF = 1e-6
# No crystal has a single atom in so large a cell: such an atom is free, and Γ is all that it needs.
_FREE_ATOM_EDGE_A = 7.0

KGridShape = tuple[int, int, int]
ChemicalSymbol = Annotated[str, Field(pattern=r"^[A-Z][a-z]?$")]


class KGrid(BaseModel):
    """Γ-centred k-points: by spacing, as an explicit grid, or Γ alone; exactly one of them.

    A spacing belongs to a data set of cells of many sizes: each cell gets the coarsest grid that is at least that
    dense (see :func:`k_grid_shape`). A grid belongs to one cell.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    spacing_per_A: PositiveFloat | tuple[PositiveFloat, PositiveFloat, PositiveFloat] | None = Field(
        None,
        description="Largest distance of neighbouring k-points, 2π included: one for all reciprocal vectors, or one "
        "for each (1/Å)",
    )
    grid: tuple[PositiveInt, PositiveInt, PositiveInt] | None = Field(
        None, description="Numbers of k-points along the reciprocal vectors, for every cell alike (count)"
    )
    gamma: bool = Field(False, description="Γ alone, for every cell (yes or no)")

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        given = [name for name in ("spacing_per_A", "grid", "gamma") if getattr(self, name)]
        if len(given) != 1:
            raise ValueError(
                f"give exactly one of spacing_per_A, grid and gamma: true; got {' and '.join(given) or 'none'}"
            )
        return self


DEFAULT_K_GRID = KGrid(spacing_per_A=0.5)
"""At least as dense as 2x2x2 for the 42-atom cell of Li7P3S11 (it gives 3x2x2 there, 2x2x2 for 84 atoms)."""


def k_grid_shape(atoms: Atoms, k_grid: KGrid) -> KGridShape:
    """Return the numbers of k-points along the three reciprocal vectors of ``atoms``.

    By spacings s_i they are ceil(2π |b_i| / s_i), and 1 along directions that are not periodic. As
    ceil(ceil(x) / m) = ceil(x / m), an m-fold supercell samples the very same points where m divides the grid of
    the small cell, and more finely elsewhere, so energies per atom agree to the convergence of the grid. A free atom
    in its box has Γ alone.
    """
    if len(atoms) == 1 and min(atoms.cell.lengths()) >= _FREE_ATOM_EDGE_A:
        shape = (1, 1, 1)
    elif k_grid.grid is not None:
        shape = k_grid.grid
    elif k_grid.spacing_per_A is None:
        shape = (1, 1, 1)
    else:
        lengths_per_A = 2 * math.pi * np.linalg.norm(atoms.cell.complete().reciprocal().array, axis=1)
        ratios = lengths_per_A / np.asarray(k_grid.spacing_per_A)
        first, second, third = (max(1, math.ceil(ratio - _ROUND_OFF)) for ratio in ratios)
        shape = (first, second, third)
    first, second, third = (n if periodic else 1 for n, periodic in zip(shape, atoms.pbc, strict=True))
    return first, second, third


def at_gamma(settings: CommonSettings) -> CommonSettings:
    """Return an engine's settings with Γ as the only k-point, unchanged where the engine knows no k-points."""
    if not isinstance(settings, DftSettings):
        return settings
    return settings.model_copy(update={"k_grid": KGrid(gamma=True)})


def is_spin_polarised(atoms: Atoms) -> bool:
    """Say whether the structure carries magnetic moments to start from; only then is the spin treated."""
    return bool(np.any(atoms.get_initial_magnetic_moments()))


def unpaired_electrons(atoms: Atoms) -> int:
    """Return the number of unpaired electrons that the magnetic moments of the structure add up to."""
    return round(abs(float(atoms.get_initial_magnetic_moments().sum())))


class DftSettings(CommonSettings):
    """What the density-functional engines share."""

    # A pattern and not a Literal of one value: that is how the campaign file knows what tells engines apart.
    functional: str = Field(
        "pbe", pattern="^pbe$", description="Exchange-correlation functional, so far pbe alone (name)"
    )
    k_grid: KGrid = Field(
        DEFAULT_K_GRID, description="Γ-centred k-points: spacing_per_A, grid, or gamma: true (no unit)"
    )
    smearing_eV: NonNegativeFloat = Field(
        0.05, description="Width of the Fermi-Dirac occupation, k_B times the electronic temperature (eV)"
    )
    max_iterations: PositiveInt = Field(
        80,
        description="Self-consistency cycles after which an attempt is unconverged (count)",
        json_schema_extra=NOT_PHYSICS,
    )
    isolated_atom_box_A: PositiveFloat = Field(
        12.0, description="Edge of the periodic cubic cell around an isolated atom (Å)"
    )


class ExecutableSettings(DftSettings):
    """What engines share that are programs of their own."""

    COMMAND_VARIABLE: ClassVar[str] = ""
    DEFAULT_COMMAND: ClassVar[str] = ""

    command: str | None = Field(
        None,
        min_length=1,
        description="Command line of the code with its parallel launcher, without a shell, for example "
        "'mpiexec -n 8 pw.x'; if missing, that of the environment variable IONLOOP_<ENGINE>_COMMAND, which a "
        "cluster profile can set, or else the code's usual name (command)",
        json_schema_extra=NOT_PHYSICS,
    )
    environment: dict[str, str] = Field(
        default_factory=dict,
        description="Environment variables of the engine's process (text)",
        json_schema_extra=NOT_PHYSICS,
    )


class GpawSettings(DftSettings):
    """GPAW with plane waves: Mortensen et al., J. Chem. Phys. 2024, 160, 092503 (10.1063/5.0182685)."""

    engine: Literal["gpaw"] = Field("gpaw", description="Name of the engine (name)")
    cutoff_eV: PositiveFloat = Field(400.0, description="Kinetic-energy cutoff of the plane waves (eV)")
    mixer_weight: PositiveFloat = Field(
        0.05,
        le=1.0,
        description="Part of the new density in each step of the mixing (no unit)",
        json_schema_extra=NOT_PHYSICS,
    )
    mixer_history: PositiveInt = Field(
        5, description="Earlier densities that the mixing looks at (count)", json_schema_extra=NOT_PHYSICS
    )
    eigensolver: Literal["davidson", "rmm-diis"] = Field(
        "davidson", description="How the orbitals are improved in each cycle (name)", json_schema_extra=NOT_PHYSICS
    )
    eigensolver_steps: PositiveInt = Field(
        2, description="Improvements of the orbitals in each cycle (count)", json_schema_extra=NOT_PHYSICS
    )
    density_convergence_e: PositiveFloat = Field(
        1e-5, description="Change of the density per valence electron at which the cycles end (e)"
    )


class Cp2kSettings(ExecutableSettings):
    """CP2K's Quickstep: Kühne et al., J. Chem. Phys. 2020, 152, 194103 (10.1063/5.0007045).

    With more than Γ it needs diagonalisation, which is what runs here in any case.
    """

    COMMAND_VARIABLE: ClassVar[str] = "IONLOOP_CP2K_COMMAND"
    DEFAULT_COMMAND: ClassVar[str] = "cp2k.psmp"

    engine: Literal["cp2k"] = Field("cp2k", description="Name of the engine (name)")
    basis_set: str = Field("DZVP-MOLOPT-SR-GTH", min_length=1, description="Basis set of every element (name)")
    basis_set_file: str = Field("BASIS_MOLOPT", min_length=1, description="File of the basis sets (name)")
    potential: str = Field("GTH-PBE", min_length=1, description="Pseudopotential of every element (name)")
    potential_file: str = Field("GTH_POTENTIALS", min_length=1, description="File of the pseudopotentials (name)")
    data_folder: str | None = Field(
        None,
        description="Folder of CP2K's data files; if missing, CP2K_DATA_DIR or CP2K's own (path)",
        json_schema_extra=NOT_PHYSICS,
    )
    cutoff_Ry: PositiveFloat = Field(400.0, description="Cutoff of the finest real-space grid (Ry)")
    relative_cutoff_Ry: PositiveFloat = Field(50.0, description="Cutoff that a Gaussian maps to a grid by (Ry)")
    energy_convergence_Ha: PositiveFloat = Field(
        1e-6, description="EPS_SCF: largest change of the density matrix at the end (Ha)"
    )
    added_orbitals: PositiveInt = Field(
        30, description="Empty orbitals for the smearing; fewer where the basis has fewer (count)"
    )
    mixing_fraction: PositiveFloat = Field(
        0.1, le=1.0, description="ALPHA of the density mixing (no unit)", json_schema_extra=NOT_PHYSICS
    )
    mixing_method: Literal["BROYDEN_MIXING", "PULAY_MIXING", "DIRECT_P_MIXING"] = Field(
        "BROYDEN_MIXING", description="How densities are mixed (name)", json_schema_extra=NOT_PHYSICS
    )
    mixing_history: PositiveInt = Field(
        12, description="Earlier densities that the mixing looks at (count)", json_schema_extra=NOT_PHYSICS
    )


class EspressoSettings(ExecutableSettings):
    """Quantum ESPRESSO's pw.x: Giannozzi et al., J. Chem. Phys. 2020, 152, 154105 (10.1063/5.0005082)."""

    COMMAND_VARIABLE: ClassVar[str] = "IONLOOP_ESPRESSO_COMMAND"
    DEFAULT_COMMAND: ClassVar[str] = "pw.x"

    engine: Literal["espresso"] = Field("espresso", description="Name of the engine (name)")
    pseudopotentials: dict[ChemicalSymbol, str] = Field(
        min_length=1,
        description="File of each element's pseudopotential, for example {Si: Si.pbe-rrkj.UPF} (name)",
    )
    pseudopotential_folder: str | None = Field(
        None,
        description="Folder of the pseudopotentials; if missing, ESPRESSO_PSEUDO or /usr/share/espresso/pseudo (path)",
        json_schema_extra=NOT_PHYSICS,
    )
    cutoff_Ry: PositiveFloat = Field(50.0, description="Kinetic-energy cutoff of the wave functions (Ry)")
    density_cutoff_Ry: PositiveFloat = Field(
        400.0, description="Cutoff of the density: 4 times cutoff_Ry for norm-conserving, 8 to 12 times for others (Ry)"
    )
    energy_convergence_Ry: PositiveFloat = Field(
        1e-8, description="Estimated error of the energy of the cell at the end (Ry)"
    )
    mixing_fraction: PositiveFloat = Field(
        0.4, le=1.0, description="Part of the new density in each step (no unit)", json_schema_extra=NOT_PHYSICS
    )
    mixing_mode: Literal["plain", "TF", "local-TF"] = Field(
        "plain", description="How densities are mixed (name)", json_schema_extra=NOT_PHYSICS
    )
    mixing_history: PositiveInt = Field(
        8, description="Earlier densities that the mixing looks at (count)", json_schema_extra=NOT_PHYSICS
    )
    diagonalization: Literal["david", "cg"] = Field(
        "david", description="How the orbitals are improved in each cycle (name)", json_schema_extra=NOT_PHYSICS
    )

    @model_validator(mode="after")
    def _density_needs_more_waves(self) -> Self:
        if self.density_cutoff_Ry < 4 * self.cutoff_Ry:
            raise ValueError(
                f"density_cutoff_Ry {self.density_cutoff_Ry:g} is below 4 times cutoff_Ry {self.cutoff_Ry:g}; the "
                "density is made of products of two waves and needs at least four times their cutoff"
            )
        return self
