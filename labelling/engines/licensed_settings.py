"""Settings of the density-functional codes that need a licence: FHI-aims and VASP."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt

from ..common_settings import NOT_PHYSICS
from .dft_settings import ExecutableSettings


class _ParallelSettings(ExecutableSettings):
    """Codes that run on a whole node: what they use is counted over all their processes."""

    memory_limit_MB: PositiveFloat = Field(
        64_000.0,
        description="Resident memory of the engine and its processes on this node above which it is killed (MB)",
        json_schema_extra=NOT_PHYSICS,
    )


class AimsSettings(_ParallelSettings):
    """FHI-aims: Blum et al., Comput. Phys. Commun. 2009, 180, 2175 (10.1016/j.cpc.2009.06.022).

    PBE, "light" settings and the first tier of basis functions, as the reference of Staacke et al., ACS Appl. Energy
    Mater. 2021, 4, 12562 (10.1021/acsaem.1c02363). That work used 2x2x2 k-points for 42 atoms of Li7P3S11, a cell
    with one short edge: ``k_grid: {spacing_per_A: [0.55, 0.28, 0.28]}``, which its supercells share.
    """

    COMMAND_VARIABLE: ClassVar[str] = "IONLOOP_AIMS_COMMAND"
    DEFAULT_COMMAND: ClassVar[str] = "aims.x"

    engine: Literal["aims"] = Field("aims", description="Name of the engine (name)")
    basis: Literal["light", "intermediate", "tight", "really_tight"] = Field(
        "light", description="Numerical settings and basis set of every element (name)"
    )
    tier: NonNegativeInt | None = Field(
        1,
        le=4,
        description="Tiers of basis functions that are switched on; null leaves the species files as they are (count)",
    )
    species_folder: str | None = Field(
        None,
        description="Folder that holds light, tight and so on; if missing, AIMS_SPECIES_DIR (path)",
        json_schema_extra=NOT_PHYSICS,
    )
    species_defaults: str = Field(
        "defaults_2020", min_length=1, description="Which release of species files the folder holds (name)"
    )
    relativistic: Literal["none", "atomic_zora scalar"] = Field(
        "atomic_zora scalar", description="Scalar relativistic treatment (name)"
    )
    smearing_eV: PositiveFloat = Field(0.05, description="Width of the Fermi-Dirac occupation (eV)")
    density_convergence_e_per_a03: PositiveFloat = Field(
        1e-5, description="Change of the density at which the cycles end (e/a0³)"
    )
    force_convergence_eV_per_A: PositiveFloat = Field(
        1e-4, description="Change of the forces at which the cycles end (eV/Å)"
    )
    mixing_fraction: PositiveFloat = Field(
        0.2, le=1.0, description="Part of the new density in each step (no unit)", json_schema_extra=NOT_PHYSICS
    )
    mixing_history: PositiveInt = Field(
        8, description="Earlier densities that the mixing looks at (count)", json_schema_extra=NOT_PHYSICS
    )


class VaspSettings(_ParallelSettings):
    """VASP: Kresse, Furthmüller, Phys. Rev. B 1996, 54, 11169 (10.1103/PhysRevB.54.11169)."""

    COMMAND_VARIABLE: ClassVar[str] = "IONLOOP_VASP_COMMAND"
    DEFAULT_COMMAND: ClassVar[str] = "vasp_std"

    engine: Literal["vasp"] = Field("vasp", description="Name of the engine (name)")
    cutoff_eV: PositiveFloat = Field(520.0, description="ENCUT: kinetic-energy cutoff of the plane waves (eV)")
    setups: Literal["minimal", "recommended", "materialsproject"] = Field(
        "recommended", description="Choice of PAW potentials, as ASE names it: 'recommended' has Li_sv, P and S (name)"
    )
    potential_version: str = Field(
        "", description="Release of the PAW potentials, for example '54' for potpaw_PBE.54; empty for potpaw_PBE (name)"
    )
    potential_folder: str | None = Field(
        None,
        description="Folder that holds potpaw_PBE; if missing, VASP_PP_PATH (path)",
        json_schema_extra=NOT_PHYSICS,
    )
    energy_convergence_eV: PositiveFloat = Field(1e-6, description="EDIFF: change of the energy at the end (eV)")
    precision: Literal["Normal", "Accurate"] = Field("Accurate", description="PREC: grids (name)")
    real_space_projectors: bool = Field(
        False, description="LREAL: fast approximate projectors for large cells (yes or no)"
    )
    algorithm: Literal["Normal", "Fast", "VeryFast", "All", "Damped"] = Field(
        "Normal", description="ALGO: how the orbitals are improved (name)", json_schema_extra=NOT_PHYSICS
    )
    mixing_fraction: PositiveFloat = Field(
        0.4, le=1.0, description="AMIX: part of the new density in each step (no unit)", json_schema_extra=NOT_PHYSICS
    )
    cores_per_band: PositiveInt | None = Field(
        None, description="NCORE: cores that share one orbital (count)", json_schema_extra=NOT_PHYSICS
    )
    k_point_groups: PositiveInt | None = Field(
        None, description="KPAR: groups of cores that share the k-points (count)", json_schema_extra=NOT_PHYSICS
    )
    isolated_atom_box_A: PositiveFloat = Field(
        15.0, description="Shortest edge of the periodic cell around an isolated atom (Å)"
    )
