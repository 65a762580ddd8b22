"""A GAP's fit to which labels and sparse points are added in place.

The triangle of the fit's QR cannot be updated: with a condition of 1e10 an appended column, found by semi-normal
equations, is wrong by electronvolts per ångström. In whitened coordinates it can. With K_MM = LᵀL (L upper triangular),
V = Σ⁻¹K L⁻¹, G = VᵀV and b = VᵀΣ⁻¹y, the weights are α = L⁻¹(G + 1)⁻¹b, and G + 1 is as well conditioned as labels
are better than the prior. Whitening is nested: points that join leave the earlier columns of V, L and G as they are.
Whitened inducing variables are those of Hensman, Matthews, Filippone, Ghahramani (NeurIPS 2015, arXiv 1506.04000); that
they nest is used here.

A configuration of m rows costs its rows of the kernel and m M², p points cost rows of the kernel of every configuration
so far for these points and 4 N M p, weights cost M³/3.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.linalg import LinAlgError, cho_solve, cholesky, solve_triangular

from ...core.arrays import FloatArray
from ...core.errors import InputError
from ..cores import core_of, isolated_energies_above, without_core
from ..data_sets import DataSet, LabelledConfiguration
from ..native.gap_xml import GapModel
from ..native.sparse_fit.design import Descriptors, RowBuilder, coordinate_name, covariance, potential_of
from ..native.sparse_fit.fit import scaled_targets
from ..native.sparse_fit.linear_system import ScaledTargets
from ..native.sparse_fit.row_cache import RowCache
from ..native.sparse_fit.row_source import RowSource
from ..native.sparse_fit.rows import n_rows
from ..native.sparse_fit.solve import SingularFitError
from ..native.sparse_fit.sparse_points import SparseLayer, SparsePoints
from ..settings import GapSettings


@dataclass(frozen=True, eq=False)
class _Labelled:
    """A configuration in the fit: its rows over their labels' deviations in whitened coordinates are ``whitened``."""

    configuration: LabelledConfiguration
    targets: ScaledTargets
    whitened: FloatArray


@dataclass(frozen=True, eq=False)
class FitState:
    """What a fit is made of.

    Attributes
    ----------
    sparse_points, configurations
        In the order in which they joined.
    factor, precision, right
        L (in Fortran's order), G and b. Shapes [n_points, n_points] twice, [n_points].
    whitened
        V of each configuration, in C's order: [n_rows, n_points].
    """

    sparse_points: SparsePoints
    configurations: tuple[LabelledConfiguration, ...]
    factor: FloatArray
    precision: FloatArray
    right: FloatArray
    whitened: tuple[FloatArray, ...]


