"""Settings of the reference engines: typed, frozen, unknown keys forbidden, told apart by ``engine``.

A field counts as physics, and so enters :func:`settings_hash`, unless it is marked otherwise: limits, sanity
bounds and the path that the self-consistency takes to its answer do not change what a label means.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import Annotated, Any, Literal, Self

from pydantic import Field, JsonValue, PositiveFloat, PositiveInt, model_validator

from .common_settings import CHANGES_RESULT, NOT_PHYSICS, CommonSettings
from .engines.dft_settings import Cp2kSettings, EspressoSettings, GpawSettings
from .engines.licensed_settings import AimsSettings, VaspSettings

_IMPORT_PATH = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


class Gfn1XtbSettings(CommonSettings):
    """GFN1-xTB at the Γ point, by tblite: Grimme et al., J. Chem. Theory Comput. 2017, 13, 1989."""

    engine: Literal["gfn1-xtb"] = Field("gfn1-xtb", description="Name of the engine (name)")
    accuracy: PositiveFloat = Field(
        1.0, le=1000.0, description="tblite's accuracy: scales all thresholds, smaller is tighter (no unit)"
    )
    electronic_temperature_K: PositiveFloat = Field(
        300.0, description="Temperature of the Fermi occupation of the orbitals (K)"
    )
    max_iterations: PositiveInt = Field(
        250,
        description="Self-consistency cycles after which an attempt is unconverged (count)",
        json_schema_extra=NOT_PHYSICS,
    )
    mixer_damping: PositiveFloat = Field(
        0.4,
        le=1.0,
        description="Damping of the Broyden mixing of the charges (no unit)",
        json_schema_extra=NOT_PHYSICS,
    )
    initial_guess: Literal["sad", "eeq"] = Field(
        "sad",
        description="Charges that the self-consistency starts from: neutral atoms, or electronegativity "
        "equilibration (name)",
        json_schema_extra=NOT_PHYSICS,
    )


class CommandSettings(CommonSettings):
    """Any ASE calculator by its import path, or any executable that reads and writes extended XYZ."""

    engine: Literal["command"] = Field("command", description="Name of the engine (name)")
    calculator: str | None = Field(
        None, description="Import path of an ASE calculator, 'module:Class' (name); or give `executable`"
    )
    executable: str | None = Field(
        None,
        description="Command line that reads input.extxyz and arguments.json and writes output.extxyz in the "
        "folder where it runs, without a shell (command); or give `calculator`",
    )
    arguments: dict[str, JsonValue] = Field(
        default_factory=dict,
        description="Keyword arguments of the calculator, or the content of the executable's arguments.json "
        "(units of the calculator)",
    )
    recovery: tuple[dict[str, JsonValue], ...] = Field(
        (),
        description="Arguments that replace those of `arguments` after an unconverged attempt, one set per "
        "attempt; they must lead to the same answer (units of the calculator)",
        json_schema_extra=NOT_PHYSICS,
    )
    environment: dict[str, str] = Field(
        default_factory=dict,
        description="Environment variables of the engine's process; what changes the physics belongs into "
        "`arguments` (text)",
        json_schema_extra=NOT_PHYSICS,
    )
    elements: tuple[str, ...] | None = Field(
        None,
        description="Elements that the engine has data for; others are rejected (chemical symbols)",
        json_schema_extra=NOT_PHYSICS,
    )
    requires_stress: bool = Field(
        False,
        description="Whether a label of a crystal fails without a stress (yes or no); a calculator that lists a "
        "stress among its properties must give it in any case",
        json_schema_extra=NOT_PHYSICS,
    )
    isolated_atom_box_A: PositiveFloat = Field(15.0, description="Edge of the cubic cell around an isolated atom (Å)")
    isolated_atom_periodic: bool = Field(
        False, description="Whether an isolated atom's cell is periodic, as plane-wave codes want it (yes or no)"
    )

    @model_validator(mode="after")
    def _one_way_to_compute(self) -> Self:
        if (self.calculator is None) == (self.executable is None):
            raise ValueError("give either calculator ('module:Class') or executable (a command line), not both")
        if self.calculator is not None and not _IMPORT_PATH.fullmatch(self.calculator):
            raise ValueError(
                f"calculator {self.calculator!r} is not an import path; write 'module:Class', "
                "for example 'ase.calculators.emt:EMT'"
            )
        if self.executable is not None and not self.executable.strip():
            raise ValueError("executable is empty; write the command line that computes a label")
        return self


class ImportedSettings(CommonSettings):
    """Labels that were computed elsewhere and came by `ionloop import`; nothing more is known of their settings."""

    engine: Literal["imported"] = Field("imported", description="Name of the engine (name)")
    source: str = Field(
        "unknown",
        min_length=1,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_.+-]*$",
        description="Code that computed the labels, in one word, for example vasp (name)",
    )
    method: str = Field(
        "",
        description="What tells these labels from others of that code: functional, basis, k-points (text)",
    )


EngineSettings = Annotated[
    Gfn1XtbSettings
    | GpawSettings
    | Cp2kSettings
    | EspressoSettings
    | AimsSettings
    | VaspSettings
    | CommandSettings
    | ImportedSettings,
    Field(discriminator="engine"),
]


def physics_of(settings: CommonSettings) -> dict[str, Any]:
    """Return the settings that decide what a label's numbers mean, as JSON values."""
    kind = type(settings)
    return {name: value for name, value in settings.model_dump(mode="json").items() if is_physics(kind, name)}


def is_physics(kind: type[CommonSettings], name: str) -> bool:
    """Return whether a field of an engine's settings decides what a label's numbers mean."""
    extra = kind.model_fields[name].json_schema_extra
    return not (isinstance(extra, dict) and extra.get(CHANGES_RESULT) is False)


def settings_hash(settings: CommonSettings) -> str:
    """Return the SHA-256 of everything in ``settings`` that changes the physics, and of nothing else.

    Two labels with equal hashes may join one data set; limits, bounds, mixing and cycles do not count.
    """
    text = json.dumps(physics_of(settings), sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()
