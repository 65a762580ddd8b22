"""What in the settings of a rotation does not fit a campaign."""

from __future__ import annotations

from collections.abc import Iterator

from ase import Atoms

from ....analysis.rotation.settings import RotationSettings
from ...campaign.problems import Problem
from ...campaign.settings import Campaign


def rotation_problems(campaign: Campaign, settings: RotationSettings, atoms: Atoms) -> Iterator[Problem]:
    """Yield elements that the structure does not hold, and ligands that are the mobile ions."""
    key, present = ("analyses", "rotation", "anion"), sorted(set(atoms.symbols))
    for name in ("centre", "ligand"):
        symbol = getattr(settings.anion, name)
        if symbol not in present:
            message = f"is {symbol}, which the structure does not hold"
            yield Problem((*key, name), message, value=symbol, allowed=" | ".join(present), related=(("structure",),))
        elif symbol == campaign.mobile:
            message = f"is {symbol}, the mobile species"
            allowed = " | ".join(one for one in present if one != symbol)
            yield Problem((*key, name), message, value=symbol, allowed=allowed, related=(("mobile",),))
