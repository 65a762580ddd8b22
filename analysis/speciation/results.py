"""What is found of the species of a network."""

from __future__ import annotations

from pydantic import Field

from ...core.settings import FrozenModel


class Share(FrozenModel):
    """How much there is of a species, a family of species, or a kind of centre."""

    name: str = Field(description="Its name (text)")
    percent: float = Field(description="Mean of all frames (%)")
    half_width: float | None = Field(None, description="Half of the 95 % interval; nothing where there is none (%)")
    charge_e: int | None = Field(None, description="Charge of one, by the usual valences (e)")


class SpeciationResult(FrozenModel):
    """The species of a network, over all frames together."""

    network: str = Field(description="Centres and ligands (text)")
    frames: int = Field(description="Frames that were looked at (number)")
    centres: float = Field(description="Mean number of centres of a frame (number)")
    species: tuple[Share, ...] = Field(description="Part of the centres in each species, the largest first (%)")
    families: tuple[Share, ...] = Field(description="The same by common anions, chains, networks and others (%)")
    bridges: tuple[Share, ...] = Field(description="Part of the centres with 0, 1, 2, ... bridging ligands (%)")
    free_ligands: tuple[Share, ...] = Field(
        description="Ligands, or groups of them, without a centre, for 100 centres, by formula (%)"
    )
    interval_reason: str = Field("", description="Why species have no intervals; nothing where they have (text)")
    imbalance_e: float | None = Field(
        description="Mean charge that is left over; nothing where charges are not known (e)"
    )
    balanced_percent: float | None = Field(description="Part of the frames in which none is left over (%)")
    largest_imbalance_e: int | None = Field(description="The largest charge that is left over in a frame (e)")
    length_ps: float | None = Field(None, description="Length of all trajectories; nothing without times (ps)")
    made: int | None = Field(None, description="Bonds that were made; nothing without times (number)")
    broken: int | None = Field(None, description="Bonds that were broken; nothing without times (number)")
    changes_per_centre_per_ns: float | None = Field(None, description="Both, by centre and time (1/ns)")
    changes_low_per_ns: float | None = Field(None, description="Lower end of its 95 % interval (1/ns)")
    changes_high_per_ns: float | None = Field(None, description="Upper end of its 95 % interval (1/ns)")
    warnings: tuple[str, ...] = Field((), description="What to know about the numbers (text)")
