"""The campaign file of a structure: mobile ion, cell, engine and sizes chosen for it, each with the reason."""

from __future__ import annotations

import math
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from textwrap import shorten

import numpy as np
from ase import Atoms

from ...core.errors import InputError
from ...labelling.common_settings import CommonSettings
from ..campaign.baseline_charges import UnknownChargesError, formal_charges
from ..campaign.starter import yaml_value

MOBILE_FIRST = ("Li", "Na", "Ag", "Cu", "K", "Mg", "Zn", "Ca", "Al", "F", "O", "H")
"""Of several elements that move in ion conductors, the first of these that a structure holds is taken."""
_SUBMITTING = ("sbatch", "qsub", "bsub")
_WIDTH = 32
_STEP_A = 0.25


class Machine(StrEnum):
    """What a campaign is to run on."""

    LAPTOP = "laptop"
    CLUSTER = "cluster"


@dataclass(frozen=True)
class Sizes:
    """How large a campaign is made for a machine.

    ``smallest_A``: distance of opposite faces that the cell is repeated to (Å); ``mobile_ions``: that it holds at
    least; ``most_atoms``: up to which it is repeated; ``lines``: the rest, as lines of YAML; ``why``: in words.
    """

    smallest_A: float
    mobile_ions: int
    most_atoms: int
    lines: tuple[str, ...]
    why: str


_LAPTOP = Sizes(
    smallest_A=8.0,
    mobile_ions=4,
    most_atoms=100,
    why="small, to try; --for cluster writes larger ones",
    lines=(
        "sampling: {temperature_K: 800, length_ps: 0.6, timestep_fs: 2.0, replicas: 2, write_every: 10}",
        "selection: {count: 10}          # labels of each generation (number)",
        "stop: {max_generations: 3}      # the loop ends earlier where errors no longer improve",
        "analyses:                       # with the final models; {} makes one with its defaults",
        "  energy_volume: {points: 5}",
        "  conductivity: {length_ps: 6, equilibration_ps: 0.6, write_every: 10, replicas: 2, lengths: 6}",
    ),
)
_CLUSTER = Sizes(
    smallest_A=10.0,
    mobile_ions=8,
    most_atoms=250,
    why="those of the defaults; --for laptop writes smaller ones",
    lines=(
        "sampling: {temperature_K: 800, length_ps: 5, replicas: 4}",
        "selection: {count: 40}          # labels of each generation (number)",
        "stop: {max_generations: 8}      # the loop ends earlier where errors no longer improve",
        "analyses:                       # with the final models; {} makes one with its defaults",
        "  locality: {}",
        "  energy_volume: {}",
        "  conductivity: {temperatures_K: [600, 700, 800]}",
        "  barriers: {}",
    ),
)
_LONGEST_VERSION = 40
_SIZES = {Machine.LAPTOP: _LAPTOP, Machine.CLUSTER: _CLUSTER}
_INITIAL_OF_LAPTOP = "molecular_dynamics: {count: 12, timestep_fs: 2.0, every: 5}"
_MOVES_OF_LAPTOP = "lithium_monte_carlo: {count: 12, relaxation: {steps: 3}}"


def machine_here() -> tuple[Machine, str]:
    """Return what this machine is taken for, and why: a cluster, where jobs can be submitted."""
    found = next((command for command in _SUBMITTING if shutil.which(command)), None)
    if found is None:
        return Machine.LAPTOP, "no queue's command is here"
    return Machine.CLUSTER, f"{found} is here"


def first_file(structure: Path, folder: Path, machine: Machine | None = None, mobile: str | None = None) -> str:
    """Return a campaign file for a structure, with the reasons of what is chosen in its comments.

    Parameters
    ----------
    structure
        A file that ASE reads.
    folder
        Where the campaign file will be: it names the structure relative to that.
    machine, mobile
        What it is to run on, and the symbol of the ion that moves; both are guessed where they are not given.

    Raises
    ------
    InputError
        If the file cannot be used, or nothing in it is known to move.
    """
    from ...sampling.structures.crystals import load_structure

    atoms = load_structure(structure.absolute())
    symbols = sorted(set(atoms.get_chemical_symbols()))
    ion, why_ion = _mobile(symbols, mobile)
    kind, why_kind = (machine, "as asked for") if machine is not None else machine_here()
    sizes = _SIZES[kind]
    times, why_times = _supercell(atoms, ion, sizes)
    settings, why_engine = choose_engine(atoms, kind)
    charges = _charges_problem(atoms)
    lines = [
        f"# A campaign for {structure.name}, {atoms.get_chemical_formula()}, written by ionloop init --from.",
        f"# Sizes are for a {kind.value} ({why_kind}), {sizes.why}.",
        "# What you remove gets its default; docs/campaign-file.md lists every key, `ionloop init --full` writes them.",
        "# `ionloop check campaign.yaml` tells what it will cost, `ionloop run campaign.yaml` runs it.",
        "",
        _line(f"name: {_name(structure)}", "its name in the store"),
        _line(f"structure: {yaml_value(_relative(structure, folder))}", "relative to this file"),
        _line(f"supercell: {list(times)}", why_times),
        _line(f"mobile: {ion}", why_ion),
        _line(f"reference: {{engine: {settings.engine}}}", why_engine),
        *_models(charges),
        *_initial(kind, charges),
        "# In every generation: trajectories with the best model (K, ps); of their frames, those worth a label.",
        *sizes.lines,
    ]
    return "\n".join(lines) + "\n"


