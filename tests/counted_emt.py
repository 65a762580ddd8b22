"""EMT that counts its calls and fails when told to; the labelling process of small campaigns imports it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from ase.calculators.emt import EMT


class CountedEMT(EMT):
    """EMT without a stress; a file `fail` in its folder makes it fail, a file `calls` there tells how often it ran."""

    implemented_properties: ClassVar[list[str]] = ["energy", "forces"]

    def __init__(self, folder: str) -> None:
        super().__init__()
        self.folder = Path(folder)

    def calculate(self, *arguments: Any, **options: Any) -> None:
        with (self.folder / "calls").open("a") as calls:
            calls.write("x")
        if (self.folder / "fail").exists():
            raise RuntimeError("told to fail")
        super().calculate(*arguments, **options)
        self.results = {name: self.results[name] for name in self.implemented_properties}
