"""Where providers of OPTIMADE keep stability and gap: the specification has no field for them, so each has its own."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final


@dataclass(frozen=True)
class ProviderField:
    """A field of one provider.

    Attributes
    ----------
    path
        Name of the property, and of what lies within it: ("_odbx_thermodynamics", "hull_distance").
    unit
        Its unit, as the provider documents it.
    """

    path: tuple[str, ...]
    unit: str

    @property
    def name(self) -> str:
        """Name of the property that is asked for."""
        return self.path[0]

    def __str__(self) -> str:
        return ".".join(self.path)


_PER_ATOM, _EV = "eV per atom", "eV"

ENERGY_ABOVE_HULL_FIELDS: Final = (
    # Materials Project: one value per thermodynamic scheme, the mixed one first, which its pages show.
    ProviderField(("_mp_stability", "gga_gga+u_r2scan", "energy_above_hull"), _PER_ATOM),
    ProviderField(("_mp_stability", "gga_gga+u", "energy_above_hull"), _PER_ATOM),
    ProviderField(("_mp_stability", "r2scan", "energy_above_hull"), _PER_ATOM),
    # OQMD: negative for what lies below the hull of all others.
    ProviderField(("_oqmd_stability",), _PER_ATOM),
    ProviderField(("_alexandria_hull_distance",), _PER_ATOM),
    ProviderField(("_alexandria_scan_hull_distance",), _PER_ATOM),
    ProviderField(("_jarvis_ehull",), _PER_ATOM),
    ProviderField(("_odbx_thermodynamics", "hull_distance"), _PER_ATOM),
    ProviderField(("_gnome_hull_distance",), _PER_ATOM),
)
BAND_GAP_FIELDS: Final = (
    ProviderField(("_mp_band_gap",), _EV),
    ProviderField(("_oqmd_band_gap",), _EV),
    ProviderField(("_alexandria_band_gap",), _EV),
    ProviderField(("_alexandria_scan_band_gap",), _EV),
    # JARVIS: the functional of its relaxations first; the other, where both are, is nearer to experiment.
    ProviderField(("_jarvis_optb88vdw_bandgap",), _EV),
    ProviderField(("_jarvis_mbj_bandgap",), _EV),
    ProviderField(("_gnome_band_gap",), _EV),
)
"""The first that holds a number counts. Databases rename fields: what none of these names is kept and told as unknown,
and the settings of a source may name one."""


@dataclass(frozen=True)
class Found:
    """A property of an entry: its value, None where the provider gives none, and the field that held it."""

    value: float | None = None
    field: str = ""


def looked_up(attributes: Mapping[str, Any], fields: Collection[ProviderField]) -> Found:
    """Return the first finite number that one of the fields holds."""
    for field in fields:
        value: Any = attributes
        for part in field.path:
            value = value.get(part) if isinstance(value, Mapping) else None
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            return Found(float(value), str(field))
    return Found()


def own_field(dotted: str, unit: str) -> ProviderField:
    """Return the field that a user names: "_example_stability.hull"."""
    return ProviderField(tuple(dotted.split(".")), unit)
