"""Which version of a code belongs to the identity of a reference.

Of tblite it does: GFN1-xTB of 0.6, 0.7 and 0.8 differs by tenths of an eV for four atoms and by an eV for a cell, with
the same settings. The hash of the settings cannot hold it: who reads a store (status, dashboard, another machine) has
another version or none, and the labels of earlier releases, which recorded the version beside the hash, must keep
their identifiers. So a label is told by its hash *and* the version in its record, and whoever joins labels asks for
both.

Of other codes it does not: the numbers of VASP, FHI-aims, CP2K, Quantum ESPRESSO and GPAW are decided by what the
settings name (functional, cutoffs, basis sets, potentials), which their test suites hold from release to release; the
version is recorded, and energies that fall apart are found by their gap (`fitting.consistency`). A `command` may be
any code: what changes its numbers belongs into its `arguments`. Labels that were imported under the settings of an
engine whose version counts are of a version that is not known, unless their file says it.
"""

from __future__ import annotations

from .registry import ENGINES

NOT_KNOWN = "version not known"
"""Stands for the version where it counts and a label does not say it."""


def version_counts(engine: str) -> bool:
    """Say whether labels of different versions of that engine are labels of different references.

    Not of an engine that is not installed here: what its versions change is not known.
    """
    return engine in ENGINES and ENGINES.get(engine).counting_version is not None


def version_that_counts(engine: str, engine_version: str) -> str:
    """Return the part of ``engine_version`` that tells references apart, for example ``tblite 0.8``.

    Empty for engines whose version does not count, and `NOT_KNOWN` where it does and is not said.
    """
    pattern = ENGINES.get(engine).counting_version if engine in ENGINES else None
    if pattern is None:
        return ""
    said = pattern.search(engine_version)
    return NOT_KNOWN if said is None else " ".join(said.groups())
