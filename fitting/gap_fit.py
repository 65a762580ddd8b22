"""gap_fit as a subprocess: its command line, its run, its log and its failures.

Nothing here imports QUIP; the executable comes with the package ``quippy-ase``. Formats and options are those
of version 0.10.3.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from ase.data import atomic_numbers

from ..core.errors import InputError, IonloopError
from .data_sets import DEFAULT_KEYS, DataSet, LabelledConfiguration, LabelWeights, format_extxyz
from .quip import QuipMissing, QuipState, find_quip
from .settings import GapSettings, Regularisation, SoapSettings, ThreeBodySettings, TwoBodySettings

if TYPE_CHECKING:
    from .native.sparse_fit.fit_inputs import ProgressCallback

POTENTIAL_FILE = "gap.xml"
TARGETS_FILE = "targets.xyz"
CORE_FILE = "core.xml"
LOG_FILE = "gap_fit.log"
POTENTIAL_LABEL = "ionloop_gap"
_MAX_RANDOM_SEED = 2**31 - 1
_WRAPPER_BYTES = 2000
_LOG_LINES_IN_ERROR = 15


class GapFitError(IonloopError):
    """gap_fit failed; the message says why, as far as its log tells."""


@dataclass(frozen=True)
class FitLimits:
    """What a fit may use.

    Attributes
    ----------
    wall_time_s
        gap_fit is killed after this time (s); None means no limit.
    memory_bytes
        The preflight refuses fits that need more (bytes); None means what the machine has free.
    threads
        OpenMP threads; with one, equal inputs give equal bytes.
    executable
        The gap_fit program; None looks for it.
    cache_folder
        Where the native fitter keeps rows for later fits; None keeps none.
    progress
        Told how far a fit of ionloop's own is, if anybody is to know.
    """

    wall_time_s: float | None = None
    memory_bytes: int | None = None
    threads: int = 1
    executable: Path | None = None
    cache_folder: Path | None = None
    progress: ProgressCallback | None = None


@dataclass(frozen=True)
class TargetCounts:
    """Numbers of scalar target values in a fit."""

    energies: int
    forces: int
    virials: int

    @property
    def total(self) -> int:
        """Rows of the linear system."""
        return self.energies + self.forces + self.virials


@dataclass(frozen=True)
class GapFitRun:
    """What a finished run of gap_fit left behind."""

    command: tuple[str, ...]
    counts: TargetCounts
    wall_time_s: float


def expected_counts(data_set: DataSet) -> TargetCounts:
    """Return how many target values gap_fit has to find in the data set's file."""
    fitted = data_set.fitted_configurations
    return TargetCounts(
        energies=len(fitted),
        forces=3 * sum(int(configuration.fitted_forces.sum()) for configuration in fitted),
        virials=6 * sum(configuration.stress is not None for configuration in fitted),
    )


def find_executable(explicit: Path | None = None) -> Path:
    """Return the gap_fit program: the given one, the one inside quippy, beside this Python, or on the PATH.

    The program inside quippy goes before its Python wrapper of the same name, because a wrapper that is
    killed leaves the program running.

    Raises
    ------
    InputError
        If the given one is none.
    QuipMissing
        If there is none.
    """
    if explicit is not None:
        if _is_executable(explicit):
            return explicit
        raise InputError(f"gap_fit executable {explicit} does not exist or cannot be executed")
    specification = importlib.util.find_spec("quippy")
    folders = [Path(folder) for folder in (specification.submodule_search_locations or ())] if specification else []
    folders.append(Path(sys.executable).parent)
    for folder in folders:
        if _can_run(folder / "gap_fit"):
            return folder / "gap_fit"
    on_path = shutil.which("gap_fit")
    if on_path is None or not _can_run(Path(on_path)):
        raise QuipMissing(
            f"no gap_fit executable: looked in {', '.join(map(str, folders))} and on the PATH; "
            "install it with `pip install quippy-ase` (its licence is for academic use), or leave the backend at "
            "native: the same model, without it"
        )
    return Path(on_path)


