"""Active learning of machine-learned interatomic potentials for solid electrolytes.

In a notebook (docs/python.md): `load_model`, `fit`, `Campaign`, `open_store`, `analyse`, `analyses`. Each is imported
when it is first asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .workflows.notebooks.analyses import analyse, analyses
    from .workflows.notebooks.campaigns import Campaign
    from .workflows.notebooks.campaigns import OpenStore as open_store
    from .workflows.notebooks.models import Model as load_model
    from .workflows.notebooks.models import fit

__version__ = "0.1.0"

__all__ = ["Campaign", "__version__", "analyse", "analyses", "fit", "load_model", "open_store"]

_PLACES = {
    "Campaign": ("campaigns", "Campaign"),
    "analyse": ("analyses", "analyse"),
    "analyses": ("analyses", "analyses"),
    "fit": ("models", "fit"),
    "load_model": ("models", "Model"),
    "open_store": ("campaigns", "OpenStore"),
}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    module, attribute = _PLACES[name]
    return getattr(import_module(f".workflows.notebooks.{module}", __name__), attribute)


def __dir__() -> list[str]:
    return sorted({*globals(), *_PLACES})
