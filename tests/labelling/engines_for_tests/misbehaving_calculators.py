"""Calculators that fail in every way that labelling must survive; the labelling process imports them."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from ase.calculators.calculator import Calculator, all_changes
from gaussian_pairs import gaussian_pairs


class GaussianPairs(Calculator):
    """The potential of `gaussian_pairs`."""

    implemented_properties: ClassVar[list[str]] = ["energy", "free_energy", "forces", "stress", "charges"]

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes) -> None:
        super().calculate(atoms, properties, system_changes)
        energy, forces, stress = gaussian_pairs(self.atoms.positions, self.atoms.cell.array, self.atoms.pbc)
        self.results = {"energy": energy, "free_energy": energy, "forces": forces}
        self.results["charges"] = np.zeros(len(self.atoms))
        if stress is not None:
            self.results["stress"] = stress


class Misbehaving(GaussianPairs):
    """A calculator that does ``harm`` when it is asked."""

    def __init__(self, harm: str, **options: Any) -> None:
        super().__init__()
        self.harm, self.options = harm, options

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes) -> None:
        super().calculate(atoms, properties, system_changes)
        getattr(self, f"_{self.harm}")(**self.options)

    def _nothing(self) -> None:
        pass

    def _abort(self) -> None:
        os.abort()

    def _segfault(self) -> None:
        os.kill(os.getpid(), signal.SIGSEGV)

    def _killed_from_outside(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def _fork_and_abort(self) -> None:
        if os.fork() == 0:
            time.sleep(600)
        os.abort()

    def _exit(self, status: int) -> None:
        os._exit(status)

    def _sleep(self, pid_file: str) -> None:
        sleeper = subprocess.Popen(["sleep", "600"], start_new_session=True)
        Path(pid_file).write_text(f"{os.getpid()} {sleeper.pid}")
        time.sleep(600)

    def _fill_memory(self) -> None:
        hoard = []
        while True:
            hoard.append(np.ones(4_000_000))
            time.sleep(0.02)

    def _fill_disk(self) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _print_and_raise(self) -> None:
        print("the last words of the engine", flush=True)
        raise ValueError("a negative eigenvalue")

    def _unconverged_below(self, cycles: int, needed: int) -> None:
        if cycles < needed:
            raise RuntimeError(f"SCF not converged in {cycles} cycles")

    def _silently_unconverged(self) -> None:
        self.converged = False

    def _forget(self, name: str) -> None:
        del self.results[name]

    def _replace(self, name: str, value: Any) -> None:
        self.results[name] = np.asarray(value, dtype=float)

    def _spoil(self, name: str) -> None:
        self.results[name] = self.results[name] * np.nan

    def _scale_forces(self, factor: float) -> None:
        self.results["forces"] = self.results["forces"] * factor

    def _push(self) -> None:
        self.results["forces"] = self.results["forces"] + 1.0

    def _lose_an_electron(self) -> None:
        self.results["charges"] = np.full(len(self.atoms), 1.0 / len(self.atoms))


class WithoutStress(GaussianPairs):
    """A calculator that knows no stress."""

    implemented_properties: ClassVar[list[str]] = ["energy", "forces"]

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes) -> None:
        super().calculate(atoms, properties, system_changes)
        self.results.pop("stress", None)
