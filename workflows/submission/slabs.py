"""The slabs and interfaces of a campaign file, and what `ionloop check` tells of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ...core.errors import InputError
from ...sampling.structures.interface_settings import InterfaceSettings, InterfaceStructure
from ...sampling.structures.slab_settings import SlabSettings, SlabStructure
from ..campaign.baseline_charges import UnknownChargesError, formal_charges
from ..campaign.settings import Campaign

# Who only reads settings waits for no physics.
if TYPE_CHECKING:
    from ...sampling.structures.interfaces import Interface
    from ...sampling.structures.slabs import Slab


def cut_slab(settings: SlabSettings, folder: str | Path) -> Slab:
    """Return a slab; a relative path of its crystal is taken from ``folder``.

    Raises
    ------
    InputError
        If its crystal cannot be read, or cannot be cut so.
    """
    from ...sampling.structures.crystals import load_structure
    from ...sampling.structures.slabs import build_slab

    crystal = load_structure(settings.of, Path(folder))
    try:
        charges = formal_charges(crystal.get_chemical_symbols())
    except UnknownChargesError:
        charges = {}
    return build_slab(crystal, settings, charges)


def joined_slabs(settings: InterfaceSettings, folder: str | Path) -> Interface:
    """Return an interface; relative paths of its crystals are taken from ``folder``.

    Raises
    ------
    InputError
        If a slab cannot be cut, both have no common cell, or atoms lie on each other.
    """
    from ...sampling.structures.crystals import check_distances
    from ...sampling.structures.interfaces import build_interface

    slabs = []
    for name in ("lower", "upper"):
        try:
            slabs.append(cut_slab(getattr(settings, name), folder))
        except InputError as error:
            raise InputError(f"interface.{name}: {error}") from error
    interface = build_interface(slabs[0], slabs[1], settings)
    check_distances(interface.atoms, "the interface")
    return interface


def slab_texts(campaign: Campaign, folder: str | Path) -> dict[str, str]:
    """Return what is to be known of slabs and interfaces of a campaign, by system; "" for that of the short form."""
    texts = {}
    for name, system in campaign.all_systems.items():
        structure = system.structure
        if isinstance(structure, SlabStructure):
            from ...sampling.structures.slabs import slab_text

            texts[name or ""] = f"{structure.formula}, {slab_text(cut_slab(structure.slab, folder))}"
        elif isinstance(structure, InterfaceStructure):
            from ...sampling.structures.interfaces import interface_text

            found = joined_slabs(structure.interface, folder)
            texts[name or ""] = f"{structure.formula}, {interface_text(found)}"
    return texts
