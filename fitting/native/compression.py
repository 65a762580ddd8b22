"""Channel mixing of compressed SOAP descriptors, and which products of channels the power spectrum holds.

Compression by order (``nu_R``, ``nu_S``) and by random mixing after Darby, Kermode, Csányi, npj Comput. Mater.
2022, 8, 166 (10.1038/s41524-022-00847-y).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ...core.arrays import FloatArray, IntArray
from .descriptor_strings import SoapDescriptor, channel_widths

_LEHMER_MULTIPLIER = 16807
_LEHMER_MODULUS = 2**31 - 1
_SQRT2 = math.sqrt(2.0)
# What QUIP multiplies uncoupled off-diagonal products by: the root in single precision.
_SINGLE_SQRT2 = float(np.sqrt(np.float32(2.0)))


@dataclass(frozen=True)
class Products:
    """The products Y1[A] Y2[B] that a power spectrum holds, as runs of consecutive B.

    Attributes
    ----------
    left
        A of each run. Shape [n_runs].
    right
        First B of each run. Shape [n_runs].
    lengths
        How many consecutive B. Shape [n_runs].
    weights
        Factor of each product. Shape [n_products].
    """

    left: IntArray
    right: IntArray
    lengths: IntArray
    weights: FloatArray


def mixing_matrices(descriptor: SoapDescriptor) -> tuple[FloatArray, FloatArray] | None:
    """W1 and W2 of shape [n_channels, K1 or K2] that mix channels, or None where nothing is mixed."""
    compression = descriptor.compression
    if compression.Z_map:
        matrices = [_grouping(descriptor, groups) for groups in compression.Z_map]
        return matrices[0], matrices[-1]
    if compression.R_mix or compression.Z_mix:
        first = _random_mixing(descriptor, 1)
        return first, first if compression.sym_mix else _random_mixing(descriptor, 2)
    if (compression.nu_R, compression.nu_S) != (2, 2):
        return _order_reduction(descriptor, 0), _order_reduction(descriptor, 1)
    return None


def channel_products(descriptor: SoapDescriptor) -> Products:
    """The products of mixed channels in QUIP's order; the angular momentum runs fastest inside each."""
    compression, n_species, n_max = descriptor.compression, descriptor.n_species, descriptor.n_max
    first, second = channel_widths(descriptor)
    if compression.diagonal_radial:
        pairs = (
            (s * n_max + n, t * n_max + q, 1.0 if s == t else _SQRT2)
            for s in range(n_species)
            for n in range(n_max)
            for t in range(s + 1)
            for q in range(n_max)
            if n == q
        )
        return _single_runs(pairs)
    if not compression.coupling:
        return _single_runs(_uncoupled_pairs(descriptor))
    left = np.arange(first, dtype=np.int64)
    right = np.zeros(first, dtype=np.int64)
    if not compression.is_symmetric:
        return Products(left, right, np.full(first, second, dtype=np.int64), np.ones(first * second))
    weights = [1.0 if a == b else _SQRT2 for a in range(first) for b in range(a + 1)]
    return Products(left, right, left + 1, np.array(weights))


def _order_reduction(descriptor: SoapDescriptor, used: int) -> FloatArray:
    """Sum over species and radial functions, except where the order ν leaves one more to distinguish."""
    compression = descriptor.compression
    species = np.eye(descriptor.n_species) if compression.nu_S > used else np.ones((descriptor.n_species, 1))
    radial = np.eye(descriptor.n_max) if compression.nu_R > used else np.ones((descriptor.n_max, 1))
    return np.asarray(np.kron(species, radial), dtype=np.float64)


def _grouping(descriptor: SoapDescriptor, groups: tuple[tuple[int, ...], ...]) -> FloatArray:
    membership = [[float(number in group) for group in groups] for number in descriptor.species]
    return np.kron(np.array(membership), np.eye(descriptor.n_max))


def _random_mixing(descriptor: SoapDescriptor, which: int) -> FloatArray:
    compression, n_species, n_max = descriptor.compression, descriptor.n_species, descriptor.n_max
    width, shift = compression.K, compression.mix_shift + 200 * which
    if not compression.Z_mix:
        draws = _normal_numbers(n_max + shift)
        block = np.array([next(draws) for _ in range(n_max * width)]).reshape(n_max, width)
        return np.kron(np.eye(n_species), block)
    blocks = []
    for number in descriptor.species:
        draws = _normal_numbers(number + shift)
        if compression.R_mix:
            blocks.append(np.array([next(draws) for _ in range(n_max * width)]).reshape(n_max, width))
        else:
            blocks.append(np.kron(np.array([[next(draws) for _ in range(width)]]), np.eye(n_max)))
    return np.concatenate(blocks)


def _normal_numbers(seed: int) -> Iterator[float]:
    """Normal deviates by the polar method over a Lehmer generator, one per accepted pair."""

    def uniform() -> Iterator[float]:
        state = seed
        for drawn in range(10**12):
            state = _LEHMER_MULTIPLIER * state % _LEHMER_MODULUS
            if drawn >= 100:
                yield state / _LEHMER_MODULUS

    draws = uniform()
    while True:
        x, y = 2 * next(draws) - 1, 2 * next(draws) - 1
        radius = x * x + y * y
        if 0 < radius <= 1:
            yield x * math.sqrt(-2 * math.log(radius) / radius)


def _uncoupled_pairs(descriptor: SoapDescriptor) -> Iterator[tuple[int, int, float]]:
    compression, n_max, width = descriptor.compression, descriptor.n_max, descriptor.compression.K
    if compression.R_mix == compression.Z_mix:
        yield from ((a, a, 1.0) for a in range(min(channel_widths(descriptor))))
        return
    if compression.Z_mix:
        pairs = ((k * n_max + a, k * n_max + b) for k in range(width) for a in range(n_max) for b in range(n_max))
    else:
        species = range(descriptor.n_species)
        pairs = ((s * width + k, t * width + k) for s in species for t in species for k in range(width))
    for a, b in pairs:
        if not compression.sym_mix:
            yield a, b, 1.0
        elif a >= b:
            yield a, b, 1.0 if a == b else _SINGLE_SQRT2


def _single_runs(pairs: Iterator[tuple[int, int, float]]) -> Products:
    left, right, weights = zip(*pairs, strict=True)
    return Products(
        np.array(left, dtype=np.int64),
        np.array(right, dtype=np.int64),
        np.ones(len(left), dtype=np.int64),
        np.array(weights, dtype=np.float64),
    )
