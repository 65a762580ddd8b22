"""Settings of CP2K: what its input and what reading its output need."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, PositiveFloat, PositiveInt

from ..common_settings import NOT_PHYSICS
from .dft_settings import ExecutableSettings


class Cp2kSettings(ExecutableSettings):
    """CP2K's Quickstep: Kühne et al., J. Chem. Phys. 2020, 152, 194103 (10.1063/5.0007045).

    With more than Γ it needs diagonalisation, which is what runs here in any case.
    """

    COMMAND_VARIABLE: ClassVar[str] = "IONLOOP_CP2K_COMMAND"
    DEFAULT_COMMAND: ClassVar[str] = "cp2k.psmp"

    engine: Literal["cp2k"] = Field("cp2k", description="Name of the engine (name)")
    basis_set: str = Field("DZVP-MOLOPT-SR-GTH", min_length=1, description="Basis set of every element (name)")
    basis_set_file: str = Field("BASIS_MOLOPT", min_length=1, description="File of the basis sets (name)")
    potential: str = Field("GTH-PBE", min_length=1, description="Pseudopotential of every element (name)")
    potential_file: str = Field("GTH_POTENTIALS", min_length=1, description="File of the pseudopotentials (name)")
    data_folder: str | None = Field(
        None,
        description="Folder of CP2K's data files; if missing, CP2K_DATA_DIR or CP2K's own (path)",
        json_schema_extra=NOT_PHYSICS,
    )
    cutoff_Ry: PositiveFloat = Field(400.0, description="Cutoff of the finest real-space grid (Ry)")
    relative_cutoff_Ry: PositiveFloat = Field(50.0, description="Cutoff that a Gaussian maps to a grid by (Ry)")
    energy_convergence_Ha: PositiveFloat = Field(
        1e-6, description="EPS_SCF: largest change of the density matrix at the end (Ha)"
    )
    added_orbitals: PositiveInt = Field(
        30, description="Empty orbitals for the smearing; fewer where the basis has fewer (count)"
    )
    mixing_fraction: PositiveFloat = Field(
        0.1, le=1.0, description="ALPHA of the density mixing (no unit)", json_schema_extra=NOT_PHYSICS
    )
    mixing_method: Literal["BROYDEN_MIXING", "PULAY_MIXING", "DIRECT_P_MIXING"] = Field(
        "BROYDEN_MIXING", description="How densities are mixed (name)", json_schema_extra=NOT_PHYSICS
    )
    mixing_history: PositiveInt = Field(
        12, description="Earlier densities that the mixing looks at (count)", json_schema_extra=NOT_PHYSICS
    )
