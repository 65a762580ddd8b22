"""Engines that the user brings: an ASE calculator by import path, or an executable that speaks extended XYZ.

The executable runs without a shell in a folder of its own, where it finds ``input.extxyz`` (the structure, and
initial magnetic moments if there are any) and ``arguments.json``; it ends with status 0 and leaves
``output.extxyz``: the same atoms in the same order with ``energy`` (eV; ``free_energy`` is preferred if given),
``forces`` (eV/Å) and, if it has them, ``stress`` (eV/Å³, nine numbers), ``charges`` (e) and ``dipole`` (e Å).
``converged=F`` on the comment line says that the self-consistency failed.
"""

from __future__ import annotations

import importlib
import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

import ase
import numpy as np
from ase import Atoms
from pydantic import Field, JsonValue, PositiveFloat, model_validator

from ...core.arrays import FloatArray
from ..ase_evaluation import evaluate_with_calculator, exit_failure, one_line, stress_of
from ..common_settings import NOT_PHYSICS, CommonSettings
from ..convergence import check_files
from ..engine import Engine, EngineFailure, EngineProbe, NotConverged
from ..isolated import isolated_atom
from ..outcome import Evaluation, optional_array
from .executable import read_text
from .vasp import VaspSettings, check_convergence, electronic_loops

INPUT_FILE = "input.extxyz"
ARGUMENTS_FILE = "arguments.json"
OUTPUT_FILE = "output.extxyz"
# Written after the executable ended with status 0: output without it may be half an output.
DONE_FILE = "exit-status-0"
# Extended XYZ is text: a structure that comes back may differ by the digits that the writer left out.
_POSITION_TOLERANCE_A = 1e-4
_IMPORT_PATH = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


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

    @property
    def process_environment(self) -> Mapping[str, str]:
        """Environment variables of the process that the engine runs in."""
        return self.environment

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


class CommandEngine(Engine[CommandSettings]):
    """Any ASE calculator, or any executable."""

    name = "command"
    settings_type = CommandSettings
    rank = 90

    def objection(self, atoms: Atoms, settings: CommandSettings) -> str | None:
        """Refuse elements beyond ``elements``."""
        unknown = [] if settings.elements is None else sorted(set(atoms.symbols) - set(settings.elements))
        if unknown:
            known = ", ".join(settings.elements or ())
            return f"the engine has no data for {', '.join(unknown)}; `elements` lists {known}"
        return None

    def evaluate(self, atoms: Atoms, settings: CommandSettings, folder: Path) -> Evaluation:
        """Compute ``atoms`` by the calculator or the executable."""
        if settings.executable is None:
            evaluation = evaluate_with_calculator(atoms, _load_class(settings)(**settings.arguments))
            _check_outputs(folder)
        else:
            run_executable(atoms, settings, folder)
            evaluation = read_output(atoms, folder / OUTPUT_FILE)
        return _with_stress(evaluation, atoms, settings)

    def parse_finished(self, atoms: Atoms, settings: CommandSettings, folder: Path) -> Evaluation | None:
        """Return what an executable that ended with status 0 left in ``folder``."""
        if settings.executable is None or not (folder / DONE_FILE).exists():
            return None
        return _with_stress(read_output(atoms, folder / OUTPUT_FILE), atoms, settings)

    def recovery_ladder(self, settings: CommandSettings) -> tuple[CommandSettings, ...]:
        """Return the settings with each set of `recovery` laid over `arguments`."""
        return tuple(
            settings.model_copy(update={"arguments": {**settings.arguments, **overrides}})
            for overrides in settings.recovery
        )

    def isolated_atom(self, symbol: str, settings: CommandSettings) -> Atoms:
        """Return one atom in the middle of the box of the settings."""
        return isolated_atom(symbol, settings.isolated_atom_box_A, settings.isolated_atom_periodic)

    def methods(self, settings: CommandSettings) -> str:
        """Name the calculator or the executable: nothing more is known of it here."""
        return f"The reference is {settings.calculator or settings.executable}."

    def version(self, settings: CommandSettings) -> str:
        """Return the command line, or the class and its package's version if that is loaded or cheap to ask."""
        if settings.executable is not None:
            return settings.executable
        package_name = str(settings.calculator).partition(":")[0].partition(".")[0]
        try:
            package = importlib.import_module(package_name)
        except ImportError:
            return f"{settings.calculator} (version unknown)"
        return f"{settings.calculator} ({package_name} {getattr(package, '__version__', 'version unknown')})"

    def probe(self, settings: CommandSettings | None = None) -> EngineProbe:
        """Look whether the class can be imported or the executable is on PATH; without settings say yes."""
        if settings is None:
            remedy = "needs settings: calculator: 'module:Class' or executable: a command line"
            return EngineProbe(self.name, found=True, version=f"ASE {ase.__version__}", remedy=remedy)
        try:
            if settings.executable is None:
                _load_class(settings)
            else:
                _find_executable(settings)
        except EngineFailure as error:
            return EngineProbe(self.name, found=False, version="unknown", remedy=one_line(error))
        return EngineProbe(self.name, found=True, version=self.version(settings), remedy="")


COMMAND = CommandEngine()


