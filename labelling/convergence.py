"""Whether a self-consistency converged, judged by its numbers and not by its words alone.

Some codes say that they converged when their allowed iterations are used up: VASP before 6 prints the same line for
both ends of its loop, and pw.x does so with ``scf_must_converge = .false.``. What tells is the last change against the
criterion, and the number of iterations against the limit.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path

from .engine import NotConverged
from .engines.executable import read_text

# Outputs print two digits and more: a change printed as the criterion itself may be one rounded up to it.
_ROUNDING = 0.05
_LARGEST_FILE_BYTES = 50_000_000
_OUTPUT_SUFFIXES = frozenset({".out", ".pwo", ".log", ".txt", ".abo", ".castep"})
_OUTPUT_NAMES = frozenset({"log"})
# CP2K, Quantum ESPRESSO and FHI-aims; ABINIT, CASTEP, DFTB+, ORCA and SIESTA, whose interfaces may pass over it. What
# VASP says is in OUTCAR, which has a reader.
_SAYS_UNCONVERGED = re.compile(
    r"SCF run NOT converged|outer SCF loop FAILED to converge|convergence NOT achieved after\s+\d+ iterations|"
    r"SELF-CONSISTENCY CYCLE DID NOT CONVERGE|SCF cycle not converged|"
    r"was not enough SCF cycles to converge|max\. SCF cycles performed but system has not|"
    r"electronic minimisation did not converge|SCC is NOT converged|SCF NOT CONVERGED AFTER|SCF_NOT_CONV",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class LastChange:
    """What changed how much in the last iteration, and at which change the cycles end, in the same unit.

    Attributes
    ----------
    quantity
        What changed, for a message.
    unit
        Its unit.
    change
        How much it changed; None if the output does not show it, nan if the code could not print it.
    criterion
        The change at which the cycles end.
    """

    quantity: str
    unit: str
    change: float | None
    criterion: float


def check_numbers(code: str, iterations: int | None, limit: int, last: LastChange) -> None:
    """Refuse a self-consistency that the code calls converged and whose numbers say otherwise.

    Parameters
    ----------
    code
        Name of the code, for the message.
    iterations
        How many iterations there were; None if the output does not show it.
    limit
        How many there might be.

    Raises
    ------
    NotConverged
        If the last change is above the criterion, or all iterations are used up and the output does not show it.
    """
    after = "" if iterations is None else f" after {iterations} of {limit} iterations"
    says = f"{code} says that it converged{after}"
    if last.change is None:
        if iterations is not None and iterations >= limit:
            raise NotConverged(f"{says}, which are all, and its output does not show how much the last one changed")
        return
    if not abs(last.change) <= last.criterion * (1 + _ROUNDING):
        raise NotConverged(
            f"{says}, but the last one changed the {last.quantity} by {abs(last.change):.2g} {last.unit}, more than "
            f"{last.criterion:.2g}"
        )


def printed_number(word: str) -> float:
    """Return a number of an output; nan where Fortran's field was too narrow for it, which no check lets pass."""
    try:
        return float(re.sub(r"(?<=[\d.])[dD](?=[-+\d])", "E", word))
    except ValueError:
        return math.nan


def check_files(folder: Path) -> None:
    """Refuse the result of a calculator that left an output in ``folder`` that says that it did not converge.

    ASE's interfaces to several codes return energies and forces of such runs in silence.

    Raises
    ------
    NotConverged
        Naming the file and its words.
    """
    for path in sorted(folder.rglob("*")):
        if not (path.suffix in _OUTPUT_SUFFIXES or path.name in _OUTPUT_NAMES) or not path.is_file():
            continue
        if path.stat().st_size > _LARGEST_FILE_BYTES:
            continue
        said = _SAYS_UNCONVERGED.search(read_text(path))
        if said is not None:
            raise NotConverged(f"{path.relative_to(folder)} says: {' '.join(said.group(0).split())}")
