"""Covariances of descriptors with sparse points and what comes back from them, for processors with AVX2.

Sixteen registers of four doubles hold 4 x 12 sums. Were these sums over vectors of components, as with AVX-512, twelve
of them would need as many loads as there are multiplications; so a vector holds the same component of four atoms, and
the descriptors are laid out that way, which are few. The sparse points, megabytes, are laid out once: four by four with
twelve components each, from which the first product takes numbers and the second one vectors. As in Goto and van de
Geijn, ACM Trans. Math. Softw. 2008, 34, 12 (10.1145/1356052.1356053), what is used again at once stays in the
first-level cache (the descriptors of twelve atoms, a panel at a time), what is used by the next atoms in the second.
"""
# mypy cannot see through numba's decorator, and the arguments of kernels are arrays throughout.
# mypy: disallow-untyped-defs=False, disallow-incomplete-defs=False

from __future__ import annotations

import math
from typing import Any

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]  # ships no type information

from ...core.arrays import FloatArray, IntArray
from ..compiler import numba
from .point_products import PointProducts, power_below
from .scratch import Scratch, aligned_empty
from .vector_code import DOUBLE, INTEGER, everywhere, multiply_add, sum_over, vector_at, vector_of

types, intrinsic = numba.types, numba.extending.intrinsic

_FAST = {"contract", "reassoc", "nsz"}
_VECTOR_LENGTH = 4
_VECTOR = vector_of(_VECTOR_LENGTH)
# Twelve sums in registers: 4 points x 12 atoms, or 4 atoms x 12 components.
_POINTS, _ATOMS, _MOST_ATOMS, _TILE = 4, 4, 12, 12
# Measured: a panel of a block waits in the second-level cache for the next twelve atoms, and that of twelve atoms in
# the first-level cache for all points of the block.
_POINTS_PER_BLOCK, _MOST_TILES_PER_PANEL = 120, 10


class NarrowProducts(PointProducts):
    """Products in the registers of AVX2."""

    @staticmethod
    def _packed(points: FloatArray) -> FloatArray:
        n_points, n_components = points.shape
        n_blocks = math.ceil(n_points / _POINTS_PER_BLOCK)
        n_groups = math.ceil(n_points / (n_blocks * _POINTS))
        n_panels = math.ceil(n_components / (_TILE * _MOST_TILES_PER_PANEL))
        n_tiles = math.ceil(n_components / (_TILE * n_panels))
        filled = np.zeros((n_blocks * n_groups * _POINTS, n_panels * n_tiles * _TILE))
        filled[:n_points, :n_components] = points
        split = filled.reshape(n_blocks, n_groups, _POINTS, n_panels, n_tiles, _TILE).transpose(0, 3, 1, 4, 2, 5)
        packed: FloatArray = aligned_empty(split.size).reshape(split.shape)
        packed[:] = split
        return packed

    def evaluate(
        self, spectra: FloatArray, energies: FloatArray, scratch: Scratch, products: FloatArray | None = None
    ) -> FloatArray:
        rows, starts, widths = self._rows(spectra, scratch)
        n_padded = _padded(len(spectra))
        n_panels, n_groups, n_tiles = self._points.shape[1:4]
        covariances = scratch.array("block_covariances", (n_groups * _POINTS, n_padded))
        slopes = scratch.array("spectrum_slopes", (n_padded, n_panels * n_tiles * _TILE))
        padded_energies = scratch.array("padded_energies", (n_padded,))
        wanted = np.empty((0, 0)) if products is None else products
        _evaluate(
            rows, starts, widths, self._points, self._constants, self._weights, self._zeta, covariances, wanted,
            padded_energies, slopes,
        )  # fmt: skip
        energies[:] = padded_energies[: len(energies)]
        return slopes

    def products(self, spectra: FloatArray, scratch: Scratch) -> FloatArray:
        rows, starts, widths = self._rows(spectra, scratch)
        n_blocks, _, n_groups = self._points.shape[:3]
        products = scratch.array("block_products", (n_blocks, n_groups * _POINTS, _padded(len(spectra))))
        for block, points in zip(products, self._points, strict=True):
            _block_products(rows, starts, widths, points, n_groups, block)
        return products

    def in_order(self, products: FloatArray, n: int) -> FloatArray:
        whole = products.reshape(-1, products.shape[2])
        return np.ascontiguousarray(whole[: len(self._weights), :n].T)

    def sums(self, products: FloatArray, second_weights: FloatArray, sums: FloatArray) -> None:
        whole = products.reshape(-1, products.shape[2])
        _two_sums(whole, self._constants, self._weights, second_weights, self._zeta, sums)

    def slopes(
        self,
        products: FloatArray,
        second_weights: FloatArray,
        factors: FloatArray,
        n_components: int,
        scratch: Scratch,
    ) -> FloatArray:
        _, n_panels, _, n_tiles = self._points.shape[:4]
        slopes = scratch.array("spectrum_slopes", (products.shape[2], n_panels * n_tiles * _TILE))
        _slopes_of_both(
            products, self._points, self._constants, self._weights, second_weights, factors, self._zeta, slopes
        )
        return slopes

    def _rows(self, spectra: FloatArray, scratch: Scratch) -> tuple[FloatArray, IntArray, IntArray]:
        """Return descriptors by groups of atoms, the first atoms of the groups, and how many each has.

        The twelve, eight or four numbers of one component follow each other.
        """
        _, n_panels, _, n_tiles = self._points.shape[:4]
        starts, widths = _groups(len(spectra))
        n_components = n_panels * n_tiles * _TILE
        rows = scratch.array("packed_spectra", (n_components * _padded(len(spectra)),))
        _pack_rows(spectra, starts, widths, n_components, rows)
        return rows, starts, widths


