"""How new an atom's environment is to a set of sparse points, and where an alarm is to sound.

The novelty s of an environment is the deviation of its energy that the prior leaves once the energies of all sparse
points of its element are known, over the prior's own: s² = 1 - k_xM (K_MM + g²)⁻¹ k_Mx / k_xx, 0 for what the points
cover and 1 for what they know nothing of. It says what a model has not seen. It is no error bar: inside of what was
seen it orders atoms by nothing (docs/on-the-fly.md).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from ase import Atoms
from ase.data import chemical_symbols
from scipy.linalg import LinAlgError, cholesky, solve_triangular

from ...core.arrays import FloatArray, IntArray
from ...core.errors import IonloopError
from ..native.soap_term import VARIANCE_REGULARISATION
from ..native.sparse_fit.design import Descriptors, PairedAtoms, covariance, soap_descriptors
from ..native.sparse_fit.sparse_points import SparsePoints

FIRST_THRESHOLD: Final = 0.25
"""Of elements that too few configurations show for a threshold of their own."""
HIGHEST_THRESHOLD: Final = 0.45
"""Of all: novelty ends at 1, and twice the threshold must be within reach."""
THRESHOLD_QUANTILE: Final = 0.999
THRESHOLD_MARGIN: Final = 1.2
FEWEST_CONFIGURATIONS: Final = 4
_SAME_ENVIRONMENT: Final = 1e-9
"""1 - x·x' of normalised descriptors that are one, rounding included."""


@dataclass(frozen=True, eq=False)
class Environments:
    """Descriptors of the atoms of some structures, by element.

    Attributes
    ----------
    descriptors
        By atomic number, each [n_atoms_of_the_element, n_dimensions].
    structures, atoms
        By atomic number: the structure that each is of, and its index there. Shape [n_atoms_of_the_element].
    """

    descriptors: Mapping[int, FloatArray]
    structures: Mapping[int, IntArray]
    atoms: Mapping[int, IntArray]


def environments_of(descriptors: Descriptors, structures: Sequence[Atoms]) -> Environments:
    """Return the environments of all atoms of some structures."""
    found: dict[int, list[FloatArray]] = {number: [] for number in descriptors.species}
    of: dict[int, list[IntArray]] = {number: [] for number in descriptors.species}
    indices: dict[int, list[IntArray]] = {number: [] for number in descriptors.species}
    for index, atoms in enumerate(structures):
        paired = PairedAtoms.of(atoms, descriptors)
        for number in descriptors.species:
            own = np.flatnonzero(atoms.numbers == number)
            if len(own):
                found[number].append(soap_descriptors(paired, descriptors, number))
                of[number].append(np.full(len(own), index))
                indices[number].append(own)
    present = [number for number in descriptors.species if found[number]]
    return Environments(
        {number: np.concatenate(found[number]) for number in present},
        {number: np.concatenate(of[number]) for number in present},
        {number: np.concatenate(indices[number]) for number in present},
    )


