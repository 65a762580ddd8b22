"""What is asked of packings by more than one kind of settings."""

from __future__ import annotations

from typing import Annotated, Any, Final

from pydantic import Field

DENSEST_G_PER_CM3: Final = 30.0
"""Nothing is denser at pressures that matter here."""

Edge = Annotated[float, Field(gt=0, le=100)]
PolyanionUnits = Annotated[int, Field(ge=1, le=10_000)]
POLYANIONS: Any = Field(
    default_factory=dict,
    description="Polyanions that are packed whole, and in which proportion, e.g. {PS4: 1, P2S7: 1}: as many as the "
    "atoms allow; nothing: single atoms (number)",
)
UNBONDED: Any = Field(
    1.3,
    gt=0,
    le=2,
    description="Shortest distance of atoms of two polyanions, or of one and another atom of its elements, as a "
    "fraction of the sum of their covalent radii: no bonds between them (no unit)",
)


def known_polyanions(value: dict[str, int]) -> dict[str, int]:
    """Return polyanions that are asked for, for validators of settings.

    Raises
    ------
    ValueError
        If one cannot be packed.
    """
    # Who only reads settings waits for no physics.
    from .polyanions import polyanion

    for formula in value:
        polyanion(formula)
    return value


def without_no_polyanions(values: dict[str, Any]) -> dict[str, Any]:
    """Return serialised settings without what says nothing where no polyanions are asked for."""
    unused = () if values.get("polyanions") else ("polyanions", "unbonded_fraction")
    return {name: value for name, value in values.items() if name not in unused}
