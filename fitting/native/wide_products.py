"""Covariances of descriptors with sparse points and what comes back from them, block by block of sparse points.

Both products of an evaluation, k = P Xᵀ and dE/dP = (dE/dk) X, read all sparse points X: megabytes, for the twelve
to two hundred rows of P. BLAS copies X into its own layout twice each time, which for so few rows takes a third
of the time. Here X is laid out once, and every block of sparse points serves both products while the cache has it.

The innermost loops hold a block of sums in vector registers, as in Goto and van de Geijn, ACM Trans. Math. Softw.
2008, 34, 12 (10.1145/1356052.1356053). Compilers do not find such loops by themselves: they are written as LLVM
instructions, for processors with AVX-512; those for AVX2 are in `narrow_products`.
"""
# mypy cannot see through numba's decorator, and the arguments of kernels are arrays throughout.
# mypy: disallow-untyped-defs=False, disallow-incomplete-defs=False

from __future__ import annotations

import math
from typing import Any

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]  # ships no type information

from ...core.arrays import FloatArray
from ..compiler import numba
from .point_products import PointProducts, power_below
from .scratch import Scratch, aligned_empty
from .vector_code import DOUBLE, INTEGER, everywhere, multiply_add, sum_of_vector, sum_over, vector_at, vector_of

types, intrinsic = numba.types, numba.extending.intrinsic


_FAST = {"contract", "reassoc", "nsz"}
# Measured: blocks that the second-level cache of a core holds until they are used again; if the descriptor is too
# long for that, larger ones, so that the rows of the atoms are read less often.
_POINTS_PER_BLOCK, _POINTS_PER_LARGE_BLOCK = 120, 300
_LARGEST_KEPT_BYTES = 2_000_000
# A panel of one group of points and one of atoms stays in the first-level cache.
_MOST_TILES_PER_PANEL = 32


# 24 sums of eight doubles fill the 32 registers of AVX-512: 4 atoms × 6 points, or 12 atoms × one tile of components.
_VECTOR_LENGTH = 8
_TILE = 2 * _VECTOR_LENGTH
_ATOMS, _POINTS = 4, 6
_MOST_ATOMS, _MIDDLE_ATOMS = 12, 8

_VECTOR = vector_of(_VECTOR_LENGTH)


