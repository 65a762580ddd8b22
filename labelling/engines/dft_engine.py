"""What the density-functional engines say of themselves alike: the sentence for a paper and the works to cite."""

from __future__ import annotations

from typing import ClassVar, TypeVar

from ...core.citations import Citation
from ..engine import Engine
from .dft_settings import DftSettings, KGrid
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
    """

    code: ClassVar[str]
    code_citations: ClassVar[tuple[Citation, ...]]

    def basis(self, settings: DftSettingsT) -> str:
        """Return the basis and the treatment of the cores, with the numbers that labels depend on."""
        raise TypeError(f"{type(self).__name__} must say its basis")

    def methods(self, settings: DftSettingsT) -> str:
        """Return code, functional, basis, k-points and occupation in one sentence."""
        return (
            f"The reference is {self.code} with {method_label(settings)}, {self.basis(settings)}, "
            f"{k_point_words(settings.k_grid)} and a Fermi-Dirac occupation of {settings.smearing_eV:g} eV."
        )

    def citations(self, settings: DftSettingsT) -> tuple[Citation, ...]:
        """Return the works of the code and of the functional."""
        return *self.code_citations, FUNCTIONALS[settings.functional].citation


def method_label(settings: DftSettings) -> str:
    """Return what papers call the functional: "PBE"."""
    return FUNCTIONALS[settings.functional].label


def k_point_words(k_grid: KGrid) -> str:
    """Return the k-points in words."""
    if k_grid.grid is not None:
        return f"a Γ-centred grid of {'x'.join(map(str, k_grid.grid))} k-points"
    if k_grid.spacing_per_A is None:
        return "Γ as the only k-point"
    spacings = k_grid.spacing_per_A if isinstance(k_grid.spacing_per_A, tuple) else (k_grid.spacing_per_A,)
    return f"Γ-centred k-points at most {', '.join(f'{one:g}' for one in spacings)} 1/Å apart"