def _can_run(path: Path) -> bool:
    """Say whether a gap_fit is a program; quippy's Python wrapper is one only where quippy can be imported."""
    if not _is_executable(path):
        return False
    with open(path, "rb") as file:
        is_wrapper = b"quippy" in file.read(_WRAPPER_BYTES)
    return not is_wrapper or find_quip().state is QuipState.PRESENT


def _is_executable(path: Path) -> bool:
    return path.is_file() and os.access(path, os.X_OK)


def effective_regularisation(configuration: LabelledConfiguration, settings: GapSettings) -> Regularisation:
    """Return the expected errors of one configuration: its own, or those of its type, or the general ones."""
    return configuration.regularisation or settings.regularisation_for(configuration.config_type)


@dataclass(frozen=True, eq=False)
class LabelSigmas:
    """Standard deviations that the labels of one configuration are fitted with.

    Attributes
    ----------
    energy_eV
        Of the total energy (eV).
    forces_eV_per_A
        Of the force components (eV/Å), shape [n_atoms, 3].
    virial_eV
        Of the virial's components (eV), shape [3, 3].
    """

    energy_eV: float
    forces_eV_per_A: np.ndarray
    virial_eV: np.ndarray


def label_sigmas(configuration: LabelledConfiguration, settings: GapSettings) -> LabelSigmas:
    """Return the standard deviations of a configuration's labels: its own weights, or those of its regularisation.

    Those of energy and virial in a regularisation grow with the square root of the number of atoms; weights are
    absolute. The most special goes first: a component's, its atom's, its frame's, its element's, the general one.
    """
    own = configuration.weights or LabelWeights()
    sigma = effective_regularisation(configuration, settings)
    scale = float(np.sqrt(configuration.n_atoms))
    forces = own.atom_force_eV_per_A
    if forces is None:
        by_atom = [sigma.force_sigma_eV_per_A(symbol) for symbol in configuration.atoms.symbols]
        frame = own.force_eV_per_A
        forces = np.repeat(np.array(by_atom if frame is None else [frame] * len(by_atom))[:, None], 3, axis=1)
    virial = own.component_virial_eV
    if virial is None:
        virial = np.full((3, 3), sigma.virial_eV_per_atom * scale if own.virial_eV is None else own.virial_eV)
    energy = sigma.energy_eV_per_atom * scale if own.energy_eV is None else own.energy_eV
    return LabelSigmas(energy, forces, virial)


def format_targets(data_set: DataSet, settings: GapSettings) -> str:
    """Return the file that gap_fit reads: labels and, per configuration, their standard deviations."""
    return "".join(_format_target(configuration, settings) for configuration in data_set.fitted_configurations)


def _format_target(configuration: LabelledConfiguration, settings: GapSettings) -> str:
    sigmas = label_sigmas(configuration, settings)
    force_sigma, virial_sigma = float(sigmas.forces_eV_per_A.flat[0]), float(sigmas.virial_eV.flat[0])
    unfitted = None if configuration.weights is None else configuration.weights.unfitted_forces
    weights = LabelWeights(
        energy_eV=sigmas.energy_eV,
        force_eV_per_A=force_sigma,
        virial_eV=virial_sigma,
        atom_force_eV_per_A=None if (sigmas.forces_eV_per_A == force_sigma).all() else sigmas.forces_eV_per_A,
        component_virial_eV=None if (sigmas.virial_eV == virial_sigma).all() else sigmas.virial_eV,
        unfitted_forces=None if configuration.forces is None else unfitted,
    )
    return format_extxyz(replace(configuration, weights=weights, regularisation=None))


