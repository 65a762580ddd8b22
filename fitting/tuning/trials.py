"""The trials of a search for hyperparameters, and the journal that keeps them."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from pydantic import Field

from ...core.files import write_whole
from ...core.settings import FrozenSettings
from ..native.sparse_fit.fit_errors import ErrorSummary
from ..settings import GapSettings

JOURNAL_VERSION = 2


class Trial(FrozenSettings):
    """One fit of the search."""

    changed: str = Field(description="What differs from the settings that were best before (keys and values)")
    settings: GapSettings = Field(description="Hyperparameters of the fit")
    left_out: ErrorSummary | None = Field(
        None, description="Errors with each configuration left out (eV/atom, eV/Å); null where there is no potential"
    )
    left_out_by_type: dict[str, ErrorSummary] = Field(
        default_factory=dict, description="The same of the configurations of each type (eV/atom, eV/Å)"
    )
    cost_fits: float = Field(description="What the trial cost (multiples of the first fit)")
    seconds: float = Field(description="What it took (s of processor time)")
    error: str = Field("", description="Why there is no potential with these settings; empty where there is one")

    @property
    def force_eV_per_A(self) -> float | None:
        """Left-out error of force components (eV/Å); None without forces, or without a potential."""
        return None if self.left_out is None else self.left_out.force_eV_per_A

    @property
    def energy_eV_per_atom(self) -> float:
        """Left-out error of energies (eV/atom); 0 where there is no potential."""
        return 0.0 if self.left_out is None else self.left_out.energy_eV_per_atom

    def line(self) -> str:
        """Return what is told of the trial."""
        if self.error:
            return f"{self.changed}: no potential ({self.error})"
        return f"{self.changed}: {self.told}; {self.cost_fits:.2f} fits, {self.seconds:.0f} s"

    @property
    def told(self) -> str:
        """What is told of its errors."""
        forces = "" if self.force_eV_per_A is None else f"forces {1e3 * self.force_eV_per_A:.0f} meV/Å, "
        return f"{forces}energies {1e3 * self.energy_eV_per_atom:.2f} meV/atom left out"


@dataclass
class Journal:
    """Trials by their settings, and by what else was fitted: in a file, where there is one.

    Attributes
    ----------
    path
        The file; None keeps trials in memory alone.
    inputs
        Digest of all that errors depend on besides the settings: another one's journal is not used.
    """

    path: Path | None = None
    inputs: str = ""
    _trials: dict[tuple[str, str], Trial] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path | None, inputs: str) -> Self:
        """Return the journal that a file holds; an empty one where that is missing, damaged or of other inputs."""
        journal = cls(path, inputs)
        if path is None or not path.exists():
            return journal
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            if found["version"] == JOURNAL_VERSION and found["inputs"] == inputs:
                told = [("", one) for one in found["trials"]] + [(of, one) for of, one in found["further"].items()]
                trials = [(of, Trial.model_validate(one)) for of, one in told]
                journal._trials.update({_key(one.settings, of): one for of, one in trials})
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            # Another version's, or damaged: what it held is measured again.
            pass
        return journal

    def trial(self, settings: GapSettings, of: str = "") -> Trial | None:
        """Return the trial of some settings on all data, or on those that ``of`` names; None without one."""
        return self._trials.get(_key(settings, of))

    def keep(self, trial: Trial, of: str = "") -> None:
        """Keep a trial, on other than all data the last one alone; the file is written whole or not at all."""
        self._trials[_key(trial.settings, of)] = trial
        if self.path is None:
            return
        documents = [(of, one.model_dump(mode="json")) for (of, _), one in self._trials.items()]
        content = {
            "version": JOURNAL_VERSION,
            "inputs": self.inputs,
            "trials": [one for of, one in documents if not of],
            "further": {of: one for of, one in documents if of},
        }
        write_whole(self.path, json.dumps(content, indent=1) + "\n")


def _key(settings: GapSettings, of: str) -> tuple[str, str]:
    return of, settings.model_dump_json()
