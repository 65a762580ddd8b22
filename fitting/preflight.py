"""What would make a fit fail hours later, found before it starts: bad data, little memory, little time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase.data import chemical_symbols

from ..core.errors import InputError
from ..core.structures import structure_hash
from .data_sets import DataSet, LabelledConfiguration
from .gap_fit import FitLimits, TargetCounts, effective_regularisation, expected_counts, find_executable
from .settings import NATIVE_SPARSE_METHODS, GapSettings, SoapSettings

_SHOWN_PER_PROBLEM = 5
_BYTES_PER_REAL = 8
_DERIVATIVES_PER_ATOM = 9
_CONTROL_GROUPS = Path("/sys/fs/cgroup")

SECONDS_PER_DESCRIPTOR_DERIVATIVE = 3.2e-8
"""Time per component of a descriptor's derivative (s): gap_fit 0.10.3, one core of a Xeon server."""
SECONDS_PER_COVARIANCE_TERM = 1.7e-9
"""Time per component of a descriptor's derivative and sparse point (s), measured likewise."""
SECONDS_PER_FACTORISATION_TERM = 4.0e-11
"""Time per row of the linear system and squared number of sparse points (s), measured likewise."""
TIME_UNCERTAINTY_FACTOR = 6.0
"""By how much other machines were seen to be faster: a fit is refused only if it would be too slow there too."""


