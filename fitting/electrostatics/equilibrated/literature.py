"""Electronegativities of charge equilibration as they were published, fitted to nothing of ours."""

from __future__ import annotations

from typing import Final

ELECTRONEGATIVITIES_EV: Final = {
    "H": 4.5280,
    "Li": 3.006,
    "C": 5.343,
    "N": 6.899,
    "O": 8.741,
    "F": 10.874,
    "Na": 2.843,
    "Si": 4.168,
    "P": 5.463,
    "S": 6.928,
    "Cl": 8.564,
    "K": 2.421,
    "Br": 7.790,
    "Rb": 2.331,
    "I": 6.822,
    "Cs": 2.183,
}
"""χ (eV/e), table I of Rappé, Goddard, J. Phys. Chem. 1991, 95, 3358, 10.1021/j100161a070."""
