"""What results on hops and barriers hold."""

from __future__ import annotations

from pydantic import Field

from ...store.result_kinds import ResultKind, ResultValues
from .model_intervals import NumbersOfOneModel


class HopSummaryValues(ResultValues):
    """Numbers about the hops of all trajectories, as `HopSummary` has them."""

    hops: int = Field(description="Hops (number)")
    events: int = Field(description="Events of one or several ions (number)")
    rate_per_ion_per_ps: float = Field(description="Hops per ion and time (1/ps)")
    rate_interval_per_ion_per_ps: tuple[float, float] = Field(description="Its 95 % interval (1/ps)")
    mean_jump_A: float | None = Field(description="Mean distance from site to site (Å)")
    mean_residence_ps: float | None = Field(description="Mean stay (ps)")
    concerted_fraction: float = Field(description="Share of hops in events of several ions (no unit)")
    event_sizes: dict[str, int] = Field(description="Events by the number of ions in them (number)")
    net_displacement_A: tuple[float, float, float] = Field(
        description="Root mean square over ions of their net displacement along each lattice vector (Å)"
    )
    diffusion_axis: int | None = Field(description="The lattice vector along which it is largest (number)")
    dispersion: float = Field(
        default=1.0, description="By how much the count varies more than that of independent hops (no unit)"
    )


class PathValues(ResultValues):
    """A hop that is worth a path."""

    origin: str = Field(description="trajectory, or nearest free site (name)")
    choice: str = Field(description="Why this hop was taken (text)")
    moving: tuple[int, ...] = Field(description="Indices of the ions that hop (number)")
    jump_A: float = Field(description="Distance between the sites (Å)")
    observed: int = Field(description="How often the hop was seen (number)")
    rate_per_ps: float = Field(description="How often per time that its sites were occupied (1/ps)")


class HopsValues(ResultValues):
    """Hops of a campaign's trajectories, and those that could get a path."""

    species: str = Field(description="The ions that hop (name)")
    hops: int = Field(description="Hops (number)")
    trajectories: int = Field(description="Trajectories (number)")
    duration_ps: float | None = Field(default=None, description="Length of all trajectories together (ps)")
    concerted_by_chance: float | None = Field(
        default=None, description="Share of hops that would be concerted by chance (no unit)"
    )
    summary: HopSummaryValues | None = Field(default=None, description="Numbers about them; none without trajectories")
    reason: str = Field(description="What was left out, and why (text)")
    crossings: int = Field(description="Pairs of hops that cross the unit cell; their paths come first (number)")
    no_crossing: str = Field(description="Why no hops cross the unit cell (text)")
    paths: tuple[PathValues, ...] = Field(description="Hops that could get a path")


class EndsValues(ResultValues):
    """Hops that have two minima."""

    slots: dict[str, PathValues] = Field(description="The hops by the names of their paths")
    rejected: tuple[str, ...] = Field(description="Why other hops have no path (text)")
    reason: str = Field(description="Why there are fewer paths than asked for (text)")


class BandValues(ResultValues):
    """How the search for a path ended."""

    slot: str = Field(description="Name of the path (name)")
    converged: bool = Field(description="Whether the forces are small enough (yes or no)")
    steps: int = Field(description="Steps of the relaxation (number)")
    largest_force_eV_per_A: float | None = Field(
        default=None, description="Largest force on an image; none where there is no path (eV/Å)"
    )
    reason: str = Field(default="", description="Why there is no path, or it did not converge (text)")


class BandPointsValues(ResultValues):
    """Energies and forces of a path's images with another potential: a file of arrays."""

    images: int = Field(description="Images (number)")


class PotentialOnPathValues(NumbersOfOneModel):
    """Energies of one potential along a path."""

    energies_eV: tuple[float, ...] = Field(description="Of the images, from the first one (eV)")
    curve_coordinate_A: tuple[float, ...] = Field(description="Where the fitted curve is (Å)")
    curve_energies_eV: tuple[float, ...] = Field(description="The fitted curve (eV)")
    forward_eV: float = Field(description="Barrier from the first image (eV)")
    reverse_eV: float = Field(description="Barrier from the last image (eV)")
    maximum_A: float = Field(description="Where the maximum is (Å)")
    fit_error_eV: float = Field(description="How far the maximum moves if forces are left out of the fit (eV)")
    energies_model_half_width_eV: tuple[float, ...] = Field(
        default=(), description="Half-widths of the 95 % model intervals of the images' energies (eV)"
    )
    forward_model_half_width_eV: float | None = Field(
        default=None, description="The same of the barrier from the first image (eV)"
    )
    reverse_model_half_width_eV: float | None = Field(
        default=None, description="The same of the barrier from the last image (eV)"
    )


class BarrierValues(PathValues):
    """Barriers of all potentials along the path of one."""

    slot: str = Field(description="Name of the path (name)")
    converged: bool = Field(description="Whether the path converged (yes or no)")
    reason: str = Field(default="", description="Why not, or why there is no path (text)")
    coordinate_A: tuple[float, ...] = Field(default=(), description="Distance of the images along the path (Å)")
    potentials: dict[str, PotentialOnPathValues] = Field(description="Energies by potential")
    missing: tuple[str, ...] = Field(description="Potentials whose single points are missing (names)")
    saddle_dipole_eA: tuple[float, float, float] | None = Field(
        default=None,
        description="How much farther the maximum is polarised than the first image, by the path's potential; minus it "
        "is the slope of the barrier with a field; none where no field can act (e Å)",
    )


HOPS = ResultKind("hops", HopsValues)
HOP_ENDS = ResultKind("hop-ends", EndsValues)
BANDS = ResultKind("barrier-band", BandValues)
BAND_POINTS = ResultKind("barrier-points", BandPointsValues)
BARRIERS = ResultKind("barrier", BarrierValues)
