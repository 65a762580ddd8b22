"""Random packings of the system's own atoms, each relaxed briefly."""

from __future__ import annotations

from typing import Any, ClassVar, Final, Literal

import numpy as np
from ase import Atoms
from pydantic import (
    Field,
    PositiveFloat,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
)

from ...core.citations import Citation
from ...core.errors import InputError
from ..guard import ContactGuard
from ..relaxation_settings import RelaxationSettings
from ..structures.packing import Composition, density_of_g_per_cm3, pack
from ..structures.packing_settings import (
    DENSEST_G_PER_CM3,
    POLYANIONS,
    UNBONDED,
    Edge,
    PolyanionUnits,
    known_polyanions,
    without_no_polyanions,
)
from .base import Count, SamplerRequest
from .relaxed import RelaxedSettings, RelaxingSampler
from .trajectories import number_of

HARMONIC_SPHERES = Citation(
    "Random packing",
    "C. S. O'Hern, L. E. Silbert, A. J. Liu, S. R. Nagel, Phys. Rev. E 2003, 68, 011306",
    "10.1103/PhysRevE.68.011306",
)
_FEWEST: Final = 2
_SEEDS: Final = 2**31


class PackingRelaxationSettings(RelaxationSettings):
    """A brief relaxation at fixed cell; a packing is random before it is rattled."""

    rattle_A: float = Field(
        default=0.0, ge=0, description="Standard deviation of the Gaussian displacement along each axis (Å)"
    )


class RandomPackingSettings(RelaxedSettings):
    """How many boxes of the system's atoms, or polyanions, at random places, how dense and how close."""

    kind: Literal["random-packing"] = Field("random-packing", description="The system's atoms at random places (name)")
    count: Count = Field(20, description="Configurations, each packed from a seed of its own (number)")
    density_g_per_cm3: float | None = Field(
        None, gt=0, le=DENSEST_G_PER_CM3, description="Density of the boxes; nothing: that of the system (g/cm³)"
    )
    density_spread: float = Field(
        0.0,
        ge=0,
        le=0.5,
        description="Each box's density is drawn evenly up to this part below and above, e.g. 0.1 (no unit)",
    )
    edges: tuple[Edge, Edge, Edge] = Field(
        (1.0, 1.0, 1.0), description="Proportions of the edges of the boxes, which are rectangular (no unit)"
    )
    covalent_fraction: float = Field(
        0.85,
        gt=0,
        le=1.5,
        description="Shortest distance of two atoms as a fraction of the sum of their covalent radii (no unit)",
    )
    distances_from: Literal["radii", "structure"] = Field(
        "radii",
        description="structure: the shortest distances by pair in the system's structure go before radii (name)",
    )
    minimum_distances_A: dict[str, PositiveFloat] = Field(
        default_factory=dict, description="Shortest distance by pair of elements, e.g. {Li-S: 2.2}; goes before all (Å)"
    )
    polyanions: dict[str, PolyanionUnits] = POLYANIONS
    unbonded_fraction: float = UNBONDED
    relaxation: PackingRelaxationSettings = Field(
        default_factory=PackingRelaxationSettings,
        description="Brief relaxation with the potential in the box as it is; steps: 0: none",
    )

    @field_validator("minimum_distances_A")
    @classmethod
    def _pairs_are_elements(cls, value: dict[str, float]) -> dict[str, float]:
        ContactGuard(minimum_distances_A=value)
        return value

    @field_validator("polyanions")
    @classmethod
    def _polyanions_are_known(cls, value: dict[str, int]) -> dict[str, int]:
        return known_polyanions(value)

    @model_serializer(mode="wrap")
    def _polyanions_only_where_there_are_some(self, serialise: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # What rests on these values stays what it was before there were polyanions.
        return without_no_polyanions(serialise(self))


class RandomPacking(RelaxingSampler[RandomPackingSettings]):
    """Every run packs one box, and relaxes it."""

    name = "random-packing"
    rank = 75.0
    settings_type = RandomPackingSettings
    description = "Boxes of the system's atoms at random places, none too close, relaxed briefly"
    citations: ClassVar[tuple[Citation, ...]] = (HARMONIC_SPHERES,)

    def objection(self, settings: RandomPackingSettings, atoms: Atoms) -> str:
        """Pack the densest box that may be drawn."""
        try:
            packed_like(atoms, settings, factor=1 + settings.density_spread, seed=0)
        except InputError as error:
            return str(error)
        return ""

    def draw(self, request: SamplerRequest[RandomPackingSettings]) -> list[Atoms]:
        """Pack a box with a stream of its own, and relax it."""
        settings = request.settings
        random = np.random.default_rng(np.random.SeedSequence(request.seed, spawn_key=(request.index,)))
        spread = random.uniform(-settings.density_spread, settings.density_spread)
        packed = packed_like(request.atoms, settings, factor=1 + spread, seed=int(random.integers(_SEEDS)))
        return [self.relaxed(request, packed)]

    def methods(self, settings: RandomPackingSettings) -> str:
        """Return how many, how dense, how close, relaxed how far."""
        density = settings.density_g_per_cm3
        text = f"{number_of(settings.count, 'random packing')} of the system's atoms at " + (
            "its density" if density is None else f"{density:g} g/cm³"
        )
        if settings.density_spread:
            text += f" ± {100 * settings.density_spread:g} %"
        if settings.polyanions:
            text += f", with whole {' and '.join(settings.polyanions)}"
        if settings.relaxation.steps:
            text += f", relaxed for at most {settings.relaxation.steps} steps"
        return text + (" and rattled" if settings.relaxation.rattle_A else "")


def packed_like(atoms: Atoms, settings: RandomPackingSettings, *, factor: float, seed: int) -> Atoms:
    """Return the atoms of a structure, in their order, at random places of a box.

    Parameters
    ----------
    factor
        Density of the box over the one that the settings ask for.

    Raises
    ------
    InputError
        If the structure has no density or one atom, or the atoms do not go into the box.
    """
    if len(atoms) < _FEWEST:
        raise InputError("a packing needs two atoms, and the structure has one: take a supercell")
    density_g_per_cm3 = factor * (settings.density_g_per_cm3 or density_of_g_per_cm3(atoms))
    if density_g_per_cm3 > DENSEST_G_PER_CM3:
        raise InputError(f"{density_g_per_cm3:.3g} g/cm³ are too dense; at most {DENSEST_G_PER_CM3:g} g/cm³ are packed")
    composition = Composition(
        composition={atoms.get_chemical_formula(): 1},
        atoms=len(atoms),
        density_g_per_cm3=density_g_per_cm3,
        edges=settings.edges,
        covalent_fraction=settings.covalent_fraction,
        minimum_distances_A=settings.minimum_distances_A,
        polyanions=settings.polyanions,
        unbonded_fraction=settings.unbonded_fraction,
        seed=seed,
    )
    packed = pack(composition, [atoms] if settings.distances_from == "structure" else ())
    positions = np.empty_like(packed.positions)
    for number in np.unique(packed.numbers):
        positions[atoms.numbers == number] = packed.positions[packed.numbers == number]
    return Atoms(atoms.numbers, positions=positions, cell=packed.cell, pbc=True)


RANDOM_PACKING = RandomPacking()
