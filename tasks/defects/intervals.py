"""Model intervals of formation energies, from the relaxed structures that they are differences of.

Energies that no model gave have no part in them: that of the atom that a vacancy is without is the reference's. In a
field the structures are those relaxed there; what the field itself adds follows from positions and charges, and charges
are taken as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cached_property

import numpy as np
from ase import Atoms

from ...analysis.model_uncertainty.intervals import half_widths, slope_weights
from ...core.arrays import FloatArray
from ...core.errors import InputError
from ...fitting.posterior.base import ModelPosterior
from ...store.connection import Store
from ..model_uncertainty.intervals import Posteriors
from ..results import Potential, known_result
from .relaxations import relaxed_atoms


class FormationIntervals:
    """Half-widths of model intervals of one potential's formation energies.

    Parameters
    ----------
    crystal
        Returns the structure that bulk and defects were made from; asked where it is needed.
    """

    def __init__(self, store: Store, potential: Potential, crystal: Callable[[], Atoms]) -> None:
        self._store = store
        self._make_crystal = crystal
        self._vectors: dict[str, FloatArray] = {}
        self._known: ModelPosterior | str = Posteriors(store).of(potential.model)

    @property
    def reason(self) -> str:
        """Why there are no intervals; empty where there are."""
        return self._known if isinstance(self._known, str) else ""

    @cached_property
    def _crystal(self) -> Atoms:
        return self._make_crystal()

    def vector(self, bulk: str, defect: str) -> FloatArray | None:
        """Return the vector of the formation energy, [k]; None without a posterior, or where a structure is gone."""
        if isinstance(self._known, str):
            return None
        found = [self._of_energy(self._known, name) for name in (bulk, defect)]
        return None if found[0] is None or found[1] is None else np.asarray(found[1] - found[0])

    def _of_energy(self, posterior: ModelPosterior, name: str) -> FloatArray | None:
        if name not in self._vectors:
            record = known_result(self._store, name)
            if record is None:
                return None
            atoms = relaxed_atoms(self._store, record, self._crystal)
            self._vectors[name] = posterior.energy_vectors([atoms])[0]
        return self._vectors[name]

    def half_width(self, vector: FloatArray | None) -> float | None:
        """Return the half-width of what has this vector."""
        if vector is None or isinstance(self._known, str):
            return None
        return float(half_widths(self._known, vector))

    def of_mean(self, vectors: Iterable[FloatArray | None]) -> float | None:
        """Return the half-width of a mean of formation energies; None where there are none, or one has no vector."""
        given = list(vectors)
        known = [vector for vector in given if vector is not None]
        return self.half_width(np.mean(known, axis=0)) if known and len(known) == len(given) else None

    def of_slope(self, fields_V_per_A: Sequence[float], vectors: Sequence[FloatArray | None]) -> float | None:
        """Return the half-width of the slope with the field at zero (e Å); None without zero and a field beside it."""
        known = [(field, vector) for field, vector in zip(fields_V_per_A, vectors, strict=True) if vector is not None]
        try:
            weights = slope_weights([field for field, _ in known])
        except InputError:
            return None
        return self.half_width(weights @ np.array([vector for _, vector in known]))