def descriptor_strings(elements: Sequence[str], groups: Iterable[tuple[str, ...]], settings: GapSettings) -> list[str]:
    """Return gap_fit's descriptors, one per pair and triplet of elements and one per central element.

    ``groups`` are the pairs and triplets that occur within their cutoffs, of ``angle_3b`` the central element first:
    gap_fit aborts on one without data, which its own expansion (``add_species``) cannot leave out.
    """
    groups = list(groups)
    numbers = sorted(atomic_numbers[symbol] for symbol in elements)
    strings: list[str] = []
    if settings.two_body is not None:
        pair_numbers = sorted(
            {tuple(sorted(atomic_numbers[symbol] for symbol in pair)) for pair in groups if len(pair) == 2}
        )
        strings.extend(_two_body_string(settings.two_body, *pair) for pair in pair_numbers)
    if settings.three_body is not None:
        triplets = sorted(tuple(atomic_numbers[symbol] for symbol in group) for group in groups if len(group) == 3)
        strings.extend(_three_body_string(settings.three_body, *triplet) for triplet in triplets)
    strings.extend(_soap_string(settings.soap, number, numbers) for number in numbers)
    return strings


def _two_body_string(settings: TwoBodySettings, first: int, second: int) -> str:
    return (
        f"distance_2b cutoff={settings.cutoff_A!r} cutoff_transition_width={settings.transition_width_A!r} "
        f"covariance_type=ard_se delta={settings.delta_eV!r} theta_uniform={settings.length_scale_A!r} "
        f"n_sparse={settings.sparse_points} sparse_method={settings.sparse_method} Z1={first} Z2={second} add_species=F"
    )


def _three_body_string(settings: ThreeBodySettings, first: int, second: int, third: int) -> str:
    # Braces inside the braces of gap={...} count only when they are doubled.
    form, numbers = "distance_Nb order=3 compact_clusters=T", f"Z={{{{{first} {second} {third}}}}}"
    if settings.triplet_descriptor == "angle_3b":
        form, numbers = "angle_3b", f"Z={first} Z1={second} Z2={third}"
    return (
        f"{form} cutoff={settings.cutoff_A!r} cutoff_transition_width={settings.transition_width_A!r} "
        f"covariance_type=ard_se delta={settings.delta_eV!r} theta_uniform={settings.length_scale_A!r} "
        f"n_sparse={settings.sparse_points} sparse_method={settings.sparse_method} {numbers} add_species=F"
    )


def _soap_string(settings: SoapSettings, centre: int, numbers: Sequence[int]) -> str:
    return (
        f"soap n_max={settings.n_max} l_max={settings.l_max} atom_sigma={settings.atom_sigma_A!r} "
        f"cutoff={settings.cutoff_A!r} cutoff_transition_width={settings.transition_width_A!r} "
        f"zeta={settings.zeta} covariance_type=dot_product delta={settings.delta_eV!r} "
        f"n_sparse={settings.sparse_points} sparse_method={settings.sparse_method} "
        # Braces inside the braces of gap={...} count only when they are doubled.
        f"n_species={len(numbers)} Z={centre} species_Z={{{{{' '.join(map(str, numbers))}}}}} add_species=F"
    )


def build_arguments(
    data_set: DataSet, groups: Iterable[tuple[str, ...]], settings: GapSettings, seed: int
) -> list[str]:
    """Return gap_fit's arguments; file names are relative to the folder that it runs in.

    ``groups`` are the pairs and triplets that occur. Energies of isolated atoms are given for every element: gap_fit
    takes zero for one left out and says nothing. A core is taken off the labels by gap_fit, not off these energies.
    """
    from .cores import core_of, isolated_energies_above

    elements = data_set.elements
    isolated = isolated_energies_above(core_of(settings), data_set.isolated_atom_energies)
    sigma = settings.regularisation
    sigmas = (sigma.energy_eV_per_atom, sigma.force_eV_per_A, sigma.virial_eV_per_atom, 0.0)
    descriptors = " : ".join(descriptor_strings(elements, groups, settings))
    energies = ":".join(f"{symbol}:{isolated[symbol]!r}" for symbol in elements)
    return [
        f"at_file={TARGETS_FILE}",
        f"gap={{{descriptors}}}",
        f"e0={{{energies}}}",
        f"default_sigma={{{' '.join(map(repr, sigmas))}}}",
        f"energy_parameter_name={DEFAULT_KEYS.energy}",
        f"force_parameter_name={DEFAULT_KEYS.forces}",
        f"virial_parameter_name={DEFAULT_KEYS.virial}",
        f"sparse_jitter={settings.sparse_jitter!r}",
        # Zero and negative seeds mean "take the clock".
        f"rnd_seed={1 + seed % _MAX_RANDOM_SEED}",
        f"gp_file={POTENTIAL_FILE}",
        "do_copy_at_file=F",
        "sparse_separate_file=T",
        *([f"core_param_file={CORE_FILE}", "core_ip_args={IP Glue}"] if settings.core is not None else ()),
    ]


