"""How results of one kind are shown together, in one figure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ...analysis.figures import Look
    from ...store.connection import Store
    from ...store.records import ResultRecord
    from .sections import FigureBlock


@dataclass(frozen=True)
class Comparison:
    """How results of one kind are shown together.

    Attributes
    ----------
    read
        The series of one result; its look is None where it is shown alone.
    draw
        The figures of the series of all.
    """

    read: Callable[[Store, ResultRecord, Look | None], Any]
    draw: Callable[[Sequence[Any]], Iterator[FigureBlock]]
