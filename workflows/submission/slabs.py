"""The slabs of a campaign file: cut from their crystals, and what `ionloop check` tells of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ...sampling.structures.slab_settings import SlabStructure
from ..campaign.baseline_charges import UnknownChargesError, formal_charges
from ..campaign.settings import Campaign

# Who only reads settings waits for no physics.
if TYPE_CHECKING:
    from ...sampling.structures.slabs import Slab


def cut_slab(structure: SlabStructure, folder: str | Path) -> Slab:
    """Return a slab; a relative path of its crystal is taken from ``folder``.

    Raises
    ------
    InputError
        If its crystal cannot be read, or cannot be cut so.
    """
    from ...sampling.structures.crystals import load_structure
    from ...sampling.structures.slabs import build_slab

    crystal = load_structure(structure.slab.of, Path(folder))
    try:
        charges = formal_charges(crystal.get_chemical_symbols())
    except UnknownChargesError:
        charges = {}
    return build_slab(crystal, structure.slab, charges)


def slab_texts(campaign: Campaign, folder: str | Path) -> dict[str, str]:
    """Return what is to be known of every slab of a campaign, by system; "" for that of the short form."""
    from ...sampling.structures.slabs import slab_text

    return {
        name or "": f"{system.structure.formula}, {slab_text(cut_slab(system.structure, folder))}"
        for name, system in campaign.all_systems.items()
        if isinstance(system.structure, SlabStructure)
    }