# Asks Linux to kill the process as soon as its parent dies, then becomes gap_fit. Doing this in a new
# interpreter instead of between fork and exec keeps it safe in programs with threads.
_DIE_WITH_PARENT = """
import ctypes, os, sys
ctypes.CDLL(None).prctl(1, 9, 0, 0, 0)
if os.getppid() != int(sys.argv[1]):
    sys.exit("parent is gone")
os.execv(sys.argv[2], sys.argv[2:])
"""


def run_gap_fit(folder: Path, arguments: Sequence[str], limits: FitLimits) -> float:
    """Run gap_fit in a folder, its output going to ``gap_fit.log`` there; return the wall time (s).

    The process gets a group of its own and ends with this one, however that ends.

    Raises
    ------
    InputError
        If there is no executable.
    GapFitError
        If gap_fit fails, is killed or runs out of time.
    """
    executable = str(find_executable(limits.executable).resolve())
    command = [executable, *arguments]
    if sys.platform == "linux":
        command = [sys.executable, "-I", "-S", "-c", _DIE_WITH_PARENT, str(os.getpid()), *command]
    log = folder / LOG_FILE
    start = time.monotonic()
    with open(log, "wb") as stream:
        process = subprocess.Popen(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            env={**os.environ, "OMP_NUM_THREADS": str(limits.threads)},
            start_new_session=True,
        )
        try:
            status = process.wait(timeout=limits.wall_time_s)
        except subprocess.TimeoutExpired:
            raise GapFitError(
                f"gap_fit was stopped at its wall-time limit of {limits.wall_time_s:g} s; "
                "raise the limit, or use fewer configurations or sparse points"
            ) from None
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
    if status != 0 or not (folder / POTENTIAL_FILE).is_file():
        raise GapFitError(explain_failure(status, read_log(log)))
    return time.monotonic() - start


def read_log(path: Path) -> str:
    """Return gap_fit's log; its messages are padded with thousands of blanks, which are taken out."""
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    return "\n".join(line.rstrip() for line in lines)


_EXPLANATIONS: tuple[tuple[str, str], ...] = (
    (
        r"not found corresponding isolated representative|Determination of e0",
        "the energy of an isolated atom is missing for an element; give one for every element",
    ),
    (r"No space left on device", "the disk is full; free some space"),
    (
        r"could not be found|malformed XYZ|xyz_find_frames|unexpected end of file",
        "it cannot read its input file",
    ),
    (
        r"not positive.definite|dpotrf|Cholesky|LA_Matrix_Factorise",
        "a covariance matrix is not positive definite; raise sparse_jitter or remove near-duplicates",
    ),
    (
        r"select_uniform: Descriptor is too large",
        "no atoms of one kind of pair or triplet lie within the cutoff; raise two_body.cutoff_A or three_body.cutoff_A",
    ),
    (
        r"failed to parse gap string|missing mandatory parameter|string_to_logical|could not convert",
        "it does not understand its options; its version may not be the supported one",
    ),
    (
        r"Error allocating|Allocation would exceed|[Oo]ut of memory|Cannot allocate|ALLOCATE",
        "it ran out of memory; use fewer configurations or sparse points, or a smaller cutoff",
    ),
)