def _line(text: str, comment: str) -> str:
    return f"{text:<{_WIDTH}}# {comment}" if len(text) < _WIDTH else f"{text}  # {comment}"


def _name(structure: Path) -> str:
    """Return a name for the campaign: that of the file, of the characters that names may have."""
    word = re.sub(r"[^A-Za-z0-9_-]+", "-", structure.stem.lower())[:64].strip("-_")
    return yaml_value(word or "campaign")


def _relative(structure: Path, folder: Path) -> str:
    return Path(os.path.relpath(structure.absolute(), folder.absolute())).as_posix()


def _mobile(symbols: Sequence[str], asked: str | None) -> tuple[str, str]:
    if asked is not None:
        if asked not in symbols:
            raise InputError(f"--mobile {asked}: the structure holds {', '.join(symbols)}")
        return asked, "the ion that moves, as asked for"
    able = [symbol for symbol in MOBILE_FIRST if symbol in symbols]
    if not able:
        raise InputError(f"of {', '.join(symbols)} none is known to move: name the ion with --mobile")
    others = f"; {', '.join(able[1:])} could be meant, too" if len(able) > 1 else ""
    return able[0], f"the ion that moves: of the elements, the most likely{others}"


def _supercell(atoms: Atoms, mobile: str, sizes: Sizes) -> tuple[tuple[int, int, int], str]:
    from ...analysis.screening.cells import repetitions

    wanted = f"{sizes.smallest_A:g} Å between opposite faces and {sizes.mobile_ions} {mobile} or more"
    asked = repetitions(atoms, mobile, sizes.smallest_A, sizes.mobile_ions)
    if asked == (1, 1, 1):
        return asked, f"{len(atoms)} atoms: the cell is large enough for {wanted}"
    # Where that is too many atoms, the widest cell of those that are not.
    widths = np.arange(sizes.smallest_A, 0.0, -_STEP_A)
    smaller = (repetitions(atoms, mobile, width, 1) for width in widths)
    times = next((one for one in (asked, *smaller) if len(atoms) * math.prod(one) <= sizes.most_atoms), (1, 1, 1))
    count = len(atoms) * math.prod(times)
    if times == asked:
        return times, f"{count} atoms, for {wanted}"
    return times, f"{count} atoms; {list(asked)}, {len(atoms) * math.prod(asked)} atoms, would have {wanted}"


def choose_engine(atoms: Atoms, machine: Machine) -> tuple[CommonSettings, str]:
    """Return the settings of the reference engine that suits a machine among those that are there, and why it does."""
    from ...labelling.registry import DEFAULT_ENGINE, default_settings

    there = list(_usable(atoms))
    first_principles = [one for one in there if knows_k_points(one[0])]
    quick = [one for one in there if one[0].engine == DEFAULT_ENGINE]
    order = (first_principles, quick) if machine is Machine.CLUSTER else (quick, first_principles)
    chosen = next(((*one[0], number) for number, one in enumerate(order) if one), None)
    if chosen is None:
        settings = default_settings()
        return settings, "no engine was found here: `ionloop doctor` tells how to get one"
    settings, version, number = chosen
    if settings.engine != DEFAULT_ENGINE:
        return settings, f"computes every label; found here: {version}"
    advice = "no density-functional code was found here" if machine is Machine.CLUSTER and number else "quick to try"
    return settings, f"computes every label; found here: {version}, {advice}"


def knows_k_points(settings: CommonSettings) -> bool:
    """Return whether an engine is one of density-functional theory: it can be told to take Γ alone."""
    return type(settings).at_gamma is not CommonSettings.at_gamma


def _usable(atoms: Atoms) -> Iterator[tuple[CommonSettings, str]]:
    """Yield the settings and versions of the engines that are there and run by their defaults."""
    from pydantic import ValidationError

    from ...labelling.registry import ENGINES, read_settings

    for engine in ENGINES.kinds:
        try:
            settings = read_settings({"engine": engine.name})
        except ValidationError:  # it needs what only the user knows
            continue
        try:
            probe = engine.probe(settings)
            usable = probe.found and engine.smoke_settings() is not None and engine.objection(atoms, settings) is None
        # Somebody else's engine may fail in any way.
        except (Exception, SystemExit):
            continue
        if usable:
            # Some tell every library that they are built with.
            yield settings, f"{engine.name} {shorten(probe.version, _LONGEST_VERSION, placeholder=' ...')}"


def _charges_problem(atoms: Atoms) -> str:
    """Return why the elements have no formal charges, empty if they have."""
    try:
        formal_charges(atoms.get_chemical_symbols())
    except UnknownChargesError as error:
        return str(error)
    return ""


def _models(problem: str) -> list[str]:
    if problem:
        return [_line("models: [gap]", f"without electrostatics: {problem}")]
    return [_line("models: [gap, es-gap]", "fitted to the same data; ES-GAP stands on electrostatics")]


def _initial(machine: Machine, problem: str) -> list[str]:
    """Return how the first configurations are made: without charges no ions are moved to other sites."""
    lines = []
    if machine is Machine.LAPTOP:
        lines += [f"  {_INITIAL_OF_LAPTOP}", *([] if problem else [f"  {_MOVES_OF_LAPTOP}"])]
    if problem:
        lines.append("  lithium_monte_carlo: {count: 0}")
    return ["initial:                        # what the first labels are of", *lines] if lines else []
