"""Glasses of one size and rate as a group, and trends over groups."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, TypeVar

from pydantic import Field

from ...core.settings import FrozenModel
from .quench import GlassAtTemperature
from .spread import Spread, Trend, slope_per_decade, spread_of

KeyT = TypeVar("KeyT")


class MadeGlass(FrozenModel):
    """One glass: how it was made, and what came out; one that broke says why and has no more to say."""

    name: str = Field(description="Size, rate and number (text)")
    size: str = Field(description="Its size as the settings give it (text)")
    atoms: int = Field(description="Its atoms (number)")
    quench_K_per_ps: float = Field(description="Rate at which it was cooled (K/ps)")
    number: int = Field(description="Which one of its size and rate, from 1 (number)")
    seed: int = Field(description="Seed of its packing, velocities and noise (number)")
    cooling_ps: float = Field(description="Time that cooling took (ps)")
    broken: str = Field("", description="Why it broke; nothing where it did not (text)")
    density_g_per_cm3: float | None = Field(None, description="Density at rest (g/cm³)")
    energy_eV_per_atom: float | None = Field(None, description="Potential energy at rest (eV/atom)")
    relaxation_steps: int = Field(0, description="Steps of the relaxation (number)")
    converged: bool = Field(False, description="Whether the relaxation reached its tolerance (yes or no)")
    held: GlassAtTemperature | None = Field(None, description="Means at the temperature of the glass")
    centres_percent: dict[str, float] = Field(
        default_factory=dict, description="Part of the network's centres in each common anion, and in others (%)"
    )
    species_percent: dict[str, float] = Field(
        default_factory=dict, description="Part of the network's centres in each anion, by its full name (%)"
    )
    bridges_percent: dict[int, float] = Field(
        default_factory=dict, description="Part of the centres with 0, 1, 2, ... bridging ligands (%)"
    )
    free_percent: dict[str, float] = Field(
        default_factory=dict, description="Free ligands, or groups of them, for 100 centres, by formula (%)"
    )
    imbalance_e: int | None = Field(
        None, description="Charge that broken anions leave; nothing where a charge is not known (e)"
    )


class GlassGroup(FrozenModel):
    """Glasses of one size and rate."""

    size: str = Field(description="Their size as the settings give it (text)")
    atoms: int = Field(description="Their atoms (number)")
    quench_K_per_ps: float = Field(description="Rate at which they were cooled (K/ps)")
    planned: int = Field(description="Glasses that were to be made (number)")
    broken: int = Field(description="Of these, broken (number)")
    missing: int = Field(description="Of these, whose job failed (number)")
    density_g_per_cm3: Spread | None = Field(None, description="Density at rest (g/cm³)")
    energy_eV_per_atom: Spread | None = Field(None, description="Potential energy at rest (eV/atom)")
    held_density_g_per_cm3: Spread | None = Field(None, description="Density at the glass's temperature (g/cm³)")
    centres_percent: dict[str, Spread] = Field(
        default_factory=dict, description="Part of the network's centres in each common anion, and in others (%)"
    )
    bridges_percent: dict[int, Spread] = Field(
        default_factory=dict, description="Part of the centres with 0, 1, 2, ... bridging ligands (%)"
    )
    free_percent: dict[str, Spread] = Field(
        default_factory=dict, description="Free ligands, or groups of them, for 100 centres, by formula (%)"
    )


QUANTITIES: Final[dict[str, Callable[[MadeGlass], float | None]]] = {
    "density_g_per_cm3": lambda glass: glass.density_g_per_cm3,
    "energy_eV_per_atom": lambda glass: glass.energy_eV_per_atom,
}
"""What trends are told of, beside the anions."""


def sound(glasses: Iterable[MadeGlass]) -> list[MadeGlass]:
    """Return the glasses that did not break."""
    return [glass for glass in glasses if not glass.broken]


def grouped(glasses: Sequence[MadeGlass], planned: int) -> list[GlassGroup]:
    """Return the groups of a plan in which every size and rate has so many glasses.

    An anion that a glass has none of counts as 0 % there.
    """
    keys = dict.fromkeys((glass.size, glass.quench_K_per_ps) for glass in glasses)
    found = []
    for size, rate in sorted(keys, key=lambda key: (_atoms(glasses, key[0]), key[1])):
        all_of = [glass for glass in glasses if (glass.size, glass.quench_K_per_ps) == (size, rate)]
        whole = sound(all_of)
        found.append(
            GlassGroup(
                size=size,
                atoms=all_of[0].atoms,
                quench_K_per_ps=rate,
                planned=planned,
                broken=len(all_of) - len(whole),
                missing=planned - len(all_of),
                density_g_per_cm3=_spread(glass.density_g_per_cm3 for glass in whole),
                energy_eV_per_atom=_spread(glass.energy_eV_per_atom for glass in whole),
                held_density_g_per_cm3=_spread(
                    None if glass.held is None else glass.held.density_g_per_cm3 for glass in whole
                ),
                centres_percent=_parts([glass.centres_percent for glass in whole]),
                bridges_percent=_parts([glass.bridges_percent for glass in whole]),
                free_percent=_parts([glass.free_percent for glass in whole]),
            )
        )
    return found


def trends(glasses: Sequence[MadeGlass]) -> list[Trend]:
    """Return how density, energy and anions change with the rate at each size, and with the size at each rate."""
    whole = sound(glasses)
    names = sorted({name for glass in whole for name in glass.centres_percent})
    quantities: dict[str, Callable[[MadeGlass], float | None]] = dict(QUANTITIES)
    for name in names:
        quantities[f"{name} (% of centres)"] = lambda glass, name=name: glass.centres_percent.get(name, 0.0)  # type: ignore[misc]
    found: list[Trend] = []
    for size in dict.fromkeys(glass.size for glass in whole):
        same = [glass for glass in whole if glass.size == size]
        found += _lines(same, quantities, "rate", size, lambda glass: glass.quench_K_per_ps)
    for rate in dict.fromkeys(glass.quench_K_per_ps for glass in whole):
        same = [glass for glass in whole if glass.quench_K_per_ps == rate]
        found += _lines(same, quantities, "size", f"{rate:g} K/ps", lambda glass: float(glass.atoms))
    return found


def _lines(
    glasses: Sequence[MadeGlass],
    quantities: dict[str, Callable[[MadeGlass], float | None]],
    against: str,
    at: str,
    x: Callable[[MadeGlass], float],
) -> Iterable[Trend]:
    for quantity, read in quantities.items():
        points = [(x(glass), value) for glass in glasses if (value := read(glass)) is not None]
        line = slope_per_decade([one for one, _ in points], [value for _, value in points])
        if line is not None:
            slope, low, high = line
            yield Trend(
                quantity=quantity,
                against=against,
                at=at,
                glasses=len(points),
                slope_per_decade=slope,
                low=low,
                high=high,
            )


def _parts(of_glasses: Sequence[Mapping[KeyT, float]]) -> dict[KeyT, Spread]:
    """Return the spread of every part that one of the glasses has."""
    names = sorted({name for parts in of_glasses for name in parts})  # type: ignore[type-var]
    return {name: spread_of([parts.get(name, 0.0) for parts in of_glasses]) for name in names}


def _spread(values: Iterable[float | None]) -> Spread | None:
    known = [value for value in values if value is not None]
    return spread_of(known) if known else None


def _atoms(glasses: Sequence[MadeGlass], size: str) -> int:
    return next(glass.atoms for glass in glasses if glass.size == size)