class PreflightError(InputError):
    """The fit would fail; ``problems`` says why, all at once."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        listed = "\n".join(f"  - {problem}" for problem in self.problems)
        super().__init__(f"the fit cannot be started:\n{listed}")


@dataclass(frozen=True)
class DescriptorCount:
    """Size of one descriptor in a fit.

    Attributes
    ----------
    name
        What it describes.
    components
        Components of one descriptor.
    instances
        Descriptors in the data set.
    derivatives
        Derivatives of descriptors with respect to atomic coordinates.
    sparse_points
        Sparse points that the data allow.
    """

    name: str
    components: int
    instances: int
    derivatives: int
    sparse_points: int


@dataclass(frozen=True)
class FitCost:
    """What a fit needs: memory (bytes, gap_fit's own formula), time (s, a rough estimate for one thread).

    ``pairs`` and ``triplets`` are those of elements that occur within their cutoffs.
    """

    descriptors: tuple[DescriptorCount, ...]
    pairs: tuple[tuple[str, str], ...]
    triplets: tuple[tuple[str, ...], ...]
    targets: TargetCounts
    memory_bytes: int
    time_s: float

    @property
    def sparse_points(self) -> int:
        """Columns of the linear system."""
        return sum(descriptor.sparse_points for descriptor in self.descriptors)


def estimate_cost(data_set: DataSet, settings: GapSettings) -> FitCost:
    """Return memory and time of a fit and the pairs of elements that occur within the pair cutoff.

    Memory follows the estimate that gap_fit prints. A descriptor of d components with n instances and n'
    derivatives takes 8 d (n + n') bytes; the covariances of M sparse points and R target values take 8 M R,
    and later 8 (2 M R + M² + 2 M (R + M)) without the descriptors. n' is nine per instance and neighbour, the
    atom itself included; for a pair 18; every pair counts twice. Time is the sum of d n', d n' M and R M²,
    each with a measured factor.
    """
    neighbours, pair_counts = _count_neighbours(data_set, settings)
    descriptors = []
    if settings.two_body is not None:
        for (first, second), n_pairs in sorted(pair_counts.items()):
            points = min(settings.two_body.sparse_points, n_pairs)
            name, derivatives = f"pair {first}-{second}", 2 * _DERIVATIVES_PER_ATOM * n_pairs
            descriptors.append(DescriptorCount(name, 1, n_pairs, derivatives, points))
    triplet_counts = _count_triplets(data_set, settings)
    for triplet, n_triplets in sorted(triplet_counts.items()):
        assert settings.three_body is not None
        points = min(settings.three_body.sparse_points, n_triplets)
        derivatives = 3 * _DERIVATIVES_PER_ATOM * n_triplets
        descriptors.append(DescriptorCount(f"triplet {'-'.join(triplet)}", 3, n_triplets, derivatives, points))
    components = soap_components(settings.soap, len(data_set.elements))
    for element in data_set.elements:
        n_atoms = sum(one.atoms.symbols.count(element) for one in data_set.fitted_configurations)
        points = min(settings.soap.sparse_points, n_atoms)
        derivatives = _DERIVATIVES_PER_ATOM * (neighbours[element] + n_atoms)
        descriptors.append(DescriptorCount(f"soap {element}", components, n_atoms, derivatives, points))
    targets = expected_counts(data_set)
    columns = sum(descriptor.sparse_points for descriptor in descriptors)
    rows = targets.total
    held = sum(item.components * (item.instances + item.derivatives) for item in descriptors)
    while_building = held + columns * rows
    while_solving = 2 * columns * rows + columns**2 + 2 * columns * (rows + columns)
    derivative_terms = sum(item.components * item.derivatives for item in descriptors)
    covariance_terms = sum(item.components * item.derivatives * item.sparse_points for item in descriptors)
    return FitCost(
        descriptors=tuple(descriptors),
        pairs=tuple(sorted(pair_counts)),
        triplets=tuple(sorted(triplet_counts)),
        targets=targets,
        memory_bytes=_BYTES_PER_REAL * max(while_building, while_solving),
        time_s=derivative_terms * SECONDS_PER_DESCRIPTOR_DERIVATIVE
        + covariance_terms * SECONDS_PER_COVARIANCE_TERM
        + (rows + columns) * columns**2 * SECONDS_PER_FACTORISATION_TERM,
    )


def soap_components(settings: SoapSettings, n_elements: int) -> int:
    """Return the length of a SOAP vector: (l_max + 1) K (K + 1) / 2 + 1 with K = n_max times the elements."""
    channels = settings.n_max * n_elements
    return (settings.l_max + 1) * channels * (channels + 1) // 2 + 1


def _count_neighbours(data_set: DataSet, settings: GapSettings) -> tuple[dict[str, int], dict[tuple[str, str], int]]:
    """Return neighbours in the SOAP cutoff by central element, and ordered pairs in the pair cutoff."""

    from ase.neighborlist import neighbor_list
    from matscipy.neighbours import neighbour_list

    soap_cutoff_A = settings.soap.cutoff_A
    pair_cutoff_A = settings.two_body.cutoff_A if settings.two_body is not None else 0.0
    cutoff_A = max(soap_cutoff_A, pair_cutoff_A)
    neighbours: dict[str, int] = defaultdict(int)
    pairs: dict[tuple[str, str], int] = defaultdict(int)
    for configuration in data_set:
        symbols = np.array(configuration.atoms.get_chemical_symbols())
        # matscipy's list is thirty times faster, but wants a cell.
        find_neighbours = neighbour_list if configuration.atoms.pbc.all() else neighbor_list
        centres, others, distances = find_neighbours("ijd", configuration.atoms, cutoff_A)
        for element in np.unique(symbols):
            neighbours[element] += int(np.sum((symbols[centres] == element) & (distances < soap_cutoff_A)))
        inside = distances < pair_cutoff_A
        names, counts = np.unique(
            np.sort(np.column_stack([symbols[centres[inside]], symbols[others[inside]]]), axis=1),
            axis=0,
            return_counts=True,
        )
        for (first, second), count in zip(names, counts, strict=True):
            pairs[str(first), str(second)] += int(count)
    return neighbours, dict(pairs)


def _count_triplets(data_set: DataSet, settings: GapSettings) -> dict[tuple[str, ...], int]:
    """Return how many descriptors of each triplet there are; of angle_3b the central element comes first."""
    if settings.three_body is None:
        return {}
    # Compiled code, which fits without triplets need not load.
    from .native.environments import find_pairs
    from .native.sparse_fit.design import Descriptors
    from .native.three_body.triplets import find_triplets, triplet_keys

    central = settings.three_body.triplet_descriptor == "angle_3b"
    descriptors = Descriptors.of(data_set.elements, settings)
    counts: dict[tuple[str, ...], int] = defaultdict(int)
    for configuration in data_set:
        numbers = configuration.atoms.numbers.astype(np.int64)
        pairs = find_pairs(configuration.atoms, settings.three_body.cutoff_A)
        for key in triplet_keys(descriptors.species, central=central):
            found = len(find_triplets(descriptors.triplets(key), pairs, numbers, np.arange(len(numbers))))
            if found:
                counts[tuple(chemical_symbols[number] for number in key)] += found * (2 if central else 1)
    return dict(counts)


def available_memory_bytes() -> int:
    """Return the memory that a new process can have (bytes): free, and left in the control groups."""

    import psutil

    return min([int(psutil.virtual_memory().available), *_left_in_control_groups()])


def _left_in_control_groups() -> Iterator[int]:
    """Yield what each control group above this process has left (bytes); queueing systems limit jobs so."""
    try:
        own = Path("/proc/self/cgroup").read_text().rpartition("::")[2].strip()
    except OSError:
        return
    group = _CONTROL_GROUPS / own.lstrip("/")
    for folder in (group, *group.parents):
        try:
            limit = int((folder / "memory.max").read_text())
            used = int((folder / "memory.current").read_text())
            statistics = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
        except (OSError, ValueError):
            continue  # not a control group, or "max": no limit
        # File caches count as used, but are given up when memory is wanted.
        yield max(limit - used + int(statistics.get("inactive_file", 0)), 0)


def check_fit(data_set: DataSet, settings: GapSettings, limits: FitLimits) -> FitCost:
    """Return what a fit will cost, after checking that it can succeed.

    Raises
    ------
    PreflightError
        If it cannot; every reason is given.
    """
    problems = _problems(data_set, settings)
    parts = (settings.soap, settings.two_body, settings.three_body)
    methods = {part.sparse_method for part in parts if part is not None}
    for method in sorted(methods & NATIVE_SPARSE_METHODS):
        problems.append(f"gap_fit has no sparse_method {method}; choose another one, or the native backend")
    try:
        find_executable(limits.executable)
    except InputError as error:
        problems.append(str(error))
    if len(data_set) == 0 or not all(_is_finite(configuration) for configuration in data_set):
        # Neighbours of atoms that are nowhere cannot be counted.
        raise PreflightError(problems)
    cost = estimate_cost(data_set, settings)
    problems.extend(_cost_problems(cost, limits))
    if problems:
        raise PreflightError(problems)
    return cost


def check_labels(data_set: DataSet) -> None:
    """Check what any model needs of its data: labels that are numbers, each once, and the isolated atoms.

    Raises
    ------
    PreflightError
        If it is not there; every reason is given.
    """
    problems = list(_data_problems(data_set))
    if problems:
        raise PreflightError(problems)


def check_data(data_set: DataSet, settings: GapSettings) -> None:
    """Check what any fit of a GAP to these data needs, whatever computes it.

    Raises
    ------
    PreflightError
        If it is not there; every reason is given.
    """
    problems = _problems(data_set, settings)
    if problems:
        raise PreflightError(problems)


def _problems(data_set: DataSet, settings: GapSettings) -> list[str]:
    found = [*_data_problems(data_set), *_regularisation_problems(data_set, settings)]
    return [*found, *_core_problems(data_set, settings)]


def _core_problems(data_set: DataSet, settings: GapSettings) -> Iterator[str]:
    if settings.core is None:
        return
    # Compiled code, which fits without a core need not load.
    from .cores import core_of, unknown_to_core

    core = core_of(settings)
    unknown = [] if core is None else unknown_to_core(core, data_set.elements)
    if unknown:
        yield (
            f"the core (gap.core) has nothing for {', '.join(unknown)}, which the data contain; QUIP would pass over "
            "them in silence: add a per_type_data of each, and its pairs, or leave the core out"
        )


def _data_problems(data_set: DataSet) -> Iterator[str]:
    if len(data_set) == 0:
        yield "the data set is empty; label at least one configuration"
    energies = data_set.isolated_atom_energies
    missing = [element for element in data_set.elements if element not in energies]
    if missing:
        yield (
            f"isolated-atom energies are missing for {', '.join(missing)}; gap_fit would take them as zero; "
            "compute them with the engine that labelled the configurations"
        )
    not_finite = [element for element, energy in energies.items() if not np.isfinite(energy)]
    if not_finite:
        yield f"isolated-atom energies of {', '.join(not_finite)} are not finite; compute them again"
    broken = [item.identifier for item in data_set if not _is_finite(item)]
    if broken:
        yield f"positions, cell or labels are not finite numbers in {_listed(broken)}; remove or relabel them"
    flat = [item.identifier for item in data_set if item.stress is not None and item.atoms.cell.rank < 3]
    if flat:
        yield f"a stress is given, but the cell has no volume, in {_listed(flat)}; leave the stress out"
    empty = [item.identifier for item in data_set if item.n_atoms == 0]
    if empty:
        yield f"no atoms in {_listed(empty)}; remove them"
    for word, groups in (
        ("the same structure is there more than once", _groups(data_set, by_structure=True)),
        ("the same identifier is used more than once", _groups(data_set, by_structure=False)),
    ):
        if groups:
            yield f"{word}: {_listed([' = '.join(group) for group in groups])}; keep one of each"


def _is_finite(configuration: LabelledConfiguration) -> bool:
    stress = np.zeros(6) if configuration.stress is None else configuration.stress
    forces = np.zeros(0) if configuration.forces is None else configuration.forces[configuration.fitted_forces]
    arrays = (configuration.atoms.positions, configuration.atoms.cell.array, forces, stress)
    return bool(np.isfinite(configuration.energy)) and all(bool(np.isfinite(array).all()) for array in arrays)


def _groups(data_set: DataSet, *, by_structure: bool) -> list[list[str]]:
    """Return the identifiers of configurations that share their structure (or their identifier)."""
    groups: dict[object, list[str]] = defaultdict(list)
    for configuration in data_set:
        if by_structure and not _is_finite(configuration):
            continue
        key = structure_hash(configuration.atoms) if by_structure else configuration.identifier
        groups[key].append(configuration.identifier)
    return [group for group in groups.values() if len(group) > 1]


def _regularisation_problems(data_set: DataSet, settings: GapSettings) -> Iterator[str]:
    """Yield what validation of the settings cannot see: values put in behind it, absent elements."""
    unusable, unknown = set(), set()
    for configuration in data_set.fitted_configurations:
        sigma = effective_regularisation(configuration, settings)
        values = {
            "energy_eV_per_atom": sigma.energy_eV_per_atom,
            "force_eV_per_A": sigma.force_eV_per_A,
            "virial_eV_per_atom": sigma.virial_eV_per_atom,
            **{f"force_by_element_eV_per_A.{key}": v for key, v in sigma.force_by_element_eV_per_A.items()},
        }
        for name, value in values.items():
            if not (np.isfinite(value) and value > 0):
                unusable.add(f"{name} = {value:g} (config_type {configuration.config_type!r})")
        unknown.update(set(sigma.force_by_element_eV_per_A) - set(data_set.elements))
    if unusable:
        yield f"regularisation must be positive and finite: {_listed(sorted(unusable))}"
    if unknown:
        yield (
            f"force_by_element_eV_per_A names {', '.join(sorted(unknown))}, which the data do not contain "
            f"(they contain {', '.join(data_set.elements)}); remove it"
        )


def _cost_problems(cost: FitCost, limits: FitLimits) -> Iterator[str]:
    available = limits.memory_bytes if limits.memory_bytes is not None else available_memory_bytes()
    if cost.memory_bytes > available:
        yield (
            f"the fit needs about {cost.memory_bytes / 1e9:.2g} GB of memory, "
            f"{available / 1e9:.2g} GB are available; use fewer configurations, a smaller soap.cutoff_A, "
            "n_max or l_max, or a larger machine"
        )
    if limits.wall_time_s is not None and cost.time_s / limits.threads > (TIME_UNCERTAINTY_FACTOR * limits.wall_time_s):
        yield (
            f"the fit takes about {cost.time_s / limits.threads:.2g} s, its wall-time limit is "
            f"{limits.wall_time_s:g} s; raise the limit or use fewer configurations or sparse points"
        )
    if all(item.derivatives == _DERIVATIVES_PER_ATOM * item.instances for item in cost.descriptors):
        yield "no two atoms lie within a cutoff of each other; check the cells and the unit of length (Å)"


def _listed(items: Sequence[str]) -> str:
    shown = ", ".join(items[:_SHOWN_PER_PROBLEM])
    rest = len(items) - _SHOWN_PER_PROBLEM
    return f"{shown} and {rest} more" if rest > 0 else shown
