"""What an analysis of structure says in numbers; curves are arrays beside it."""

from __future__ import annotations

from pydantic import Field

from ...core.settings import FrozenModel


class Shell(FrozenModel):
    """The first shell of one species around another."""

    centre: str = Field(description="Species in the middle (name)")
    neighbour: str = Field(description="Species around it (name)")
    peak_A: float | None = Field(None, description="Where the first peak of g(r) is, nothing: none was found (Å)")
    cutoff_A: float | None = Field(None, description="Where the shell ends, nothing: it does not (Å)")
    is_given: bool = Field(False, description="Whether the end was given, not found (yes or no)")
    coordination: float | None = Field(None, description="Atoms in the shell (number)")
    half_width: float | None = Field(None, description="Half of the 95 % interval of that (number)")
    shares: tuple[float, ...] = Field((), description="Part of the centres with 0, 1, 2, ... of them (no unit)")


class Angle(FrozenModel):
    """A bond angle."""

    name: str = Field(description="Such as S-P-S, the centre between (name)")
    angles: int = Field(description="How many were seen (number)")
    mean_degrees: float | None = Field(None, description="Their mean (degrees)")
    spread_degrees: float | None = Field(None, description="Their standard deviation (degrees)")
    peak_degrees: float | None = Field(None, description="Where there are most (degrees)")


class Diffraction(FrozenModel):
    """What a total structure factor says in numbers."""

    radiation: str = Field(description="neutrons or x-rays (name)")
    lengths: dict[str, float] = Field(
        description="Scattering lengths by species: of neutrons fm, of X-rays electrons at q = 0 (unit of the quantity)"
    )
    mean_length: float | None = Field(
        None, description="Their mean over atoms, in the same unit (unit of the quantity)"
    )
    weights: dict[str, float] = Field(
        default_factory=dict, description="Faber-Ziman weights by pair, at q = 0, both orders together (no unit)"
    )
    first_peak_per_A: float | None = Field(None, description="Where the first peak of S(q) is (1/Å)")
    first_peak: float | None = Field(None, description="S(q) there (no unit)")
    first_peak_half_width: float | None = Field(None, description="Half of the 95 % interval of that (no unit)")
    seam: float | None = Field(
        None, description="Difference of direct sum and transform where one takes over from the other (no unit)"
    )
    reason: str = Field("", description="Why there is no total structure factor; empty if there is one (text)")


class NetworkResult(FrozenModel):
    """Rings and chains of the bonded network."""

    bonds: tuple[str, ...] = Field((), description="Its bonds, centre first (names)")
    centres: tuple[str, ...] = Field((), description="Elements that are centres (names)")
    rings: dict[str, float] = Field(default_factory=dict, description="Rings in a frame by number of atoms (number)")
    rings_reason: str = Field("", description="Why rings are not defined; empty if they are (text)")
    chains: dict[str, float] = Field(
        default_factory=dict, description="Part of the centres in chains by length, and in other clusters (no unit)"
    )
    chains_reason: str = Field("", description="Why chains are not defined; empty if they are (text)")


class Agreement(FrozenModel):
    """How far a computed curve is from a measured one."""

    name: str = Field(description="What the measured curve is called (name)")
    radiation: str = Field(description="neutrons or x-rays (name)")
    quantity: str = Field(description="What it is, such as S (name)")
    reason: str = Field("", description="Why it cannot be compared; empty if it can (text)")
    points: int = Field(0, description="Points that both have (number)")
    scale: float = Field(1.0, description="What the computed curve is multiplied by (no unit)")
    offset: float = Field(0.0, description="What is added to it (unit of the quantity)")
    r_chi: float | None = Field(None, description="R_χ, 0 where both are the same (no unit)")
    control: float | None = Field(None, description="R_χ of the curve of no structure (no unit)")
    chi_square_per_point: float | None = Field(None, description="χ² per point, nothing without errors (no unit)")
    control_chi_square_per_point: float | None = Field(None, description="That of no structure (no unit)")


class StructureResult(FrozenModel):
    """Structure functions of some frames, in numbers."""

    species: tuple[str, ...] = Field(description="Elements, in the order of the curves (symbols)")
    atoms: int = Field(description="Atoms in a frame (number)")
    frames: int = Field(description="Frames that were looked at (number)")
    density_per_A3: float = Field(description="Atoms per volume (1/Å³)")
    density_g_per_cm3: float = Field(description="Mass per volume, of natural isotopes (g/cm³)")
    r_max_A: float = Field(description="Largest distance of g(r) (Å)")
    shells: tuple[Shell, ...] = Field((), description="First shells of all pairs")
    angles: tuple[Angle, ...] = Field((), description="Bond angles")
    diffraction: tuple[Diffraction, ...] = Field((), description="Total structure factors")
    network: NetworkResult = Field(default_factory=NetworkResult, description="Rings and chains")
    agreements: tuple[Agreement, ...] = Field((), description="How far computed curves are from measured ones")
    pair_interval_reason: str = Field("", description="Why g(r) has no 95 % interval; empty if it has (text)")
    diffraction_interval_reason: str = Field("", description="Why S(q) has no 95 % interval; empty if it has (text)")
    notes: tuple[str, ...] = Field((), description="What a reader should know (text)")