class WideProducts(PointProducts):
    """Products in the registers of AVX-512."""

    @staticmethod
    def _packed(points: FloatArray) -> FloatArray:
        n_points, n_components = points.shape
        kept = 8 * n_components * _POINTS_PER_BLOCK <= _LARGEST_KEPT_BYTES
        per_block = _POINTS_PER_BLOCK if kept else _POINTS_PER_LARGE_BLOCK
        n_blocks = math.ceil(n_points / per_block)
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
        n_padded = -(-len(spectra) // _ATOMS) * _ATOMS
        n_panels, n_groups, n_tiles = self._points.shape[1:4]
        rows = scratch.array("packed_spectra", (n_padded // _ATOMS, n_panels, n_tiles, _ATOMS, _TILE))
        covariances = scratch.array("block_covariances", (n_padded, n_groups * _POINTS))
        slopes = scratch.array("spectrum_slopes", (n_padded, n_panels * n_tiles * _TILE))
        wanted = np.empty((0, 0)) if products is None else products
        _evaluate(
            spectra, self._points, self._constants, self._weights, self._zeta, rows, covariances, wanted, energies,
            slopes,
        )  # fmt: skip
        return slopes

    def products(self, spectra: FloatArray, scratch: Scratch) -> FloatArray:
        n_padded = -(-len(spectra) // _ATOMS) * _ATOMS
        n_blocks, n_panels, n_groups, n_tiles = self._points.shape[:4]
        rows = scratch.array("packed_spectra", (n_padded // _ATOMS, n_panels, n_tiles, _ATOMS, _TILE))
        products = scratch.array("block_products", (n_blocks, n_padded, n_groups * _POINTS))
        _all_products(spectra, self._points, len(self._weights), rows, products)
        return products

    def in_order(self, products: FloatArray, n: int) -> FloatArray:
        whole = products.transpose(1, 0, 2).reshape(products.shape[1], -1)
        return np.ascontiguousarray(whole[:n, : len(self._weights)])

    def sums(self, products: FloatArray, second_weights: FloatArray, sums: FloatArray) -> None:
        _two_sums(products, self._constants, self._weights, second_weights, self._zeta, sums)

    def slopes(
        self,
        products: FloatArray,
        second_weights: FloatArray,
        factors: FloatArray,
        n_components: int,
        scratch: Scratch,
    ) -> FloatArray:
        _, n_panels, _, n_tiles = self._points.shape[:4]
        slopes = scratch.array("spectrum_slopes", (products.shape[1], n_panels * n_tiles * _TILE))
        _slopes_of_both(
            products, self._points, n_components, self._constants, self._weights, second_weights, factors, self._zeta,
            slopes,
        )  # fmt: skip
        return slopes


@intrinsic
def _add_products(_, rows, points, n_tiles, covariances, n_columns):
    """k[atom, point] += Σ_c P[c, atom] X[c, point] of one group of each; arguments are addresses and numbers."""

    def generate(_, builder, __, arguments):
        rows, points, n_tiles, covariances, n_columns = arguments
        rows, points, covariances = (builder.inttoptr(p, DOUBLE.as_pointer()) for p in (rows, points, covariances))

        def tile(index, totals):
            row = builder.mul(index, INTEGER(_ATOMS * _TILE))
            column = builder.mul(index, INTEGER(_POINTS * _TILE))
            for part in range(0, _TILE, _VECTOR_LENGTH):
                left = [
                    builder.load(
                        vector_at(builder, _VECTOR, rows, builder.add(row, INTEGER(atom * _TILE + part))), align=8
                    )
                    for atom in range(_ATOMS)
                ]
                for point in range(_POINTS):
                    place = builder.add(column, INTEGER(point * _TILE + part))
                    right = builder.load(vector_at(builder, _VECTOR, points, place), align=8)
                    for atom in range(_ATOMS):
                        slot = atom * _POINTS + point
                        totals[slot] = multiply_add(builder, left[atom], right, totals[slot])
            return totals

        zero = ir.Constant(_VECTOR, [0.0] * _VECTOR_LENGTH)
        totals = sum_over(builder, n_tiles, [zero] * (_ATOMS * _POINTS), tile)
        for atom in range(_ATOMS):
            for point in range(_POINTS):
                place = builder.add(builder.mul(n_columns, INTEGER(atom)), INTEGER(point))
                target = builder.gep(covariances, [place])
                total = sum_of_vector(builder, totals[atom * _POINTS + point])
                builder.store(builder.fadd(builder.load(target), total), target)

    return types.void(*[types.intp] * 5), generate


def _make_add_slopes(n_atoms: int) -> Any:
    @intrinsic
    def add_slopes(_, factors, n_columns, points, group_stride, n_groups, slopes, n_components):
        """W[atom, c] += Σ_s f[atom, s] X[s, c] for one tile of components; arguments are addresses and numbers."""

        def generate(_, builder, __, arguments):
            factors, n_columns, points, group_stride, n_groups, slopes, n_components = arguments
            factors, points, slopes = (builder.inttoptr(p, DOUBLE.as_pointer()) for p in (factors, points, slopes))
            rows = [builder.mul(n_columns, INTEGER(atom)) for atom in range(n_atoms)]
            parts = range(0, _TILE, _VECTOR_LENGTH)
            targets = [
                vector_at(
                    builder, _VECTOR, slopes, builder.add(builder.mul(n_components, INTEGER(atom)), INTEGER(part))
                )
                for atom in range(n_atoms)
                for part in parts
            ]

            def group(index, totals):
                start, column = builder.mul(index, group_stride), builder.mul(index, INTEGER(_POINTS))
                for point in range(_POINTS):
                    places = [builder.add(start, INTEGER(point * _TILE + part)) for part in parts]
                    right = [builder.load(vector_at(builder, _VECTOR, points, place), align=8) for place in places]
                    for atom in range(n_atoms):
                        place = builder.add(rows[atom], builder.add(column, INTEGER(point)))
                        vector = everywhere(builder, _VECTOR, builder.gep(factors, [place]))
                        for part in range(len(parts)):
                            slot = atom * len(parts) + part
                            totals[slot] = multiply_add(builder, vector, right[part], totals[slot])
                return totals

            totals = sum_over(builder, n_groups, [builder.load(target, align=8) for target in targets], group)
            for target, total in zip(targets, totals, strict=True):
                builder.store(total, target, align=8)

        return types.void(*[types.intp] * 7), generate

    return add_slopes


_add_slopes_of_most = _make_add_slopes(_MOST_ATOMS)
_add_slopes_of_middle = _make_add_slopes(_MIDDLE_ATOMS)
_add_slopes_of_least = _make_add_slopes(_ATOMS)


@numba.njit(cache=True, nogil=True, fastmath=_FAST)
def _pack_rows(spectra, rows):
    n_atoms, n_components = spectra.shape
    n_groups, n_panels, n_tiles = rows.shape[:3]
    for group in range(n_groups):
        for row in range(_ATOMS):
            atom = group * _ATOMS + row
            for panel in range(n_panels):
                for tile in range(n_tiles):
                    first = (panel * n_tiles + tile) * _TILE
                    if atom < n_atoms and first + _TILE <= n_components:
                        for c in range(_TILE):
                            rows[group, panel, tile, row, c] = spectra[atom, first + c]
                    else:
                        for c in range(_TILE):
                            inside = atom < n_atoms and first + c < n_components
                            rows[group, panel, tile, row, c] = spectra[atom, first + c] if inside else 0.0


@numba.njit(cache=True, nogil=True, fastmath=_FAST)
def _block_covariances(rows, block, n_groups, all_tiles, covariances):
    n_panels, _, n_tiles = block.shape[:3]
    n_columns = covariances.shape[1]
    covariances[:] = 0.0
    for panel in range(n_panels):
        tiles = min(n_tiles, all_tiles - panel * n_tiles)
        for group in range(n_groups):
            points = block[panel, group].ctypes.data
            for atoms in range(len(rows)):
                place = covariances[atoms * _ATOMS].ctypes.data + 8 * group * _POINTS
                _add_products(rows[atoms, panel].ctypes.data, points, tiles, place, n_columns)


@numba.njit(cache=True, nogil=True, fastmath=_FAST)
def _add_block_slopes(covariances, block, n_groups, all_tiles, slopes):
    n_tiles = block.shape[2]
    n_atoms, n_components = slopes.shape
    n_columns = covariances.shape[1]
    stride = n_tiles * _POINTS * _TILE
    for tile in range(all_tiles):
        points = block[tile // n_tiles, 0, tile % n_tiles].ctypes.data
        first = 8 * tile * _TILE
        atom = 0
        while atom < n_atoms:
            factors, target = covariances[atom].ctypes.data, slopes[atom].ctypes.data + first
            if n_atoms - atom >= _MOST_ATOMS:
                _add_slopes_of_most(factors, n_columns, points, stride, n_groups, target, n_components)
                atom += _MOST_ATOMS
            elif n_atoms - atom >= _MIDDLE_ATOMS:
                _add_slopes_of_middle(factors, n_columns, points, stride, n_groups, target, n_components)
                atom += _MIDDLE_ATOMS
            else:
                _add_slopes_of_least(factors, n_columns, points, stride, n_groups, target, n_components)
                atom += _ATOMS


@numba.njit(cache=True, nogil=True, fastmath=_FAST)
def _covariance_slopes(covariances, n_atoms, constants, weights, zeta, energies):
    """Add Σ_s a_s k_s^ζ to the energies and replace the products by ζ a_s k_s^(ζ-1), k_s = product + constant."""
    n_points = len(weights)
    whole = int(zeta)
    power = np.empty(n_points)
    for a in range(n_atoms):
        row = covariances[a]
        if whole == zeta:
            power[:] = 1.0
            for _ in range(whole - 1):
                for s in range(n_points):
                    power[s] *= row[s] + constants[s]
        else:
            for s in range(n_points):
                power[s] = (row[s] + constants[s]) ** (zeta - 1.0)
        total = 0.0
        for s in range(n_points):
            total += weights[s] * power[s] * (row[s] + constants[s])
        energies[a] += total
        for s in range(n_points):
            row[s] = zeta * weights[s] * power[s]


@numba.njit(cache=True, nogil=True, fastmath=_FAST)
def _evaluate(spectra, points, constants, weights, zeta, rows, covariances, products, energies, slopes):
    n_atoms, n_components = spectra.shape
    n_points, per_block = len(weights), covariances.shape[1]
    n_tiles = -(-n_components // _TILE)
    _pack_rows(spectra, rows)
    energies[:] = 0.0
    slopes[:] = 0.0
    for block in range(len(points)):
        first = block * per_block
        last = min(first + per_block, n_points)
        if first >= last:
            break
        # Points that fill the last group up are zeros: so are their products, which the next function leaves.
        n_groups = -(-(last - first) // _POINTS)
        _block_covariances(rows, points[block], n_groups, n_tiles, covariances)
        for a in range(len(products)):
            for s in range(last - first):
                products[a, first + s] = covariances[a, s]
        _covariance_slopes(covariances, n_atoms, constants[first:last], weights[first:last], zeta, energies)
        _add_block_slopes(covariances, points[block], n_groups, n_tiles, slopes)


@numba.njit(cache=True, nogil=True, fastmath=_FAST)
def _all_products(spectra, points, n_points, rows, products):
    per_block = products.shape[2]
    n_tiles = -(-spectra.shape[1] // _TILE)
    _pack_rows(spectra, rows)
    for block in range(len(points)):
        left = n_points - block * per_block
        n_groups = max(0, -(-min(left, per_block) // _POINTS))
        _block_covariances(rows, points[block], n_groups, n_tiles, products[block])


@numba.njit(cache=True, nogil=True, fastmath=_FAST)
def _two_sums(products, constants, weights, second_weights, zeta, sums):
    n_points, per_block = len(weights), products.shape[2]
    sums[:] = 0.0
    for block in range(len(products)):
        first = block * per_block
        last = min(first + per_block, n_points)
        for a in range(sums.shape[1]):
            row = products[block, a]
            one, other = 0.0, 0.0
            for s in range(first, last):
                k = row[s - first] + constants[s]
                covariance = k * power_below(k, zeta)
                one += weights[s] * covariance
                other += second_weights[s] * covariance
            sums[0, a] += one
            sums[1, a] += other


@numba.njit(cache=True, nogil=True, fastmath=_FAST)
def _slopes_of_both(products, points, n_components, constants, weights, second_weights, factors, zeta, slopes):
    n_points, per_block = len(weights), products.shape[2]
    n_tiles = -(-n_components // _TILE)
    slopes[:] = 0.0
    for block in range(len(points)):
        first = block * per_block
        last = min(first + per_block, n_points)
        if first >= last:
            break
        for a in range(len(factors)):
            row = products[block, a]
            for s in range(first, last):
                k = row[s - first] + constants[s]
                row[s - first] = zeta * (weights[s] + factors[a] * second_weights[s]) * power_below(k, zeta)
        n_groups = -(-(last - first) // _POINTS)
        _add_block_slopes(products[block], points[block], n_groups, n_tiles, slopes)
