"""What the density-functional engines say of themselves alike: the sentence for a paper and the works to cite."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import replace
from pathlib import Path
from typing import ClassVar, TypeVar

from ase import Atoms

from ...core.citations import Citation
from ..engine import Engine, EngineProbe
from ..outcome import Evaluation
from .dft_settings import DftSettings, KGrid
from .dispersion import CITATIONS, PACKAGE, R2SCAN_CITATION, REMEDY, check_installed, is_installed, with_dispersion
from .functionals import FUNCTIONALS

DftSettingsT = TypeVar("DftSettingsT", bound=DftSettings)


class DftEngine(Engine[DftSettingsT]):
    """A density-functional code.

    Attributes
    ----------
    code
        What papers call it.
    code_citations
        The works that it asks to be cited.
    code_packages
        Python distributions that it is.
    """

    code: ClassVar[str]
    code_citations: ClassVar[tuple[Citation, ...]]

    code_packages: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def run_code(self, atoms: Atoms, settings: DftSettingsT, folder: Path) -> Evaluation:
        """Compute ``atoms`` without dispersion; otherwise as ``evaluate``."""

    @abstractmethod
    def probe_code(self, settings: DftSettingsT | None = None) -> EngineProbe:
        """Look for the code; otherwise as ``probe``."""

    def parse_code(self, atoms: Atoms, settings: DftSettingsT, folder: Path) -> Evaluation | None:
        """Return the result without dispersion that an interrupted run left; otherwise as ``parse_finished``."""
        return None

    def evaluate(self, atoms: Atoms, settings: DftSettingsT, folder: Path) -> Evaluation:
        """Run the code, and add the dispersion."""
        if settings.dispersion is None:
            return self.run_code(atoms, settings, folder)
        check_installed()
        return with_dispersion(self.run_code(atoms, settings, folder), atoms, settings.functional)

    def parse_finished(self, atoms: Atoms, settings: DftSettingsT, folder: Path) -> Evaluation | None:
        """Return what a finished run of the code left, with the dispersion."""
        found = self.parse_code(atoms, settings, folder)
        if found is None or settings.dispersion is None:
            return found
        return with_dispersion(found, atoms, settings.functional)

    def probe(self, settings: DftSettingsT | None = None) -> EngineProbe:
        """Look for the code and, where the settings ask for it, for the dispersion's library."""
        found = self.probe_code(settings)
        if found.found and settings is not None and settings.dispersion is not None and not is_installed():
            return replace(found, found=False, remedy=f"dispersion d3bj needs the package {PACKAGE}; {REMEDY}")
        return found

    def packages(self, settings: DftSettingsT) -> tuple[str, ...]:
        """Return the code's packages and the dispersion's."""
        return (*self.code_packages, *((PACKAGE,) if settings.dispersion else ()))

    @abstractmethod
    def basis(self, settings: DftSettingsT) -> str:
        """Return the basis and the treatment of the cores, with the numbers that labels depend on."""

    def methods(self, settings: DftSettingsT) -> str:
        """Return code, functional, basis, k-points and occupation in one sentence."""
        return (
            f"The reference is {self.code} with {method_label(settings)}, {self.basis(settings)}, "
            f"{k_point_words(settings.k_grid)} and a Fermi-Dirac occupation of {settings.smearing_eV:g} eV."
        )

    def citations(self, settings: DftSettingsT) -> tuple[Citation, ...]:
        """Return the works of the code, of the functional and of the dispersion."""
        of_dispersion: tuple[Citation, ...] = CITATIONS if settings.dispersion else ()
        if settings.dispersion and settings.functional == "r2scan":
            of_dispersion = (*CITATIONS, R2SCAN_CITATION)
        return (*self.code_citations, FUNCTIONALS[settings.functional].citation, *of_dispersion)


def method_label(settings: DftSettings) -> str:
    """Return what papers call functional and dispersion: "PBE-D3(BJ)"."""
    return FUNCTIONALS[settings.functional].label + ("-D3(BJ)" if settings.dispersion else "")


def k_point_words(k_grid: KGrid) -> str:
    """Return the k-points in words."""
    if k_grid.grid is not None:
        return f"a Γ-centred grid of {'x'.join(map(str, k_grid.grid))} k-points"
    if k_grid.spacing_per_A is None:
        return "Γ as the only k-point"
    spacings = k_grid.spacing_per_A if isinstance(k_grid.spacing_per_A, tuple) else (k_grid.spacing_per_A,)
    return f"Γ-centred k-points at most {', '.join(f'{one:g}' for one in spacings)} 1/Å apart"
