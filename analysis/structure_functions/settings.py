"""Which structure functions are taken, of which frames, and what bonds, angles and networks are."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable
from typing import Annotated, Final, Literal, Self

from pydantic import Field, field_validator, model_validator

from ...core.settings import FrozenSettings
from ..trajectories.settings import ReadRunsSettings
from .quantities import RADIATIONS, Quantity, Radiation, Unit

_ELEMENT: Final = "[A-Z][a-z]?"
PAIR_PATTERN: Final = f"^{_ELEMENT}-{_ELEMENT}$"
TRIPLET_PATTERN: Final = f"^{_ELEMENT}-{_ELEMENT}-{_ELEMENT}$"
PairName = Annotated[str, Field(pattern=PAIR_PATTERN)]
TripletName = Annotated[str, Field(pattern=TRIPLET_PATTERN)]
MOST_BINS: Final = 20_000


def pair_key(first: str, second: str) -> str:
    """Return the name of a pair in either order."""
    return "-".join(sorted((first, second)))


class MeasuredSettings(FrozenSettings):
    """A measured curve that a computed one is compared with."""

    file: str | None = Field(
        None,
        min_length=1,
        description="File of two columns, or three with errors; read once, relative to the campaign file (path)",
        json_schema_extra={"allowed": "the path of a file"},
    )
    points: tuple[tuple[float, ...], ...] | None = Field(
        None,
        description="Its points instead of a file, each x and value, or with an error: what the store keeps (1/Å or Å)",
        json_schema_extra={"allowed": "a list of lists of two or three numbers"},
    )
    name: str = Field("", max_length=200, description="What it is called; nothing: as its file (name)")
    radiation: Radiation = Field("neutrons", description="What it was measured with (name)")
    quantity: Quantity = Field(Quantity.S, description="What it is: a function of q, or of r (G, D, T) (name)")
    unit: Unit | None = Field(None, description="Unit of the file's first column; nothing: 1/A, or A (name)")
    column: int | None = Field(None, ge=2, description="Column with the quantity; nothing: the second (number)")
    error_column: int | None = Field(None, ge=2, description="Column with standard deviations; nothing: none (number)")
    scale: float | Literal["fit"] = Field(
        1.0, description="What the computed curve is multiplied by; fit: by least squares (no unit)"
    )
    offset: float | Literal["fit"] = Field(
        0.0, description="What is added to it; fit: by least squares (unit of the quantity)"
    )
    window: tuple[float, float] | None = Field(
        None, description="Range that is compared; nothing: all that both have (1/Å or Å)"
    )

    @model_validator(mode="after")
    def _is_one_curve(self) -> Self:
        if (self.file is None) == (self.points is None):
            raise ValueError("give the file of a measured curve, or its points")
        widths = {len(point) for point in self.points or ()}
        if self.points is not None and widths not in ({2}, {3}):
            raise ValueError("points must be lists of two numbers, or all of three")
        if self.window is not None and self.window[0] >= self.window[1]:
            raise ValueError("window must go from a smaller number to a larger one")
        return self


class StructureSettings(FrozenSettings):
    """Pair functions, structure factors, angles and the bonded network, of frames or of trajectories."""

    most_frames: int = Field(
        200,
        ge=1,
        le=100_000,
        description="Frames that are looked at, evenly spaced; those between are left out (number)",
    )
    r_max_A: float | None = Field(
        None,
        gt=0.5,
        le=100,
        description="Largest distance of g(r); nothing: half of the shortest distance of opposite faces, 8 to 15 Å (Å)",
    )
    r_step_A: float = Field(0.02, ge=0.001, le=0.5, description="Width of a bin of g(r) (Å)")
    q_max_per_A: float = Field(20.0, gt=0.5, le=100, description="Largest wave vector of S(q) (1/Å)")
    q_step_per_A: float = Field(0.05, ge=0.001, le=1, description="Distance of wave vectors, and width of shells (1/Å)")
    direct_q_max_per_A: float = Field(
        3.0,
        ge=0,
        le=30,
        description="Up to here S(q) is the sum over exp(iq·r) at every reciprocal vector of the cell, beyond it the "
        "Fourier transform of g(r); 0: the transform alone (1/Å)",
    )
    radiation: tuple[Radiation, ...] = Field(
        ("neutrons",),
        description="What total structure factors are seen with (names)",
        json_schema_extra={"allowed": f"a list, each {' | '.join(RADIATIONS)}"},
    )
    isotopes: dict[str, int] = Field(
        default_factory=dict,
        description="Mass numbers of enriched elements, such as Li: 7; others are natural (number)",
        json_schema_extra={"allowed": "a mapping from element to mass number"},
    )
    lengths_fm: dict[str, float] = Field(
        default_factory=dict,
        description="Neutron scattering lengths that are taken instead of tabulated ones, by element (fm)",
    )
    cutoffs_A: dict[PairName, Annotated[float, Field(gt=0.3, le=20)]] = Field(
        default_factory=dict,
        description="Distances up to which two atoms are neighbours, by pair such as P-S; of others the first minimum "
        "of g(r) (Å)",
    )
    angles: tuple[TripletName, ...] = Field(
        (),
        description="Bond angles with the centre between, such as S-P-S; nothing: those of each element between "
        "neighbours of another one (names)",
    )
    angle_step_degrees: float = Field(2.0, ge=0.1, le=30, description="Width of a bin of angles (degrees)")
    network: tuple[PairName, ...] = Field(
        (),
        description="Bonds of the network, centre first, such as P-S and P-P; nothing: between elements that are as "
        "near as covalent radii say, alkali metals and the mobile ions left out (names)",
    )
    network_frames: int = Field(
        20, ge=1, le=10_000, description="Frames whose angles, rings and chains are looked at (number)"
    )
    largest_ring: int = Field(24, ge=3, le=60, description="Atoms of the largest ring that is looked for (number)")
    broadening_q_max_per_A: float | None = Field(
        None,
        gt=1,
        le=100,
        description="Where the experiment's S(q) ends, whose transform T(r) is; nothing: q_max_per_A (1/Å)",
    )

    measured: tuple[MeasuredSettings, ...] = Field(
        (), description="Measured curves that computed ones are compared with (list)"
    )

    @field_validator("cutoffs_A")
    @classmethod
    def _pairs_in_one_order(cls, given: dict[str, float]) -> dict[str, float]:
        found: dict[str, float] = {}
        for name, value in given.items():
            key = pair_key(*name.split("-"))
            if found.setdefault(key, value) != value:
                raise ValueError(f"cutoffs_A gives {key} twice, {found[key]:g} and {value:g} Å")
        return found

    @field_validator("isotopes", "lengths_fm")
    @classmethod
    def _are_elements(cls, given: dict[str, float]) -> dict[str, float]:
        for symbol in given:
            if not re.fullmatch(_ELEMENT, symbol):
                raise ValueError(f"{symbol!r} is no element")
        return given

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        for name, values in (("radiation", self.radiation), ("angles", self.angles), ("network", self.network)):
            if len(set(values)) < len(values):
                raise ValueError(f"{name} names one twice: {', '.join(values)}")
        for one in self.measured:
            if one.radiation not in self.radiation:
                raise ValueError(f"measured has a curve of {one.radiation}, which radiation does not name")
        if not self.radiation:
            raise ValueError("radiation must name one or more")
        if self.q_max_per_A < self.q_step_per_A:
            raise ValueError("q_max_per_A must not be below q_step_per_A")
        if (self.r_max_A or 0) / self.r_step_A > MOST_BINS or self.q_max_per_A / self.q_step_per_A > MOST_BINS:
            raise ValueError(f"there would be more than {MOST_BINS:,} bins: make steps wider")
        return self

    @property
    def transform_q_max_per_A(self) -> float:
        """Where the S(q) ends whose transform T(r) is (1/Å)."""
        return self.broadening_q_max_per_A or self.q_max_per_A

    def missing_elements(self, present: Iterable[str]) -> dict[str, list[str]]:
        """Return the elements that settings name but a sample does not have, by key."""
        known = set(present)
        named: dict[str, Iterable[str]] = {
            "isotopes": self.isotopes,
            "lengths_fm": self.lengths_fm,
            **{
                key: itertools.chain.from_iterable(name.split("-") for name in names)
                for key, names in (("cutoffs_A", self.cutoffs_A), ("angles", self.angles), ("network", self.network))
            },
        }
        found = {key: sorted({*names} - known) for key, names in named.items()}
        return {key: names for key, names in found.items() if names}


class StructureFunctionsSettings(StructureSettings, ReadRunsSettings):
    """Structure functions of a campaign's trajectories."""
