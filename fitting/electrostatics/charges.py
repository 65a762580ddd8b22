"""Charges of the baseline from forces: what they are fitted to is bilinear in the charges of the species.

Energy, forces and stress of fixed charges are E = Σ_{a≤b} q_a q_b T^{ab}, one tensor for each pair of species:
n (n + 1) / 2 evaluations with indicator charges (six for three species) give E, F and stress for any charges.
The criterion is that of ES-GAP, Staacke et al., ACS Appl. Energy Mater. 2021, 4, 12562 (10.1021/acsaem.1c02363):
the force that far atoms induce, by the reference method, is to be the baseline's.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from ase import Atoms
from numpy.typing import ArrayLike
from pydantic import Field

from ...core.arrays import FloatArray
from ...core.errors import InputError
from ...core.settings import FrozenModel

RESAMPLES = 200
"""Bootstrap samples behind an uncertainty."""
_DIRECTIONS = 256
_POLISHED = 4
# Eigenvalues of the criterion below this part of the largest say nothing about the charges.
_NEGLIGIBLE = 1e-13


def species_pairs(species: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """Return the pairs a ≤ b of species, in the order of all arrays over pairs: aa, ab, ..., bb, ..."""
    return tuple(itertools.combinations_with_replacement(species, 2))


def charge_products(charges: ArrayLike) -> FloatArray:
    """Return q_a q_b of all pairs a ≤ b.

    Parameters
    ----------
    charges
        Charge of each species (e), shape [..., n_species].

    Returns
    -------
    Shape [..., n_pairs] (e²), in the order of `species_pairs`.
    """
    q = np.asarray(charges, dtype=np.float64)
    first, second = np.triu_indices(q.shape[-1])
    return q[..., first] * q[..., second]


@dataclass(frozen=True)
class PairTensors:
    """What one structure's electrostatics are for any charges.

    Attributes
    ----------
    energy
        Shape [n_pairs] (eV/e²).
    forces
        Shape [n_pairs, n_atoms, 3] (eV/Å/e²).
    stress
        ASE's sign and Voigt order, shape [n_pairs, 6] (eV/Å³/e²); None without periodic boundaries.
    """

    energy: FloatArray
    forces: FloatArray
    stress: FloatArray | None


class PairTensorEvaluator:
    """Evaluates the tensors of structures; the lattice sums' plans are kept from one structure to the next.

    Parameters
    ----------
    species
        All species that occur.
    exponents
        Slater exponent of species (1/Å); one without is a point charge.
    accuracy
        Truncation error of a force component for unit charges (eV/Å).
    """

    def __init__(
        self, species: Sequence[str], exponents: Mapping[str, float] | None = None, accuracy: float = 1e-6
    ) -> None:
        from .baseline import SlaterEwald

        self.species = tuple(species)
        self.pairs = species_pairs(self.species)
        self._calculators = [
            SlaterEwald({symbol: float(symbol in pair) for symbol in self.species}, exponents, accuracy)
            for pair in self.pairs
        ]

    def __call__(self, atoms: Atoms) -> PairTensors:
        """Return the tensors of ``atoms``.

        Raises
        ------
        InputError
            As `SlaterEwald`.
        """

        from .coulomb.slabs import has_stress

        names = ["energy", "forces", *(["stress"] if has_stress(atoms) else [])]
        raw = [{name: calculator.get_property(name, atoms) for name in names} for calculator in self._calculators]
        stacked = {name: self._separated(np.array([found[name] for found in raw])) for name in names}
        return PairTensors(stacked["energy"], stacked["forces"], stacked.get("stress"))

    def _separated(self, together: FloatArray) -> FloatArray:
        """Take the like pairs' parts aa and bb out of an evaluation with both species charged."""
        alone = {a: together[index] for index, (a, b) in enumerate(self.pairs) if a == b}
        return np.stack(
            [
                value if a == b else value - alone[a] - alone[b]
                for (a, b), value in zip(self.pairs, together, strict=True)
            ]
        )


