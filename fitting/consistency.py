"""One reference per fit: labels of different engines or settings are not mixed unless their names are given.

Total energies of two codes, two sets of pseudopotentials or two basis sets differ by constants per atom that are
hundreds of times what a potential has to learn. A fit would take them for physics without a word.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from ase.formula import Formula

from ..core.errors import InputError
from .data_sets import LabelledConfiguration

UNNAMED = "unnamed"
"""Name of the reference of configurations that do not say what labelled them."""
LARGEST_ENERGY_GAP_EV_PER_ATOM = 1.0
"""Energies per atom of one composition that leave a wider gap than this come from different references: hot liquids
spread over some tenths, codes and pseudopotentials differ by more."""
_DIGITS = 12
_FEWEST_ON_A_SIDE = 2


class MixedReferencesError(InputError):
    """Labels of different engines or settings would go into one fit."""


def reference_name(engine: str, settings_hash: str, version: str = "") -> str:
    """Return the short name of an engine with its settings, as files and messages carry it: ``vasp:3f2a91bc04de``.

    With the version of the code where that changes its numbers and is known: ``gfn1-xtb:77aa00bc04de@tblite-0.8``.
    """
    name = f"{engine}:{settings_hash[:_DIGITS]}"
    return f"{name}@{version.replace(' ', '-')}" if version else name


def version_in(name: str) -> str:
    """Return the version in the name of a reference, as `reference_name` got it; empty if it has none."""
    return name.partition("@")[2].replace("-", " ")


def references_of(configurations: Iterable[LabelledConfiguration]) -> dict[str, int]:
    """Return how many configurations each reference labelled, most first; `UNNAMED` where none is named."""
    counts = Counter(configuration.labelled_by or UNNAMED for configuration in configurations)
    return dict(counts.most_common())


def check_one_reference(
    configurations: Sequence[LabelledConfiguration], mix: Collection[str] = (), *, remedy: str = ""
) -> None:
    """Refuse configurations of several references, and energies that show several where no name does.

    Parameters
    ----------
    mix
        Names of references that may stand beside each other, as `references_of` gives them.
    remedy
        What the user can do, beside naming them.

    Raises
    ------
    MixedReferencesError
        If references are mixed that ``mix`` does not name, or the energies of a composition leave a gap within
        one reference that ``mix`` does not name.
    """
    found = references_of(configurations)
    unnamed = sorted(set(found) - set(mix))
    if len(found) > 1 and unnamed:
        names = ", ".join(f"{name} ({count} configurations)" for name, count in found.items())
        raise MixedReferencesError(
            f"labels of different reference settings must not be fitted together: {names}; their energies count from "
            f"different zeros. {remedy}To mix them all the same, name every one (--mix): {','.join(sorted(found))}"
        )
    for name in unnamed:
        gap = find_energy_gap([one for one in configurations if (one.labelled_by or UNNAMED) == name])
        if gap is not None:
            raise MixedReferencesError(
                f"the energies of {gap.formula} fall into two groups, {gap.below} configurations up to "
                f"{gap.lower_eV_per_atom:.3f} and {gap.above} from {gap.upper_eV_per_atom:.3f} eV/atom: they look like "
                f"labels of two references. {remedy}If they are one reference's, name it (--mix): {name}"
            )


@dataclass(frozen=True)
class EnergyGap:
    """Two groups of energies per atom of one composition, with nothing in between."""

    formula: str
    lower_eV_per_atom: float
    upper_eV_per_atom: float
    below: int
    above: int


def find_energy_gap(configurations: Sequence[LabelledConfiguration]) -> EnergyGap | None:
    """Return the widest gap above `LARGEST_ENERGY_GAP_EV_PER_ATOM` with several configurations on both sides.

    Single atoms and clusters in open space are left out: dissociation makes wide gaps.
    """
    energies: dict[str, list[float]] = defaultdict(list)
    for one in configurations:
        if one.n_atoms > 1 and one.atoms.pbc.any():
            formula = Formula(one.atoms.get_chemical_formula()).reduce()[0].format("hill")
            energies[formula].append(one.energy / one.n_atoms)
    gaps = [gap for formula, values in energies.items() if (gap := _widest_gap(formula, np.sort(values))) is not None]
    return max(gaps, key=lambda gap: gap.upper_eV_per_atom - gap.lower_eV_per_atom, default=None)


def _widest_gap(formula: str, energies: np.ndarray) -> EnergyGap | None:
    steps = np.diff(energies)[_FEWEST_ON_A_SIDE - 1 : len(energies) - _FEWEST_ON_A_SIDE]
    if not len(steps) or steps.max() <= LARGEST_ENERGY_GAP_EV_PER_ATOM:
        return None
    below = int(np.argmax(steps)) + _FEWEST_ON_A_SIDE
    return EnergyGap(formula, float(energies[below - 1]), float(energies[below]), below, len(energies) - below)