def _padded(n_atoms: int) -> int:
    return -(-n_atoms // _ATOMS) * _ATOMS


def _groups(n_atoms: int) -> tuple[IntArray, IntArray]:
    """Return the first atoms of groups of at most twelve, and their sizes; two of eight rather than twelve and four."""
    whole, rest = divmod(_padded(n_atoms), _MOST_ATOMS)
    widths = [_MOST_ATOMS] * whole + ([rest] if rest else [])
    if rest == _ATOMS and whole:
        widths[-2:] = [2 * _ATOMS, 2 * _ATOMS]
    sizes = np.array(widths, dtype=np.int64)
    return np.cumsum(sizes) - sizes, sizes


def _make_add_products(n_vectors: int) -> Any:
    @intrinsic
    def add_products(_, rows, points, n_tiles, target, n_atoms):
        """k[point, atom] += Σ_c X[point, c] P[atom, c] of one group of each; arguments are addresses and numbers."""

        def generate(_, builder, __, arguments):
            rows, points, n_tiles, target, n_atoms = arguments
            rows, points, target = (builder.inttoptr(p, DOUBLE.as_pointer()) for p in (rows, points, target))
            width = n_vectors * _VECTOR_LENGTH

            def tile(index, totals):
                row, column = builder.mul(index, INTEGER(_TILE * width)), builder.mul(index, INTEGER(_POINTS * _TILE))
                for component in range(_TILE):
                    offsets = [INTEGER(component * width + _VECTOR_LENGTH * part) for part in range(n_vectors)]
                    places = [vector_at(builder, _VECTOR, rows, builder.add(row, offset)) for offset in offsets]
                    left = [builder.load(place, align=8) for place in places]
                    for point in range(_POINTS):
                        place = builder.add(column, INTEGER(point * _TILE + component))
                        number = everywhere(builder, _VECTOR, builder.gep(points, [place]))
                        for part in range(n_vectors):
                            slot = point * n_vectors + part
                            totals[slot] = multiply_add(builder, left[part], number, totals[slot])
                return totals

            zero = ir.Constant(_VECTOR, [0.0] * _VECTOR_LENGTH)
            totals = sum_over(builder, n_tiles, [zero] * (_POINTS * n_vectors), tile)
            for point in range(_POINTS):
                for part in range(n_vectors):
                    offset = builder.add(builder.mul(n_atoms, INTEGER(point)), INTEGER(_VECTOR_LENGTH * part))
                    place = vector_at(builder, _VECTOR, target, offset)
                    total = builder.fadd(builder.load(place, align=8), totals[point * n_vectors + part])
                    builder.store(total, place, align=8)

        return types.void(*[types.intp] * 5), generate

    return add_products


_add_products_of_twelve = _make_add_products(3)
_add_products_of_eight = _make_add_products(2)
_add_products_of_four = _make_add_products(1)


@intrinsic
def _add_slopes(_, factors, n_atoms, points, group_stride, n_groups, slopes, n_components):
    """W[atom, c] += Σ_s f[s, atom] X[s, c] for one tile of components; arguments are addresses and numbers."""

    def generate(_, builder, __, arguments):
        factors, n_atoms, points, group_stride, n_groups, slopes, n_components = arguments
        factors, points, slopes = (builder.inttoptr(p, DOUBLE.as_pointer()) for p in (factors, points, slopes))
        parts = range(0, _TILE, _VECTOR_LENGTH)
        offsets = [builder.add(builder.mul(n_components, INTEGER(a)), INTEGER(c)) for a in range(_ATOMS) for c in parts]
        targets = [vector_at(builder, _VECTOR, slopes, offset) for offset in offsets]

        def group(index, totals):
            start, row = builder.mul(index, group_stride), builder.mul(index, INTEGER(_POINTS))
            for point in range(_POINTS):
                places = [builder.add(start, INTEGER(point * _TILE + part)) for part in parts]
                right = [builder.load(vector_at(builder, _VECTOR, points, place), align=8) for place in places]
                first = builder.mul(builder.add(row, INTEGER(point)), n_atoms)
                for atom in range(_ATOMS):
                    place = builder.gep(factors, [builder.add(first, INTEGER(atom))])
                    factor = everywhere(builder, _VECTOR, place)
                    for part in range(len(parts)):
                        slot = atom * len(parts) + part
                        totals[slot] = multiply_add(builder, factor, right[part], totals[slot])
            return totals

        totals = sum_over(builder, n_groups, [builder.load(target, align=8) for target in targets], group)
        for target, total in zip(targets, totals, strict=True):
            builder.store(total, target, align=8)

    return types.void(*[types.intp] * 7), generate


@numba.njit(cache=True, nogil=True, fastmath=_FAST)
def _pack_rows(spectra, starts, widths, n_components, rows):
    n_atoms, n_given = spectra.shape
    for group in range(len(starts)):
        first, width = starts[group], widths[group]
        place = first * n_components
        for c in range(n_components):
            for j in range(width):
                inside = first + j < n_atoms and c < n_given
                rows[place + j] = spectra[first + j, c] if inside else 0.0
            place += width


@numba.njit(cache=True, nogil=True, fastmath=_FAST)
def _block_products(rows, starts, widths, block, n_groups, products):
    n_panels, _, n_tiles = block.shape[:3]
    n_components = n_panels * n_tiles * _TILE
    n_atoms = products.shape[1]
    products[:] = 0.0
    for panel in range(n_panels):
        for group in range(len(starts)):
            first, width = starts[group], widths[group]
            own = rows[first * n_components + panel * n_tiles * _TILE * width :].ctypes.data
            for four in range(n_groups):
                points = block[panel, four].ctypes.data
                target = products[four * _POINTS].ctypes.data + 8 * first
                if width == _MOST_ATOMS:
                    _add_products_of_twelve(own, points, n_tiles, target, n_atoms)
                elif width == 2 * _ATOMS:
                    _add_products_of_eight(own, points, n_tiles, target, n_atoms)
                else:
                    _add_products_of_four(own, points, n_tiles, target, n_atoms)


@numba.njit(cache=True, nogil=True, fastmath=_FAST)
def _add_block_slopes(factors, block, n_groups, slopes):
    n_panels, _, n_tiles = block.shape[:3]
    n_atoms, n_components = slopes.shape
    stride = n_tiles * _POINTS * _TILE
    for panel in range(n_panels):
        for tile in range(n_tiles):
            points = block[panel, 0, tile].ctypes.data
            first = 8 * (panel * n_tiles + tile) * _TILE
            for atom in range(0, n_atoms, _ATOMS):
                own, target = factors.ctypes.data + 8 * atom, slopes[atom].ctypes.data + first
                _add_slopes(own, n_atoms, points, stride, n_groups, target, n_components)


@numba.njit(cache=True, nogil=True, fastmath=_FAST)
def _covariance_slopes(products, constants, weights, zeta, energies):
    """Add Σ_s a_s k_s^ζ to the energies and replace the products by ζ a_s k_s^(ζ-1), k_s = product + constant."""
    whole = int(zeta)
    power = np.empty(products.shape[1])
    for s in range(len(weights)):
        row, constant, weight = products[s], constants[s], weights[s]
        if whole == zeta:
            power[:] = weight
            for _ in range(whole - 1):
                for a in range(len(row)):
                    power[a] *= row[a] + constant
        else:
            for a in range(len(row)):
                power[a] = weight * (row[a] + constant) ** (zeta - 1.0)
        for a in range(len(row)):
            energies[a] += power[a] * (row[a] + constant)
        for a in range(len(row)):
            row[a] = zeta * power[a]


@numba.njit(cache=True, nogil=True, fastmath=_FAST)
def _evaluate(rows, starts, widths, points, constants, weights, zeta, covariances, products, energies, slopes):
    n_points, per_block = len(weights), len(covariances)
    energies[:] = 0.0
    slopes[:] = 0.0
    for block in range(len(points)):
        first = block * per_block
        last = min(first + per_block, n_points)
        if first >= last:
            break
        # Points that fill the last group up are zeros: so are their products, which the next function leaves.
        n_groups = -(-(last - first) // _POINTS)
        _block_products(rows, starts, widths, points[block], n_groups, covariances)
        for a in range(len(products)):
            for s in range(last - first):
                products[a, first + s] = covariances[s, a]
        _covariance_slopes(covariances, constants[first:last], weights[first:last], zeta, energies)
        _add_block_slopes(covariances, points[block], n_groups, slopes)


@numba.njit(cache=True, nogil=True, fastmath=_FAST)
def _two_sums(products, constants, weights, second_weights, zeta, sums):
    sums[:] = 0.0
    for s in range(len(weights)):
        for a in range(sums.shape[1]):
            k = products[s, a] + constants[s]
            covariance = k * power_below(k, zeta)
            sums[0, a] += weights[s] * covariance
            sums[1, a] += second_weights[s] * covariance


@numba.njit(cache=True, nogil=True, fastmath=_FAST)
def _slopes_of_both(products, points, constants, weights, second_weights, factors, zeta, slopes):
    n_points, per_block = len(weights), products.shape[1]
    slopes[:] = 0.0
    for block in range(len(points)):
        first = block * per_block
        last = min(first + per_block, n_points)
        if first >= last:
            break
        for s in range(first, last):
            row = products[block, s - first]
            for a in range(len(factors)):
                k = row[a] + constants[s]
                row[a] = zeta * (weights[s] + factors[a] * second_weights[s]) * power_below(k, zeta)
        _add_block_slopes(products[block], points[block], -(-(last - first) // _POINTS), slopes)
