"""Errors of a potential on configurations: prediction minus label, and root mean squares of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from ase.data import atomic_numbers

from ....core.arrays import FloatArray
from ....core.errors import InputError


@dataclass(frozen=True, eq=False)
class ConfigurationErrors:
    """Prediction minus label of one configuration.

    ``energy_eV`` of all ``n_atoms``; ``forces_eV_per_A`` [n_forces, 3] of the atoms whose forces are fitted, with
    their ``symbols``; ``virial_eV`` xx, xy, xz, yy, yz, zz [6], or None without one.
    """

    identifier: str
    config_type: str
    n_atoms: int
    symbols: tuple[str, ...]
    energy_eV: float
    forces_eV_per_A: FloatArray
    virial_eV: FloatArray | None


@dataclass(frozen=True)
class ErrorSummary:
    """Root-mean-square errors; of components for forces and virials; None for those of which there are none."""

    energy_eV_per_atom: float
    force_eV_per_A: float | None
    virial_eV_per_atom: float | None
    force_by_element_eV_per_A: dict[str, float]

    @property
    def force_rmse_eV_per_A(self) -> float:
        """Root-mean-square error of force components (eV/Å).

        Raises
        ------
        InputError
            If there are no forces.
        """
        if self.force_eV_per_A is None:
            raise InputError("none of the configurations has forces: they have energies alone")
        return self.force_eV_per_A


@dataclass(frozen=True, eq=False)
class FitErrors:
    """Errors of all configurations of a set, in its order."""

    configurations: tuple[ConfigurationErrors, ...]

    def summary(self, config_type: str | None = None) -> ErrorSummary:
        """Return root-mean-square errors, of configurations of one type or of all.

        Raises
        ------
        InputError
            If there is no configuration of the type.
        """
        chosen = [item for item in self.configurations if config_type in (None, item.config_type)]
        if not chosen:
            raise InputError(f"there is no configuration of the type {config_type!r}")
        forces = np.concatenate([item.forces_eV_per_A for item in chosen])
        symbols = np.concatenate([np.array(item.symbols, dtype=str) for item in chosen])
        virials = [item.virial_eV / item.n_atoms for item in chosen if item.virial_eV is not None]
        elements = sorted(set(symbols.tolist()), key=atomic_numbers.__getitem__)
        return ErrorSummary(
            energy_eV_per_atom=_rms([item.energy_eV / item.n_atoms for item in chosen]),
            force_eV_per_A=_rms(forces) if len(forces) else None,
            virial_eV_per_atom=_rms(virials) if virials else None,
            force_by_element_eV_per_A={element: _rms(forces[symbols == element]) for element in elements},
        )


def _rms(values: FloatArray | Sequence[float] | Sequence[FloatArray]) -> float:
    return float(np.sqrt(np.mean(np.square(values))))
