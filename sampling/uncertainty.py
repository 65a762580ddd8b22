"""How sure a potential is of what it was shown: the predicted variance of its Gaussian process, frame by frame."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator

VARIANCE_PROPERTY = "local_variance"
"""Name under which a calculator gives the predicted variance of each atom's energy (eV²)."""


def frame_variances(calculator: Calculator, frames: Sequence[Atoms]) -> np.ndarray:
    """Return mean and maximum over the atoms of the predicted variance of an atom's energy (eV²).

    Parameters
    ----------
    calculator
        A potential that knows its variance (``local_variance``, shape [n_atoms]).

    Returns
    -------
    array of shape [n_frames, 2]
        Mean and maximum of each frame.

    Raises
    ------
    ase.calculators.calculator.PropertyNotImplementedError
        If the calculator does not know its variance.
    """
    rows = [np.asarray(calculator.get_property(VARIANCE_PROPERTY, atoms)) for atoms in frames]
    return np.array([(row.mean(), row.max()) for row in rows]).reshape(len(rows), 2)
