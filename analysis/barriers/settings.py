"""What a campaign's paths and barriers ask for: which hops, how their ends and bands are optimised."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from ...core.settings import FrozenSettings
from ..fixed_cell_relaxation_settings import FixedCellRelaxation
from ..hops.settings import HopSettings

LOWEST_BARRIER_EV = 1e-3
"""Below it the end is no minimum, or the path a slope: there is no barrier that could be known."""
Repeats = Annotated[int, Field(ge=1, le=20)]


class BandSettings(FrozenSettings):
    """A nudged elastic band and how it is optimised."""

    images: int = Field(9, ge=3, le=99, description="Images, both ends included (count); 7 to 9 are usual")
    spring_eV_per_A2: float = Field(0.1, gt=0, le=100, description="Constant of the springs between images (eV/Å²)")
    band_force_eV_per_A: float = Field(0.1, gt=0, le=10, description="Force below which the climbing starts (eV/Å)")
    climbing_force_eV_per_A: float = Field(0.05, gt=0, le=10, description="Force at which the band is done (eV/Å)")
    band_steps: int = Field(300, ge=1, le=100_000, description="Most steps before the climbing starts (count)")
    climbing_steps: int = Field(500, ge=1, le=100_000, description="Most steps with the climbing image (count)")
    max_step_A: float = Field(0.2, gt=0, le=5, description="Longest step of all images' atoms together (Å)")


class BarrierSettings(FrozenSettings):
    """Which hops get a path, and how paths and their ends are found."""

    hops: int = Field(2, ge=1, le=20, description="Paths: the most frequent hop, then the fastest, in turns (count)")
    traverse: bool = Field(
        True, description="Also two consecutive hops that cross the unit cell along the axis of fastest diffusion"
    )
    images: int = Field(9, ge=3, le=99, description="Images of a band, both ends included (count); 7 to 9 are usual")
    supercell: tuple[Repeats, Repeats, Repeats] = Field(
        (1, 1, 1), description="Repeats of the trajectories' cell in which paths are computed (count along each vector)"
    )
    trajectories: Literal["auto", "conductivity", "sampling"] = Field(
        "auto",
        description="Where hops are looked for: the driver's trajectories of the conductivity, at the temperature "
        "nearest to the sampling's; those of the last generation; or the former where there are any (name)",
    )
    reference: Literal["single-points", "none"] = Field(
        "single-points", description="Whether the reference engine computes the images of every path (name)"
    )
    candidates: int = Field(4, ge=1, le=50, description="Hops tried for each path until one has two minima (count)")
    distinct_A: float = Field(
        0.7, gt=0, le=10, description="Ends are two minima if some mobile ion lies farther than this from itself (Å)"
    )
    average_ps: float = Field(
        1.0, gt=0, le=1000, description="Time over which frames before and after are averaged (ps)"
    )
    relaxation: FixedCellRelaxation = Field(default_factory=FixedCellRelaxation, description="How the ends are relaxed")
    band: BandSettings = Field(default_factory=BandSettings, description="How the band is optimised")
    detection: HopSettings = Field(default_factory=HopSettings, description="What counts as a hop")

    @property
    def band_of_images(self) -> BandSettings:
        """The settings of the band with the number of images that is asked for."""
        return self.band.model_copy(update={"images": self.images})
