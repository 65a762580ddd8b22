"""Records, the LaunchPad and the two backends they live on."""

from typing import TYPE_CHECKING

from ..core.lazy_imports import lazy_exports

if TYPE_CHECKING:
    from .queries.record_tables import Results, Selection

__all__ = ["Results", "Selection"]

__getattr__ = lazy_exports(__name__, {"queries.record_tables": ("Results", "Selection")})
