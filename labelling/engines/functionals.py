"""Exchange-correlation functionals by the names that settings give them, and where they come from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ...core.citations import Citation


@dataclass(frozen=True)
class Functional:
    """An exchange-correlation functional.

    Attributes
    ----------
    label
        What papers call it.
    citation
        The work that it comes from.
    """

    label: str
    citation: Citation


FUNCTIONALS: Mapping[str, Functional] = {
    "pbe": Functional(
        "PBE",
        Citation(
            "PBE",
            "J. P. Perdew, K. Burke, M. Ernzerhof, Phys. Rev. Lett. 1996, 77, 3865",
            "10.1103/PhysRevLett.77.3865",
        ),
    ),
}