def _check_outputs(folder: Path) -> None:
    """Refuse the result of a calculator whose code left word, or numbers, of a failed self-consistency."""
    check_files(folder)
    for path in sorted(folder.rglob("OUTCAR")):
        outcar = read_text(path)
        # One of a machine-learned force field has no self-consistency.
        if electronic_loops(outcar):
            check_convergence(outcar, read_text(path.with_name("vasprun.xml")), VaspSettings())


def _with_stress(evaluation: Evaluation, atoms: Atoms, settings: CommandSettings) -> Evaluation:
    """Return the evaluation of an engine that may leave the stress out, if the settings let it."""
    if evaluation.stress is None and settings.requires_stress and atoms.pbc.all():
        raise EngineFailure("the engine gave no stress, and requires_stress is set")
    return evaluation


def _load_class(settings: CommandSettings) -> Any:
    module_name, _, class_name = str(settings.calculator).partition(":")
    try:
        return getattr(importlib.import_module(module_name), class_name)
    except ImportError as error:
        raise EngineFailure(
            f"calculator {settings.calculator!r} cannot be imported: {one_line(error)}; install its package, or "
            "put its folder on PYTHONPATH"
        ) from error
    except AttributeError:
        raise EngineFailure(
            f"calculator {settings.calculator!r}: module {module_name!r} has no {class_name!r}"
        ) from None


def _find_executable(settings: CommandSettings) -> list[str]:
    words = shlex.split(str(settings.executable))
    found = shutil.which(words[0])
    if found is None:
        raise EngineFailure(f"executable '{words[0]}' not found on PATH; load its module or give its full path")
    return [found, *words[1:]]


def run_executable(atoms: Atoms, settings: CommandSettings, folder: Path) -> None:
    """Run the executable of ``settings`` in ``folder`` until it ends; it prints where we print.

    Raises
    ------
    EngineFailure
        If it is missing, ends with another status than 0, or dies of a signal.
    """
    # ASE's readers bring half of SciPy along, which a label that needs none of them does not wait for.
    import ase.io

    command = _find_executable(settings)
    folder = folder.resolve()
    structure = Atoms(atoms.numbers, positions=atoms.positions, cell=atoms.cell, pbc=atoms.pbc)
    if atoms.has("initial_magmoms"):
        structure.set_initial_magnetic_moments(atoms.get_initial_magnetic_moments())
    ase.io.write(folder / INPUT_FILE, structure, format="extxyz")
    (folder / ARGUMENTS_FILE).write_text(json.dumps(settings.arguments, indent=1))
    completed = subprocess.run(command, cwd=folder, stdin=subprocess.DEVNULL, check=False)
    if completed.returncode != 0:
        raise exit_failure(completed.returncode, f"executable '{command[0]}'")
    (folder / DONE_FILE).touch()


def read_output(atoms: Atoms, path: Path) -> Evaluation:
    """Return what the executable wrote about ``atoms``.

    Raises
    ------
    NotConverged
        If it says ``converged=F``.
    EngineFailure
        If the file is missing, unreadable, incomplete or about other atoms.
    """
    import ase.io

    if not path.exists():
        raise EngineFailure(f"the executable ended well but left no {path.name}")
    try:
        answer = ase.io.read(path, format="extxyz")
    # Whatever an executable wrote may break ASE's reader in any way.
    except Exception as error:
        raise EngineFailure(
            f"{path.name} is not readable as extended XYZ: {type(error).__name__}: {one_line(error)}"
        ) from error
    if answer.info.get("converged", True) in (False, "False", "F"):
        raise NotConverged(f"{path.name} says converged=F")
    if list(answer.numbers) != list(atoms.numbers):
        raise EngineFailure(
            f"{path.name} holds {answer.get_chemical_formula()}, expected {atoms.get_chemical_formula()} in the "
            "order of the input"
        )
    shift_A = float(np.abs(answer.positions - atoms.positions).max())
    if not shift_A <= _POSITION_TOLERANCE_A:
        raise EngineFailure(f"{path.name} holds other positions than the input: they differ by {shift_A:.2g} Å")
    results = {} if answer.calc is None else answer.calc.results
    energy = results.get("free_energy", results.get("energy"))
    if energy is None or results.get("forces") is None:
        raise EngineFailure(f"{path.name} has no {'energy' if energy is None else 'forces'}")
    return _evaluation(float(energy), results, path)


def _stress(path: Path) -> FloatArray | None:
    """Return the stress as it stands in the file, None if there is none: ASE's reader takes half of a matrix.

    Raises
    ------
    EngineFailure
        If it is none, or stands there by another name: a label must not lose it in silence.
    """
    from ase.io.extxyz import key_val_str_to_dict

    comment = key_val_str_to_dict(path.read_text(encoding="utf-8").splitlines()[1])
    if "stress" in comment:
        return stress_of(comment["stress"], path.name)
    others = [key for key in comment if key.lower() in ("stress", "virial", "virials", "stresses")]
    if others:
        raise EngineFailure(f"{path.name} has '{others[0]}', which is not read; write `stress` (eV/Å³, ASE's sign)")
    return None


def _evaluation(energy: float, results: dict[str, Any], path: Path) -> Evaluation:
    try:
        return Evaluation(
            energy=energy,
            forces=np.asarray(results["forces"], dtype=float),
            stress=_stress(path),
            charges=optional_array(results.get("charges")),
            dipole=optional_array(results.get("dipole")),
        )
    except (TypeError, ValueError) as error:
        raise EngineFailure(f"{path.name} holds something that is not a number: {one_line(error)}") from error