def explain_failure(status: int, log: str) -> str:
    """Return what went wrong, in words, followed by the last lines of the log.

    ``status`` is the exit status as Python reports it: negative for a signal.
    """
    tail = "\n".join([line for line in log.splitlines() if line.strip()][-_LOG_LINES_IN_ERROR:])
    reason = next((text for pattern, text in _EXPLANATIONS if re.search(pattern, log)), None)
    if status == -signal.SIGKILL:
        reason = (
            "it was killed from outside, most likely for using too much memory; use fewer configurations "
            "or sparse points, or a smaller cutoff"
        )
    elif status < 0:
        reason = reason or f"it was ended by signal {-status} ({signal.Signals(-status).name})"
    elif status == 0:
        reason = reason or "it ended normally but wrote no potential; the disk may be full"
    reason = reason or f"it ended with exit status {status}"
    return f"gap_fit failed: {reason}\nLast lines of its log:\n{tail or '(the log is empty)'}"


def parse_counts(log: str) -> TargetCounts:
    """Return the numbers of target values that gap_fit reports to have found.

    Raises
    ------
    GapFitError
        If the report is not in the log.
    """
    numbers = []
    for name in ("energies", "forces", "virials"):
        match = re.search(rf"Number of target {name} \(property name: .*\) found:\s*(\d+)", log)
        if match is None:
            raise GapFitError(f"gap_fit's log does not say how many target {name} it found; its version may differ")
        numbers.append(int(match[1]))
    return TargetCounts(*numbers)


def check_counts(found: TargetCounts, expected: TargetCounts) -> None:
    """Raise GapFitError if gap_fit did not use all the data (or more than them)."""
    differences = [
        f"{name}: {getattr(found, name)} found, {getattr(expected, name)} in the data set"
        for name in ("energies", "forces", "virials")
        if getattr(found, name) != getattr(expected, name)
    ]
    if differences:
        raise GapFitError("gap_fit did not use the data it was given: " + "; ".join(differences))


def make_relocatable(folder: Path, label: str = POTENTIAL_LABEL) -> None:
    """Give the potential's files names without date or path, so that the folder can be moved.

    gap_fit labels a potential with the date and names its sparse-point files after it.
    """
    potential = folder / POTENTIAL_FILE
    text = potential.read_text(encoding="utf-8")
    match = re.search(r'<GAP_params\b[^>]*\blabel="([^"]+)"', text)
    if match is None:
        raise GapFitError(f"{potential} is not a GAP: it has no GAP_params element with a label")
    old_label = match[1]
    for name in set(re.findall(r'sparseX_filename="([^"]+)"', text)):
        new_name = Path(name).name.replace(old_label, label)
        (folder / Path(name).name).replace(folder / new_name)
        text = text.replace(f'sparseX_filename="{name}"', f'sparseX_filename="{new_name}"')
    potential.write_text(text.replace(old_label, label), encoding="utf-8")


def fit_gap(
    folder: Path,
    data_set: DataSet,
    groups: Iterable[tuple[str, ...]],
    settings: GapSettings,
    *,
    seed: int,
    limits: FitLimits,
) -> GapFitRun:
    """Fit a GAP to a data set that has passed the preflight; the files appear in ``folder``.

    Raises
    ------
    GapFitError
        If gap_fit fails or its log shows that it did not use all the data.
    """
    from .cores import core_file_text, core_of

    (folder / TARGETS_FILE).write_text(format_targets(data_set, settings), encoding="utf-8")
    core = core_of(settings)
    if core is not None:
        (folder / CORE_FILE).write_text(core_file_text(core), encoding="utf-8")
    arguments = build_arguments(data_set, groups, settings, seed)
    wall_time_s = run_gap_fit(folder, arguments, limits)
    counts = parse_counts(read_log(folder / LOG_FILE))
    check_counts(counts, expected_counts(data_set))
    make_relocatable(folder)
    for index in folder.glob("*.idx"):
        index.unlink()
    return GapFitRun(("gap_fit", *arguments), counts, wall_time_s)
