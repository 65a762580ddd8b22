"""ASE calculator of GAP potentials: energies, forces, stress and predicted variance."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from ase.data import chemical_symbols
from threadpoolctl import ThreadpoolController

from ...core.arrays import BoolArray, FloatArray, IntArray
from ...core.errors import InputError, IonloopError
from ..threads import default_threads
from .covariance_sums import Precision
from .descriptor_strings import TripletDescriptor
from .gap_xml import GapModel, read_gap_xml
from .glue import GlueTerm
from .neighbours import NeighbourList, NeighbourPairs
from .scratch import Scratch
from .soap_kernels import sum_pairs
from .soap_term import VARIANCE_REGULARISATION, SoapTerm
from .three_body.terms import TripletTerm
from .two_body import PairTerm

Task = TypeVar("Task")

# More atoms per task bring nothing to the matrix products; fewer leave the work of threads uneven.
_MOST_ATOMS_PER_TASK = 192
_FEWEST_ATOMS_PER_TASK = 24
# Largest task in a small structure, in shares of one thread: products of few atoms are slow, so as few as balance.
_TASK_PER_SHARE = 1.1


@dataclass(frozen=True)
class Evaluation:
    """One evaluation of a potential.

    Attributes
    ----------
    energies
        Of each atom, eV. Shape [n_atoms].
    forces
        eV/Å. Shape [n_atoms, 3].
    virial
        -dE/dε, eV. Shape [3, 3].
    variances
        Predicted variance of each atom's energy, eV², or None. Shape [n_atoms].
    latents
        Second sums of the atoms, or None. Shape [n_atoms].
    """

    energies: FloatArray
    forces: FloatArray
    virial: FloatArray
    variances: FloatArray | None
    latents: FloatArray | None = None


@dataclass(frozen=True, eq=False)
class SecondSums:
    """A second quantity on the SOAP covariances of a potential, and what the energy depends on it for.

    Attributes
    ----------
    weights
        Weights of the sparse points of each SOAP coordinate, in the order of the potential's; each [n_points]. An
        atom's second sum is Σ_s b_s k_s with the covariance k = (p·p_s + σ0²)^ζ, without δ².
    respond
        Takes the atoms' sums [n_atoms] and returns the derivative of an energy (eV) by each of them [n_atoms].
    """

    weights: Sequence[FloatArray]
    respond: Callable[[FloatArray], FloatArray]


class NativeGapCalculator(Calculator):
    """A GAP evaluated by our own code: the numbers of QUIP, tens of times faster.

    Properties: energy, free_energy (eV), energies (eV) [n_atoms], forces (eV/Å) [n_atoms, 3], stress (eV/Å³, where
    the cell has a volume) [6], and local_variance (eV²) [n_atoms], the predicted variance of each atom's energy. A
    pure function of the atoms: equal positions give equal bits, whatever was evaluated before. May be copied and
    pickled; one instance serves one thread.

    Parameters
    ----------
    model
        A potential, or the path of its XML file.
    threads
        How many threads share the work; None takes OMP_NUM_THREADS, or 1 where it is not set.
    variance
        Compute local_variance in every evaluation, not only when asked for.
    precision
        Of the matrix products; "float32" is faster and errs by up to some 1e-4 eV/Å.
    skin_A
        How much farther than the cutoff the kept neighbour list reaches, Å; 0 finds neighbours anew.

    Raises
    ------
    InputError, IonloopError
        As `ionloop.fitting.native.gap_xml.read_gap_xml`; in a calculation
        InputError for elements the potential does not know, and for structures that make no sense.
    """

    implemented_properties: ClassVar[list[str]] = [
        "energy",
        "free_energy",
        "energies",
        "forces",
        "stress",
        "local_variance",
    ]

    def __init__(
        self,
        model: GapModel | str | Path,
        *,
        threads: int | None = None,
        variance: bool = False,
        precision: Precision = "float64",
        skin_A: float = 0.5,
    ) -> None:
        super().__init__()
        self.model = model if isinstance(model, GapModel) else read_gap_xml(model)
        self.threads = default_threads() if threads is None else int(threads)
        if self.threads < 1:
            raise InputError(f"threads is {threads}: give 1 or more, or None")
        if precision not in ("float64", "float32"):
            raise InputError(f"precision is {precision!r}: give 'float64' or 'float32'")
        self.variance = variance
        self.precision: Precision = precision
        self.skin_A = skin_A
        self._evaluator = Evaluator(self.model, threads=self.threads, precision=precision, skin_A=skin_A)

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Sequence[str] = ("energy",),
        system_changes: Sequence[str] = all_changes,
    ) -> None:
        """Evaluate everything at once; the variance where it is wanted."""
        super().calculate(atoms, list(properties), list(system_changes))
        has_volume = self.atoms.cell.rank == 3
        if "stress" in properties and not has_volume:
            raise InputError("the stress needs a cell with three lattice vectors; set atoms.cell")
        evaluation = self._evaluator.evaluate(
            self.atoms.positions,
            self.atoms.cell.array,
            self.atoms.pbc,
            self.atoms.numbers,
            variance=self.variance or "local_variance" in properties,
        )
        energy = float(evaluation.energies.sum())
        self.results = {
            "energy": energy,
            "free_energy": energy,
            "energies": evaluation.energies,
            "forces": evaluation.forces,
        }
        if has_volume:
            stress = -evaluation.virial / self.atoms.get_volume()
            stress = 0.5 * (stress + stress.T)
            self.results["stress"] = stress.ravel()[[0, 4, 8, 5, 2, 1]]
        if evaluation.variances is not None:
            self.results["local_variance"] = evaluation.variances

    def __reduce__(self) -> tuple[Any, ...]:
        """Copy by what was asked for: tables and threads are made again."""
        options = {
            "threads": self.threads,
            "variance": self.variance,
            "precision": self.precision,
            "skin_A": self.skin_A,
        }
        return _rebuild, (self.model, options)


def _rebuild(model: GapModel, options: dict[str, Any]) -> NativeGapCalculator:
    return NativeGapCalculator(model, **options)


class Evaluator:
    """Evaluates a potential for arrays; the calculator's work without ASE.

    Parameters
    ----------
    model
        The potential.
    threads, precision, skin_A
        As in `NativeGapCalculator`.
    """

    def __init__(
        self, model: GapModel, *, threads: int = 1, precision: Precision = "float64", skin_A: float = 0.0
    ) -> None:
        self.model = model
        self._pair_terms = [PairTerm(c) for c in model.coordinates if c.descriptor.kind == "distance_2b"]
        self._triplet_terms = [TripletTerm(c) for c in model.coordinates if isinstance(c.descriptor, TripletDescriptor)]
        self._soap_terms = [SoapTerm(c, precision) for c in model.coordinates if c.descriptor.kind == "soap"]
        self._core = None if model.core is None else GlueTerm(model.core)
        self._known = model.known_atomic_numbers
        self._isolated = np.zeros(120)
        for number, energy in model.isolated_atom_energies.items():
            if not 1 <= number < len(self._isolated):
                raise IonloopError(
                    f"the potential has an isolated-atom energy of element {number}, which does not exist"
                )
            self._isolated[number] = energy
        self._neighbours = NeighbourList(model.cutoff_A, skin_A)
        self._threads = threads
        self._scratches = [Scratch() for _ in range(threads)]
        self._kept_scratches: list[Scratch] = []
        self._executor = ThreadPoolExecutor(threads - 1) if threads > 1 else None
        self._blas = ThreadpoolController()
        self._uses_blas = any(term.uses_blas for term in self._soap_terms)
        self._planned: tuple[bytes, list[list[tuple[SoapTerm, IntArray]]]] | None = None

    def evaluate(
        self,
        positions: FloatArray,
        cell: FloatArray,
        pbc: BoolArray,
        numbers: IntArray,
        *,
        variance: bool = False,
        second: SecondSums | None = None,
        soap_variance: bool = False,
    ) -> Evaluation:
        """Energies, forces, virial and, if wanted, variances of a structure.

        Parameters
        ----------
        positions
            Å. Shape [n_atoms, 3].
        cell
            Rows are lattice vectors, Å. Shape [3, 3].
        pbc
            Periodic directions. Shape [3].
        numbers
            Atomic numbers. Shape [n_atoms].
        variance
            Whether to predict variances.
        second
            A second quantity that another energy depends on: forces and virial hold that energy's part which comes
            through it, energies do not.
        soap_variance
            Whether to predict the part of the variances that is SOAP's, and no other.

        Raises
        ------
        InputError
            For an unknown element or a structure that makes no sense.
        """
        numbers = np.ascontiguousarray(numbers, dtype=np.int64)
        self._check_elements(numbers)
        pairs = self._neighbours.update(positions, cell, pbc)
        energies = self._isolated[numbers]
        gradients = np.zeros((len(pairs.second), 3))
        variances = np.zeros(len(numbers)) if variance or soap_variance else None
        for pair_term in self._pair_terms:
            pair_term.add(pairs, numbers, energies, gradients)
            if variances is not None and not soap_variance:
                pair_term.add_variance(pairs, numbers, VARIANCE_REGULARISATION, variances)
        if self._triplet_terms:
            self._add_triplets(pairs, numbers, energies, gradients)
            if variances is not None and not soap_variance:
                for triplet_term in self._triplet_terms:
                    triplet_term.add_variance(pairs, numbers, VARIANCE_REGULARISATION, variances)
        with self._blas.limit(limits=1, user_api="blas") if self._uses_blas or variances is not None else nullcontext():
            if second is None:
                latents = None
                self._add_soap(pairs, numbers, energies, gradients, variances)
            else:
                latents = self._add_both(pairs, numbers, energies, gradients, variances, second)
        scale = self.model.energy_scale
        energies *= scale
        gradients *= scale
        if variances is not None:
            variances *= scale**2
        if self._core is not None:
            self._core.add(pairs, numbers, energies, gradients)
        forces, virial = np.zeros((len(numbers), 3)), np.zeros((3, 3))
        sum_pairs(pairs.starts, pairs.second, pairs.vectors, gradients, forces, virial)
        return Evaluation(energies, forces, virial, variances, latents)

    def _add_triplets(
        self, pairs: NeighbourPairs, numbers: IntArray, energies: FloatArray, gradients: FloatArray
    ) -> None:
        # What a triplet gives to its neighbours waits on the pairs, so that threads do not meet.
        pair_energies = np.zeros(len(pairs.second))

        def work(scratch: Scratch, waiting: Iterator[IntArray]) -> None:
            for atoms in waiting:
                for term in self._triplet_terms:
                    term.add(pairs, numbers, atoms, energies, pair_energies, gradients, scratch)

        self._share(work, self._chunks(np.arange(len(numbers)), len(numbers)))
        energies += np.bincount(pairs.second, pair_energies, len(numbers))

    def _add_soap(
        self,
        pairs: NeighbourPairs,
        numbers: IntArray,
        energies: FloatArray,
        gradients: FloatArray,
        variances: FloatArray | None,
    ) -> None:
        def work(scratch: Scratch, waiting: Iterator[tuple[SoapTerm, IntArray]]) -> None:
            for term, atoms in waiting:
                term.add(pairs, numbers, atoms, energies, gradients, variances, scratch)

        # Terms that share atoms write to the same pairs: where they do, one is finished before the next begins.
        for tasks in self._rounds(numbers):
            self._share(work, tasks)

    def _add_both(
        self,
        pairs: NeighbourPairs,
        numbers: IntArray,
        energies: FloatArray,
        gradients: FloatArray,
        variances: FloatArray | None,
        second: SecondSums,
    ) -> FloatArray:
        """Add energies and gradients of both quantities; return the second sums. One set of covariances serves both."""
        weights = dict(zip(map(id, self._soap_terms), second.weights, strict=True))
        rounds = self._rounds(numbers)
        tasks = [task for one in rounds for task in one]
        while len(self._kept_scratches) < len(tasks):
            self._kept_scratches.append(Scratch())
        sums = np.zeros((2, len(numbers)))
        begun: list[Any] = [None] * len(tasks)

        def begin(_: Scratch, waiting: Iterator[int]) -> None:
            for index in waiting:
                term, atoms = tasks[index]
                own = np.empty((2, len(atoms)))
                kept = self._kept_scratches[index]
                begun[index] = term.begin(pairs, numbers, atoms, own, weights[id(term)], kept)
                sums[:, atoms] += own

        def finish(_: Scratch, waiting: Iterator[int]) -> None:
            for index in waiting:
                term, atoms = tasks[index]
                kept = self._kept_scratches[index]
                term.finish(
                    pairs, numbers, atoms, begun[index], weights[id(term)], factors[atoms], gradients, variances, kept
                )

        start = 0
        for one in rounds:
            self._share(begin, range(start, start + len(one)))
            start += len(one)
        energies += sums[0]
        # What is scaled at the end is the potential's own.
        factors = second.respond(sums[1]) / self.model.energy_scale
        start = 0
        for one in rounds:
            self._share(finish, range(start, start + len(one)))
            start += len(one)
        return sums[1]

    def _share(self, work: Callable[[Scratch, Iterator[Task]], None], tasks: Sequence[Task]) -> None:
        """Do tasks on all threads, each of which takes the next one when it has finished one."""
        waiting = iter(tasks)
        others = []
        if self._executor is not None:
            others = [self._executor.submit(work, scratch, waiting) for scratch in self._scratches[1:]]
        try:
            work(self._scratches[0], waiting)
        finally:
            for other in others:
                other.result()

    def _rounds(self, numbers: IntArray) -> list[list[tuple[SoapTerm, IntArray]]]:
        """Tasks that may run at once, largest first, in rounds that must follow each other; kept for these atoms."""
        key = numbers.tobytes()
        if self._planned is None or self._planned[0] != key:
            self._planned = (key, self._planned_rounds(numbers))
        return self._planned[1]

    def _planned_rounds(self, numbers: IntArray) -> list[list[tuple[SoapTerm, IntArray]]]:
        rounds: list[list[tuple[SoapTerm, IntArray]]] = []
        taken: list[BoolArray] = []
        for term in self._soap_terms:
            atoms = term.basis.central_atoms(numbers)
            place = next((index for index, used in enumerate(taken) if not used[atoms].any()), len(rounds))
            if place == len(rounds):
                rounds.append([])
                taken.append(np.zeros(len(numbers), dtype=bool))
            taken[place][atoms] = True
            rounds[place].extend((term, part) for part in self._chunks(atoms, len(numbers)))
        for tasks in rounds:
            tasks.sort(key=lambda task: -len(task[1]))
        return rounds

    def _chunks(self, atoms: IntArray, n_atoms: int) -> list[IntArray]:
        if not len(atoms):
            return []
        size = _MOST_ATOMS_PER_TASK
        if self._threads > 1:
            share = _TASK_PER_SHARE * n_atoms / self._threads
            size = int(np.clip(share, _FEWEST_ATOMS_PER_TASK, _MOST_ATOMS_PER_TASK))
        return np.array_split(atoms, -(-len(atoms) // size))

    def _check_elements(self, numbers: IntArray) -> None:
        known = self._known
        unknown = sorted(set(np.unique(numbers).tolist()) - known)
        if not unknown or 0 in known:
            return
        names = ", ".join(chemical_symbols[n] if 0 <= n < len(chemical_symbols) else str(n) for n in unknown)
        elements = ", ".join(chemical_symbols[n] for n in sorted(known) if 0 < n < len(chemical_symbols))
        raise InputError(
            f"the potential was fitted for {elements} and knows nothing about {names}; fit one to data that contain it"
        )
