"""How far a posterior's deviations are from the errors that left-out configurations show.

A sparse Gaussian process is told what error labels have, not what error it makes itself by its cutoff, its basis and
its number of points: its own deviations are several times too small, and fall with more data where errors do not.
Errors are therefore measured, and deviations scaled to them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from ...core.arrays import FloatArray
from .base import interval_factor

if TYPE_CHECKING:
    from ..native.sparse_fit.fit_errors import ConfigurationErrors

LEVELS = (0.5, 0.9, 0.95)
"""Probabilities of the intervals whose coverage is measured."""
FEWEST_GROUPS = 5
"""Of fewer no scale is made: one configuration more or less would change it by half."""


@dataclass(frozen=True)
class Calibration:
    """What left-out errors say of predicted deviations.

    Attributes
    ----------
    energy_ratio, virial_ratio
        Root mean square of error over predicted deviation, of left-out energies and virials; None without them.
    force_ratio_by_element
        The same of forces, by the element of the atom.
    groups
        Configurations that are left out, correlated ones counted once.
    force_coverage, energy_coverage
        Part of the left-out errors inside the scaled intervals of 50, 90 and 95 %.
    """

    energy_ratio: float
    virial_ratio: float | None
    force_ratio_by_element: dict[str, float]
    groups: int
    force_coverage: tuple[float, ...] = ()
    energy_coverage: tuple[float, ...] = ()

    @property
    def energy_scale(self) -> float:
        """What deviations of energies, and of their differences, are multiplied by: the largest of all ratios.

        Energies of hot frames alone tell too little: they measure directions in which labels hold the potential fast.
        Changes of a few atoms' places, such as those along a path, err as forces do (measured: docs).
        """
        others = [] if self.virial_ratio is None else [self.virial_ratio]
        return max([self.energy_ratio, *self.force_ratio_by_element.values(), *others])

    def force_scale(self, symbol: str) -> float:
        """Return what deviations of an element's forces are multiplied by."""
        return self.force_ratio_by_element.get(symbol, self.energy_scale)

    @property
    def degrees_of_freedom(self) -> int:
        """Of intervals."""
        return self.groups - 1


def calibrate(
    errors: Sequence[ConfigurationErrors], deviations: Sequence[ConfigurationErrors], groups: int
) -> Calibration | None:
    """Return the calibration of left-out errors, None where they are too few (`FEWEST_GROUPS`) to say anything.

    Parameters
    ----------
    errors
        Of the configurations, each left out.
    deviations
        Predicted standard deviations in the same places (signs do not count).
    groups
        Independent ones among them.
    """
    if groups < FEWEST_GROUPS:
        return None
    pairs = list(zip(errors, deviations, strict=True))
    with np.errstate(divide="ignore", invalid="ignore"):
        energies = np.array([one.energy_eV for one in errors]) / np.array([own.energy_eV for own in deviations])
        forces = np.concatenate([(one.forces_eV_per_A / own.forces_eV_per_A).reshape(-1, 3) for one, own in pairs])
        virials = np.concatenate(
            [
                np.zeros(0) if one.virial_eV is None or own.virial_eV is None else one.virial_eV / own.virial_eV
                for one, own in pairs
            ]
        )
    symbols = np.concatenate([np.array(one.symbols, dtype=str) for one in errors])
    by_element = {symbol: _rms(forces[symbols == symbol]) for symbol in sorted(set(symbols.tolist()))}
    if not np.isfinite(energies).any():
        return None
    found = Calibration(_rms(energies), _rms(virials) if np.isfinite(virials).any() else None, by_element, groups)
    scales = np.array([by_element[symbol] for symbol in symbols.tolist()])
    return replace(
        found,
        force_coverage=coverage((forces / scales[:, None]).ravel(), found.degrees_of_freedom) if len(forces) else (),
        energy_coverage=coverage(energies / found.energy_scale, found.degrees_of_freedom),
    )


def coverage(ratios: FloatArray, degrees_of_freedom: int) -> tuple[float, ...]:
    """Return which part of errors over standard deviations lies inside the intervals of `LEVELS`."""
    sizes = np.abs(ratios[np.isfinite(ratios)])
    return tuple(float(np.mean(sizes <= interval_factor(degrees_of_freedom, level))) for level in LEVELS)


def calibration_text(calibration: Calibration) -> str:
    """Return a sentence for people."""
    forces = ", ".join(f"{symbol} {ratio:.1f}" for symbol, ratio in calibration.force_ratio_by_element.items())
    return (
        f"left-out errors are {calibration.energy_ratio:.1f} (energies)"
        + (f" and {forces} (forces)" if forces else "")
        + f" times the posterior's own deviations ({calibration.groups} independent configurations); energies are "
        f"scaled by {calibration.energy_scale:.1f}"
    )


def _rms(ratios: FloatArray) -> float:
    """Where a deviation cannot be had, nothing is said of it."""
    return float(np.sqrt(np.mean(np.square(ratios[np.isfinite(ratios)]))))