@dataclass(frozen=True)
class CentreResponse:
    """How the force on one centre answers to displacements of far atoms.

    Attributes
    ----------
    symbol
        Species of the centre.
    reference
        ΔF of the reference method, shape [n_samples, 3] (eV/Å).
    tensors
        ΔT of the same displacements, shape [n_samples, n_pairs, 3] (eV/Å/e²).
    """

    symbol: str
    reference: FloatArray
    tensors: FloatArray

    def residual(self, charges: ArrayLike) -> FloatArray:
        """Return ΔF_ref - Σ q_a q_b ΔT^{ab}, shape [n_samples, 3] (eV/Å); ``charges``: shape [n_species] (e)."""
        residual: FloatArray = self.reference - np.einsum("p,spx->sx", charge_products(charges), self.tensors)
        return residual


@dataclass(frozen=True)
class QuadraticForm:
    """A sum of squares c - 2 b·Q + Q·A Q of the products Q, with the number of samples in it."""

    matrix: FloatArray
    vector: FloatArray
    constant: float
    samples: int

    @classmethod
    def of(cls, response: CentreResponse) -> QuadraticForm:
        """Return the sum of squares of one centre."""
        t, f = response.tensors, response.reference
        return cls(
            np.einsum("spx,sqx->pq", t, t), np.einsum("spx,sx->p", t, f), float(np.sum(f**2)), len(response.reference)
        )

    @classmethod
    def mean(cls, forms: Sequence[QuadraticForm]) -> QuadraticForm:
        """Return the mean over all samples of the centres."""
        samples = sum(form.samples for form in forms)
        return cls(
            np.sum([form.matrix for form in forms], axis=0) / samples,
            np.sum([form.vector for form in forms], axis=0) / samples,
            sum(form.constant for form in forms) / samples,
            samples,
        )

    def __add__(self, other: QuadraticForm) -> QuadraticForm:
        return QuadraticForm(
            self.matrix + other.matrix,
            self.vector + other.vector,
            self.constant + other.constant,
            self.samples + other.samples,
        )


class FittedCharges(FrozenModel):
    """Charges that take most of the induced forces away.

    ``before`` and ``after``: root of the mean squared induced force on each species, without and with the
    baseline; its squares add up to the criterion.
    """

    charges: dict[str, float] = Field(description="Charge of each species (e)")
    uncertainties: dict[str, float] = Field(
        description="Standard deviation of each charge over bootstrap samples of the centres (e)"
    )
    transferable: bool = Field(description="Whether only the scale of given charges was fitted (yes or no)")
    before_eV_per_A: dict[str, float] = Field(description="Root-mean-square induced force without baseline (eV/Å)")
    after_eV_per_A: dict[str, float] = Field(description="Root-mean-square induced force with the baseline (eV/Å)")


@dataclass(frozen=True)
class ChargeProblem:
    """What is fitted, and which charges are allowed.

    Attributes
    ----------
    species
        Sorted; the order of the arrays over pairs.
    counts
        Atoms of each species in a cell that must be neutral.
    others
        Atoms of each species in further cells that must be neutral with the same charges.
    mobile
        Species whose charge is positive: forces cannot tell the sign of all charges together.
    proportions
        Charges up to one common factor, where only that is fitted.
    """

    species: tuple[str, ...]
    counts: Mapping[str, int]
    mobile: str
    proportions: Mapping[str, float] | None = None
    others: Sequence[Mapping[str, int]] = ()

    @property
    def basis(self) -> FloatArray:
        """Orthonormal directions in the space of neutral charges, shape [n_species, n_directions].

        Raises
        ------
        InputError
            If there is no neutral charge but zero, or the proportions are not neutral.
        """

        from scipy.linalg import null_space

        counts = np.array(
            [[cell.get(symbol, 0) for symbol in self.species] for cell in (self.counts, *self.others)], dtype=np.float64
        )
        if self.proportions is not None:
            direction = np.array([self.proportions[symbol] for symbol in self.species])
            if np.any(np.abs(counts @ direction) > 1e-9 * np.abs(counts * direction).sum()) or not np.any(direction):
                raise InputError(
                    f"the charges {dict(self.proportions)} do not make the cell neutral, so their scale cannot be "
                    "fitted; fit every charge (transferable: false)"
                )
            return (direction / np.linalg.norm(direction))[:, np.newaxis]
        if len(self.species) < 2:
            raise InputError(f"charges of {', '.join(self.species)} alone are zero in a neutral cell: nothing to fit")
        neutral: FloatArray = null_space(counts)
        if not neutral.shape[1]:
            raise InputError(
                f"no charges of {', '.join(self.species)} but zero are neutral in all of {1 + len(self.others)} cells: "
                "fit a part of the formal charges (transferable: true), take formal, or name fewer compositions"
            )
        return neutral