class NoveltyKernel:
    """What some sparse points leave of the prior.

    Parameters
    ----------
    descriptors
        Of the model.
    points
        Its sparse points; those of pairs and triplets say nothing here.

    Raises
    ------
    IonloopError
        If the points' covariance is not positive definite.
    """

    def __init__(self, descriptors: Descriptors, points: SparsePoints) -> None:
        self.descriptors = descriptors
        self._points = {key[0]: points.of(key) for key in points.keys if len(key) == 1}
        self._factors: dict[int, FloatArray] = {}

    @property
    def prior_eV2(self) -> float:
        """Variance of an atom's energy before anything is known (eV²)."""
        soap = next(iter(self.descriptors.soaps.values()))
        return float(
            self.descriptors.settings.soap.delta_eV**2
            * (1.0 + soap.covariance_sigma0**2) ** self.descriptors.settings.soap.zeta
        )

    def n_points(self, number: int) -> int:
        """Return the number of sparse points of an element."""
        return len(self._points.get(number, ()))

    def points(self, number: int) -> FloatArray:
        """Return the sparse points of an element [n_points, n_dimensions]."""
        dimensions = self.descriptors.soaps[number].n_dimensions
        return self._points.get(number, np.zeros((0, dimensions)))

    def covariance(self, number: int, first: FloatArray, second: FloatArray) -> FloatArray:
        """Return covariances of an element's environments (eV²)."""
        return covariance(self.descriptors.settings, (number,), first, second)

    def whitened(self, number: int, descriptors: FloatArray) -> FloatArray:
        """Return L⁻¹k of environments, whose squares add up to what the points explain. Shape [n_points, n]."""
        points = self.points(number)
        if not len(points):
            return np.zeros((0, len(descriptors)))
        between = self.covariance(number, points, descriptors)
        return np.asarray(solve_triangular(self.factor(number), between, lower=True, check_finite=False))

    def factor(self, number: int) -> FloatArray:
        """Return the lower triangle L of the points' covariance, regularised as in predicted variances."""
        if number not in self._factors:
            points = self.points(number)
            own = self.covariance(number, points, points)
            own[np.diag_indices_from(own)] += VARIANCE_REGULARISATION**2
            try:
                self._factors[number] = np.asarray(cholesky(own, lower=True))
            except LinAlgError as error:
                symbol = chemical_symbols[number]
                raise IonloopError(f"the sparse points of {symbol} give no novelty: {error}") from error
        return self._factors[number]

    def left_eV2(self, number: int, whitened: FloatArray) -> FloatArray:
        """Return the variance that is left of environments (eV²) [n], from what `whitened` returned."""
        squares = np.einsum("sa,sa->a", whitened, whitened)
        return np.asarray(self.prior_eV2 + VARIANCE_REGULARISATION**2 - squares)

    def novelty_of(self, left_eV2: FloatArray) -> FloatArray:
        """Return s of variances that are left (eV²)."""
        return np.sqrt(np.clip(left_eV2 / self.prior_eV2, 0.0, 1.0))

    def novelty(self, atoms: Atoms) -> FloatArray:
        """Return s of the atoms of a structure. Shape [n_atoms]."""
        found = environments_of(self.descriptors, [atoms])
        novelty = np.zeros(len(atoms))
        for number, own in found.descriptors.items():
            novelty[found.atoms[number]] = self.novelty_of(self.left_eV2(number, self.whitened(number, own)))
        return novelty


def thresholds_of(kernel: NoveltyKernel, structures: Sequence[Atoms]) -> dict[str, float]:
    """Return the novelty above which an alarm sounds, by element (symbol).

    It is the 0.999 quantile, times 1.2, of the novelty of the atoms of each structure to all sparse points but those
    that are environments of it: what is as unlike the data as they are unlike each other raises no alarm. Elements
    that fewer than `FEWEST_CONFIGURATIONS` structures show have `FIRST_THRESHOLD`; none is above `HIGHEST_THRESHOLD`.
    """
    found = environments_of(kernel.descriptors, structures)
    thresholds = {chemical_symbols[number]: FIRST_THRESHOLD for number in kernel.descriptors.species}
    for number, own in found.descriptors.items():
        of = found.structures[number]
        if len(np.unique(of)) >= FEWEST_CONFIGURATIONS and kernel.n_points(number):
            left = kernel.novelty_of(_left_out_eV2(kernel, number, own, of))
            quantile = float(np.quantile(left, THRESHOLD_QUANTILE, method="higher"))
            thresholds[chemical_symbols[number]] = min(THRESHOLD_MARGIN * quantile, HIGHEST_THRESHOLD)
    return thresholds


def _left_out_eV2(kernel: NoveltyKernel, number: int, own: FloatArray, of: IntArray) -> FloatArray:
    """Return the variance left of environments to the points that are none of their own structure's.

    With P = K⁻¹ and w = P k_Mx, leaving points D out adds w_D (P_DD)⁻¹ w_D to the variance.
    """
    points = kernel.points(number)
    norm = 1.0 + kernel.descriptors.soaps[number].covariance_sigma0 ** 2
    factor = kernel.factor(number)
    whitened = kernel.whitened(number, own)
    left = kernel.left_eV2(number, whitened)
    weights = solve_triangular(factor, whitened, lower=True, trans="T", check_finite=False)
    inverse_factor = solve_triangular(factor, np.eye(len(points)), lower=True, check_finite=False)
    precision = inverse_factor.T @ inverse_factor
    for structure in np.unique(of):
        members = np.flatnonzero(of == structure)
        same = (norm - points @ own[members].T) < _SAME_ENVIRONMENT
        dropped = np.flatnonzero(same.any(axis=1))
        if len(dropped):
            part = weights[np.ix_(dropped, members)]
            more = np.linalg.solve(precision[np.ix_(dropped, dropped)], part)
            left[members] += np.einsum("da,da->a", part, more)
    return left


