"""Settings of the density-functional engines: what they share, k-points by spacing, and the open-source codes.

The defaults are meant for insulating Li-P-S solid electrolytes: PBE, Γ-centred k-points by density, a small
Fermi-Dirac width that helps the self-consistency and moves no energy of an insulator, no spin polarisation unless
the structure carries magnetic moments.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, model_validator

from ...core.settings import FrozenSettings
from ..common_settings import NOT_PHYSICS, SINCE, CommonSettings

if TYPE_CHECKING:
    from ase import Atoms

# Round-off must not add a k-point to a cell whose edge divides exactly.
_ROUND_OFF = 1e-6
# No crystal has a single atom in so large a cell: such an atom is free, and Γ is all that it needs.
_FREE_ATOM_EDGE_A = 7.0

KGridShape = tuple[int, int, int]
ChemicalSymbol = Annotated[str, Field(pattern=r"^[A-Z][a-z]?$")]


class KGrid(FrozenSettings):
    """Γ-centred k-points: by spacing, as an explicit grid, or Γ alone; exactly one of them.

    A spacing belongs to a data set of cells of many sizes: each cell gets the coarsest grid that is at least that
    dense (see `k_grid_shape`). A grid belongs to one cell.
    """

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
        lengths_per_A = [2 * math.pi * math.hypot(*vector) for vector in atoms.cell.complete().reciprocal().array]
        given = k_grid.spacing_per_A
        spacings_per_A = given if isinstance(given, tuple) else (given, given, given)
        ratios = (length / spacing for length, spacing in zip(lengths_per_A, spacings_per_A, strict=True))
        first, second, third = (max(1, math.ceil(ratio - _ROUND_OFF)) for ratio in ratios)
        shape = (first, second, third)
    first, second, third = (n if periodic else 1 for n, periodic in zip(shape, atoms.pbc, strict=True))
    return first, second, third


def is_spin_polarised(atoms: Atoms) -> bool:
    """Say whether the structure carries magnetic moments to start from; only then is the spin treated."""
    return bool(atoms.get_initial_magnetic_moments().any())


def unpaired_electrons(atoms: Atoms) -> int:
    """Return the number of unpaired electrons that the magnetic moments of the structure add up to."""
    return round(abs(float(atoms.get_initial_magnetic_moments().sum())))


class DftSettings(CommonSettings):
    """What the density-functional engines share."""

    functional: Literal["pbe", "pbesol", "r2scan"] = Field("pbe", description="Exchange-correlation functional (name)")
    dispersion: Literal["d3bj"] | None = Field(
        None,
        description="Dispersion added to it: d3bj, DFT-D3 with Becke-Johnson damping by the package dftd3 (name)",
        json_schema_extra={SINCE: "0.2.0"},
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

    def at_gamma(self) -> Self:
        """Return these settings with Γ as the only k-point."""
        return self.model_copy(update={"k_grid": KGrid(gamma=True)})


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

    @property
    def process_environment(self) -> Mapping[str, str]:
        """Environment variables of the process that the engine runs in."""
        return self.environment


class ParallelSettings(ExecutableSettings):
    """Codes that run on a whole node: what they use is counted over all their processes."""

    memory_limit_MB: PositiveFloat = Field(
        64_000.0,
        description="Resident memory of the engine and its processes on this node above which it is killed (MB)",
        json_schema_extra=NOT_PHYSICS,
    )