def fit_charges(
    responses: Sequence[CentreResponse], problem: ChargeProblem, *, seed: int = 0, resamples: int = RESAMPLES
) -> FittedCharges:
    """Minimise Σ_s (1/n_s) Σ |ΔF_ref - Σ q_a q_b ΔT^{ab}|² over neutral charges; s runs over species of centres.

    The criterion is a quartic in the charges. Along a direction it has one minimum in closed form; the best of
    many directions are polished by least squares. Uncertainties come from a bootstrap over the centres of each
    species, so they need several; they are zero with one.

    Parameters
    ----------
    seed
        Of the bootstrap.

    Returns
    -------
    FittedCharges
        All zero where no charges make the induced forces smaller.

    Raises
    ------
    InputError
        If a species has no centre, or no neutral charges exist.
    """
    missing = sorted(set(problem.species) - {response.symbol for response in responses})
    if missing:
        raise InputError(f"no induced forces on {', '.join(missing)}: the charges need centres of every species")
    basis = problem.basis
    forms = {
        symbol: [QuadraticForm.of(response) for response in responses if response.symbol == symbol]
        for symbol in problem.species
    }
    mobile = problem.species.index(problem.mobile)
    charges = lowest_charges(_criterion(forms), basis, mobile)
    generator = np.random.default_rng(seed)
    resampled = [
        lowest_charges(
            _criterion({s: [own[i] for i in generator.integers(len(own), size=len(own))] for s, own in forms.items()}),
            basis,
            mobile,
        )
        for _ in range(resamples)
    ]
    spread = np.std(resampled, axis=0) if resamples else np.zeros(len(charges))
    return FittedCharges(
        charges=dict(zip(problem.species, charges.tolist(), strict=True)),
        uncertainties=dict(zip(problem.species, spread.tolist(), strict=True)),
        transferable=problem.proportions is not None,
        before_eV_per_A=_rms(responses, np.zeros(len(charges))),
        after_eV_per_A=_rms(responses, charges),
    )


def locality_criterion(responses: Sequence[CentreResponse], charges: ArrayLike) -> float:
    """Return Σ_s (1/n_s) Σ |ΔF_ref - Σ q_a q_b ΔT^{ab}|² (eV²/Å²); ``charges``: shape [n_species] (e)."""
    return float(sum(rms**2 for rms in _rms(responses, charges).values()))


def _rms(responses: Sequence[CentreResponse], charges: ArrayLike) -> dict[str, float]:
    found: dict[str, float] = {}
    for symbol in sorted({response.symbol for response in responses}):
        residuals = np.concatenate([one.residual(charges) for one in responses if one.symbol == symbol])
        found[symbol] = float(np.sqrt(np.mean(np.sum(residuals**2, axis=1))))
    return found


def _criterion(forms: Mapping[str, Sequence[QuadraticForm]]) -> QuadraticForm:
    first, *others = (QuadraticForm.mean(own) for own in forms.values())
    return sum(others, start=first)