def novel_points(
    kernel: NoveltyKernel,
    environments: Environments,
    thresholds: Mapping[str, float],
    most: Mapping[int, int],
) -> tuple[dict[tuple[int, ...], FloatArray], dict[str, float], dict[str, float]]:
    """Return environments that become sparse points, and each element's highest novelty before and after.

    By pivoted Cholesky: the one with the highest novelty, given the points there are and those chosen before, until
    none is above its threshold.

    Parameters
    ----------
    kernel
        Of the points so far.
    environments
        Those that may be taken.
    thresholds
        By element (symbol).
    most
        How many at most, by atomic number.

    Returns
    -------
    Points by coordinate, each [n_points, n_dimensions], and novelty by element (symbol), twice.
    """
    chosen: dict[tuple[int, ...], FloatArray] = {}
    before: dict[str, float] = {}
    after: dict[str, float] = {}
    for number, own in environments.descriptors.items():
        symbol = chemical_symbols[number]
        remaining = Remaining(kernel, number, own)
        before[symbol] = float(remaining.novelty.max(initial=0.0))
        taken: list[int] = []
        while len(taken) < most[number] and remaining.novelty.max(initial=0.0) > thresholds[symbol]:
            index = int(np.argmax(remaining.novelty))
            remaining.take(index)
            taken.append(index)
        if taken:
            chosen[number,] = own[taken]
        after[symbol] = float(remaining.novelty.max(initial=0.0))
    return chosen, before, after


class Remaining:
    """Environments of an element, of which one after the other becomes known: a partial Cholesky factor.

    Attributes
    ----------
    novelty
        Of each, given the sparse points and all that were taken. Shape [n].
    """

    def __init__(self, kernel: NoveltyKernel, number: int, descriptors: FloatArray) -> None:
        self._kernel, self._number, self._descriptors = kernel, number, descriptors
        self._known = kernel.whitened(number, descriptors)
        self._n_known = len(self._known)
        self._left = kernel.left_eV2(number, self._known)
        self.novelty = kernel.novelty_of(self._left)

    def take(self, index: int) -> None:
        """Let an environment be known."""
        if self._n_known == len(self._known):
            more = np.empty((max(16, self._n_known // 2), self._known.shape[1]))
            self._known = np.concatenate([self._known, more])
        known = self._known[: self._n_known]
        row = self._kernel.covariance(self._number, self._descriptors[index : index + 1], self._descriptors)[0]
        row -= np.ascontiguousarray(known[:, index]) @ known
        row /= np.sqrt(self._left[index])
        self._known[self._n_known] = row
        self._n_known += 1
        self._left -= row**2
        self.novelty = self._kernel.novelty_of(self._left)


def take_structure(
    left: Mapping[int, Remaining], limits: Mapping[int, float], found: Environments, structure: int
) -> None:
    """Let environments of a structure be known, the newest first, until none of them is above its limit.

    ``left`` and ``limits`` are by atomic number, of all environments that were ``found``.
    """
    for number, remaining in left.items():
        own = np.flatnonzero(found.structures[number] == structure)
        while len(own):
            index = int(own[np.argmax(remaining.novelty[own])])
            if remaining.novelty[index] <= limits[number]:
                break
            remaining.take(index)


def highest_ratio(novelty: FloatArray, symbols: Iterable[str], thresholds: Mapping[str, float]) -> float:
    """Return the largest novelty of an atom over its element's threshold; an alarm sounds above 1."""
    limits = np.array([thresholds.get(symbol, FIRST_THRESHOLD) for symbol in symbols])
    return float((novelty / limits).max(initial=0.0))
