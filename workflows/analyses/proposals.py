"""What an analysis proposes to be labelled, and what that is to tell of: sums of energies of its configurations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ase import Atoms


@dataclass(frozen=True)
class Configuration:
    """A configuration of an analysis.

    Attributes
    ----------
    parent
        Identifier of the result that holds it.
    step
        Its place there: of an image, a cell.
    """

    atoms: Atoms
    parent: str
    step: int = 0


@dataclass(frozen=True)
class Target:
    """A number that is a sum Σ c_i E_i of energies of configurations, at least near what it is.

    Attributes
    ----------
    coefficients
        c_i by the place of a configuration. Their unit makes the sum one of the unit of the property's tolerance:
        none, or 1/eV where that is relative.
    """

    coefficients: Mapping[int, float]


@dataclass(frozen=True)
class Proposed:
    """Configurations of one of an analysis's numbers, and what that number is made of."""

    configurations: Sequence[Configuration]
    targets: Sequence[Target] = field(default_factory=tuple)