def lowest_charges(form: QuadraticForm, basis: FloatArray, mobile: int) -> FloatArray:
    """Return the charges of the lowest criterion, shape [n_species] (e); that of ``mobile`` is not negative."""

    from scipy.optimize import least_squares

    directions = _directions(basis.shape[1])
    products = charge_products(directions @ basis.T)
    slopes = products @ form.vector
    curvatures = np.einsum("dp,pq,dq->d", products, form.matrix, products)
    useful = np.flatnonzero((slopes > 0) & (curvatures > 0))
    if not len(useful):
        return np.zeros(basis.shape[0])
    # Along a direction u the criterion is c - 2 ρ² β + ρ⁴ α, lowest at ρ² = β / α, where it is c - β² / α.
    best = useful[np.argsort(-(slopes[useful] ** 2) / curvatures[useful], kind="stable")[:_POLISHED]]
    starts = np.sqrt(slopes[best] / curvatures[best])[:, np.newaxis] * directions[best]
    eigenvalues, vectors = np.linalg.eigh(form.matrix)
    kept = eigenvalues > _NEGLIGIBLE * eigenvalues[-1]
    roots = np.sqrt(eigenvalues[kept])
    factor = roots[:, np.newaxis] * vectors[:, kept].T
    target = (vectors[:, kept].T @ form.vector) / roots

    def residual(x: FloatArray) -> FloatArray:
        return factor @ charge_products(basis @ x) - target

    def jacobian(x: FloatArray) -> FloatArray:
        return factor @ _product_derivatives(basis @ x) @ basis

    polished = [
        least_squares(residual, start, jacobian, xtol=1e-15, ftol=1e-15, gtol=1e-15, x_scale="jac") for start in starts
    ]
    charges: FloatArray = basis @ min(polished, key=lambda found: found.cost).x
    return -charges if charges[mobile] < 0 else charges


def _directions(dimensions: int) -> FloatArray:
    """Return unit vectors that leave no part of a half sphere out, the same ones always; shape [n, dimensions]."""
    if dimensions == 1:
        return np.ones((1, 1))
    if dimensions == 2:
        angles = np.linspace(0.0, np.pi, _DIRECTIONS, endpoint=False)
        return np.stack([np.cos(angles), np.sin(angles)], axis=1)
    drawn = np.random.default_rng(0).normal(size=(_DIRECTIONS * dimensions, dimensions))
    unit: FloatArray = drawn / np.linalg.norm(drawn, axis=1, keepdims=True)
    return unit


def _product_derivatives(charges: FloatArray) -> FloatArray:
    """Return ∂(q_a q_b)/∂q_c, shape [n_pairs, n_species]."""
    first, second = np.triu_indices(len(charges))
    rows = np.arange(len(first))
    derivatives = np.zeros((len(first), len(charges)))
    np.add.at(derivatives, (rows, first), charges[second])
    np.add.at(derivatives, (rows, second), charges[first])
    return derivatives


class ScaleCurve(FrozenModel):
    """Locality against the scale of given charges.

    ``mean`` and ``rms`` are of the induced force that remains, by species; all have one value per scale.
    """

    charges: dict[str, float] = Field(description="Charges at scale 1 (e)")
    scales: tuple[float, ...] = Field(description="Factors of those charges (no unit)")
    mean_eV_per_A: dict[str, tuple[float, ...]] = Field(description="Mean induced force that remains (eV/Å)")
    rms_eV_per_A: dict[str, tuple[float, ...]] = Field(description="Root-mean-square induced force that remains (eV/Å)")
    criterion_eV2_per_A2: tuple[float, ...] = Field(description="Sum of the squares over the species (eV²/Å²)")


def scale_curve(
    responses: Sequence[CentreResponse], charges: Mapping[str, float], scales: Sequence[float]
) -> ScaleCurve:
    """Return what remains of the induced forces with each multiple of ``charges`` (e, by species, sorted)."""
    q = np.array([charges[symbol] for symbol in sorted(charges)])
    mean: dict[str, list[float]] = {response.symbol: [] for response in responses}
    rms: dict[str, list[float]] = {response.symbol: [] for response in responses}
    for scale in scales:
        for symbol in mean:
            residuals = np.concatenate([one.residual(scale * q) for one in responses if one.symbol == symbol])
            sizes = np.linalg.norm(residuals, axis=1)
            mean[symbol].append(float(sizes.mean()))
            rms[symbol].append(float(np.sqrt(np.mean(sizes**2))))
    return ScaleCurve(
        charges=dict(charges),
        scales=tuple(scales),
        mean_eV_per_A={symbol: tuple(values) for symbol, values in mean.items()},
        rms_eV_per_A={symbol: tuple(values) for symbol, values in rms.items()},
        criterion_eV2_per_A2=tuple(np.sum(np.square(list(rms.values())), axis=0).tolist()),
    )
