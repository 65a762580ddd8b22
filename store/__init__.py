"""Records, the LaunchPad and the two backends they live on."""

from .selection import Results, Selection

__all__ = ["Results", "Selection"]
