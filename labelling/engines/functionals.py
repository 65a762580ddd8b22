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
    "pbesol": Functional(
        "PBEsol",
        Citation(
            "PBEsol",
            "J. P. Perdew, A. Ruzsinszky, G. I. Csonka, O. A. Vydrov, G. E. Scuseria, L. A. Constantin, X. Zhou, "
            "K. Burke, Phys. Rev. Lett. 2008, 100, 136406",
            "10.1103/PhysRevLett.100.136406",
        ),
    ),
    "r2scan": Functional(
        "r²SCAN",
        Citation(
            "r2SCAN",
            "J. W. Furness, A. D. Kaplan, J. Ning, J. P. Perdew, J. Sun, J. Phys. Chem. Lett. 2020, 11, 8208",
            "10.1021/acs.jpclett.0c02405",
        ),
    ),
}