class WhitenedFit:
    """Labels and sparse points so far, and the potential that they give.

    Parameters
    ----------
    settings
        Hyperparameters; what they say of the number and the choice of sparse points is not read.
    isolated_atom_energies_eV
        Of all elements that there will be (eV).
    """

    def __init__(self, settings: GapSettings, isolated_atom_energies_eV: Mapping[str, float]) -> None:
        self.settings = settings
        self._isolated_eV = dict(isolated_atom_energies_eV)
        self._descriptors = Descriptors.of(tuple(self._isolated_eV), settings)
        self._core = core_of(settings)
        self._above_core_eV = isolated_energies_above(self._core, self._isolated_eV)
        self._weights: FloatArray | None = None
        self._points = SparsePoints(())
        self._labelled: list[_Labelled] = []
        self._factor = np.zeros((0, 0), order="F")
        self._precision = np.zeros((0, 0))
        self._right = np.zeros(0)

    @property
    def sparse_points(self) -> SparsePoints:
        """Points so far, a layer for each time that some were added."""
        return self._points

    @property
    def configurations(self) -> tuple[LabelledConfiguration, ...]:
        """Labels so far, as they were given."""
        return tuple(one.configuration for one in self._labelled)

    @property
    def n_points(self) -> int:
        """Number of sparse points."""
        return len(self._factor)

    def add_labels(self, configurations: Sequence[LabelledConfiguration], cache: RowCache | None = None) -> None:
        """Let labels join the fit.

        Parameters
        ----------
        configurations
            In the order in which they join.
        cache
            Where rows may lie that an earlier fit computed.

        Raises
        ------
        InputError
            If one holds an element that the fit was not told of.
        """
        for configuration in configurations:
            unknown = sorted(set(configuration.atoms.get_chemical_symbols()) - set(self._isolated_eV))
            if unknown:
                raise InputError(f"{configuration.identifier}: the fit was told no energy of {', '.join(unknown)}")
        self._weights = None
        source = RowSource(RowBuilder(self._descriptors, self._points), configurations, cache)
        for index, configuration in enumerate(configurations):
            targets = self._targets(configuration)
            rows = source.rows(index)[0] if self.n_points else np.zeros((n_rows(configuration.n_atoms), 0))
            one = _Labelled(configuration, targets, self._whitened(rows[targets.rows] / targets.sigmas[:, None]))
            self._labelled.append(one)
            self._precision += one.whitened.T @ one.whitened
            self._right += one.whitened.T @ _scaled_values(targets)

    def add_points(self, layer: SparseLayer) -> None:
        """Let sparse points join the fit.

        Raises
        ------
        SingularFitError
            If a point is all but a combination of those there are; the fit stays as it was.
        InputError
            If points do not fit the descriptors.
        """
        builder = RowBuilder(self._descriptors, SparsePoints((layer,)))
        mixed, own = self._factor_of(layer)
        columns = []
        for one in self._labelled:
            (rows,) = builder.rows(one.configuration.atoms, [0])
            rows = rows[one.targets.rows] / one.targets.sigmas[:, None] - one.whitened @ mixed
            columns.append(solve_triangular(own, rows.T, trans="T", check_finite=False).T)
        before, more = self.n_points, layer.n_points
        factor = np.zeros((before + more,) * 2, order="F")
        factor[:before, :before], factor[:before, before:], factor[before:, before:] = self._factor, mixed, own
        precision, right = np.zeros((before + more,) * 2), np.zeros(before + more)
        precision[:before, :before], right[:before] = self._precision, self._right
        for one, new in zip(self._labelled, columns, strict=True):
            precision[:before, before:] += one.whitened.T @ new
            precision[before:, before:] += new.T @ new
            right[before:] += new.T @ _scaled_values(one.targets)
        precision[before:, :before] = precision[:before, before:].T
        self._labelled = [
            replace(one, whitened=np.concatenate([one.whitened, new], axis=1))
            for one, new in zip(self._labelled, columns, strict=True)
        ]
        self._weights = None
        self._points = SparsePoints((*self._points.layers, layer))
        self._factor, self._precision, self._right = factor, precision, right

    def state(self) -> FitState:
        """Return all that `restored` needs; arrays are not copied."""
        return FitState(
            self._points,
            self.configurations,
            self._factor,
            self._precision,
            self._right,
            tuple(one.whitened for one in self._labelled),
        )

    @classmethod
    def restored(
        cls, settings: GapSettings, isolated_atom_energies_eV: Mapping[str, float], state: FitState
    ) -> WhitenedFit:
        """Return a fit as it was, bit for bit."""
        fit = cls(settings, isolated_atom_energies_eV)
        fit._points = state.sparse_points
        fit._factor, fit._precision, fit._right = state.factor, state.precision, state.right
        fit._labelled = [
            _Labelled(one, fit._targets(one), whitened)
            for one, whitened in zip(state.configurations, state.whitened, strict=True)
        ]
        return fit

    def weights(self) -> FloatArray:
        """Return α of all points. Shape [n_points]."""
        if self._weights is None:
            whitened = cho_solve((self._posterior_factor(), False), self._right, check_finite=False)
            self._weights = np.asarray(solve_triangular(self._factor, whitened, check_finite=False))
        return self._weights

    def model(self) -> GapModel:
        """Return the potential of the labels and points so far."""
        return potential_of(self._descriptors, self._points, self.weights(), self._above_core_eV, core=self._core)

    def triangle(self) -> FloatArray:
        """Return R of the weights' posterior, RᵀR = KᵀΣ⁻²K + K_MM, upper triangular. Shape [n_points, n_points]."""
        return np.triu(self._posterior_factor() @ self._factor)

    def _posterior_factor(self) -> FloatArray:
        return np.asarray(cholesky(self._precision + np.eye(self.n_points), check_finite=False))

    def _factor_of(self, layer: SparseLayer) -> tuple[FloatArray, FloatArray]:
        """Return the new columns of L: those beside the points there are [n_before, n_new], and their own triangle."""
        earlier = self.sparse_points
        between = np.zeros((earlier.n_points, layer.n_points))
        own = np.zeros((layer.n_points,) * 2)
        start = 0
        for key, points in layer.points.items():
            columns = slice(start, start + len(points))
            start += len(points)
            own[columns, columns] = covariance(self.settings, key, points, points)
            for number, other, rows in earlier.column_ranges():
                if other == key:
                    known = earlier.layers[number].points[key]
                    between[rows, columns] = covariance(self.settings, key, known, points)
        mixed = solve_triangular(self._factor, between, trans="T", check_finite=False) if len(between) else between
        own += self.settings.sparse_jitter * np.eye(len(own)) - mixed.T @ mixed
        try:
            return mixed, np.asarray(cholesky(own, check_finite=True))
        except (LinAlgError, ValueError):
            names = ", ".join(coordinate_name(key) for key, points in layer.points.items() if len(points))
            raise SingularFitError(
                f"sparse points of {names} are combinations of those that the fit has: add fewer, or raise "
                f"sparse_jitter (now {self.settings.sparse_jitter:g} eV²)"
            ) from None

    def _targets(self, configuration: LabelledConfiguration) -> ScaledTargets:
        data = without_core(DataSet((configuration,), self._isolated_eV), self._core)
        return scaled_targets(data.configurations[0], self.settings, data)

    def _whitened(self, rows: FloatArray) -> FloatArray:
        if not self.n_points:
            return rows
        # One layout, that of what was read back: products of others may round differently.
        whitened = solve_triangular(self._factor, rows.T, trans="T", check_finite=False).T
        return np.ascontiguousarray(whitened)


def _scaled_values(targets: ScaledTargets) -> FloatArray:
    return targets.values[:, 0] / targets.sigmas
