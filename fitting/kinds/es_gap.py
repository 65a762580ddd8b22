"""ES-GAP: a GAP fitted to reference minus electrostatic baseline, plus that baseline.

Staacke et al., ACS Appl. Energy Mater. 2021, 4, 12562 (10.1021/acsaem.1c02363). Energies of isolated atoms stay with
the GAP.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Final

from ...core.citations import Citation
from ...core.looks import Look
from .gap import GAP_CITATION, SOAP_CITATION, GapKind

if TYPE_CHECKING:
    from ase.calculators.calculator import Calculator

    from ..models import ModelManifest


class EsGapKind(GapKind):
    """The GAP on top of the electrostatic baseline, whose charges a field acts on."""

    name = "es-gap"
    rank = 20
    look = Look("ES-GAP", "#0072b2", "circle")
    citations: ClassVar[tuple[Citation, ...]] = (
        Citation(
            "ES-GAP",
            "C. G. Staacke, H. H. Heenen, C. Scheurer, G. Csányi, K. Reuter, J. T. Margraf, "
            "ACS Appl. Energy Mater. 2021, 4, 12562",
            "10.1021/acsaem.1c02363",
        ),
        GAP_CITATION,
        SOAP_CITATION,
    )
    has_charges = True
    needs_baseline = True
    gives_atom_energies = False

    def load(self, folder: Path, manifest: ModelManifest, evaluator: str) -> Calculator:
        """Return the sum of the GAP and its baseline."""
        from ..calculators import EsGapCalculator
        from ..electrostatics.registry import kind_of_baseline
        from ..models import ModelError

        if manifest.baseline is None:
            raise ModelError(f"the model in {folder} is damaged: an {self.name} without baseline")
        baseline = kind_of_baseline(manifest.baseline).calculator(manifest.baseline)
        return EsGapCalculator(super().load(folder, manifest, evaluator), baseline)


ES_GAP: Final = EsGapKind()
