"""ES-GAP: a GAP fitted to reference minus electrostatic baseline, plus that baseline.

Staacke et al., ACS Appl. Energy Mater. 2021, 4, 12562 (10.1021/acsaem.1c02363). Energies of isolated atoms stay with
the GAP.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Final

from ...core.citations import Citation
from ...core.looks import Look
from ..electrostatics.registry import kind_of_baseline
from .base import FitReport, FitRequest
from .gap import GAP_CITATION, SOAP_CITATION, GapKind

if TYPE_CHECKING:
    from ase.calculators.calculator import Calculator

    from ..models import ModelManifest
    from ..native.gap_xml import GapModel
    from ..settings import CommonBaselineSettings


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
    fits_baselines = True
    gives_atom_energies = False

    def fit(self, request: FitRequest) -> FitReport:
        """Fit to what the baseline leaves, or both together where that has parameters of its own."""
        under = None if request.baseline is None else kind_of_baseline(request.baseline)
        return under.fit_with_gap(request) if under is not None and under.is_fitted else super().fit(request)

    def load(self, folder: Path, manifest: ModelManifest, evaluator: str) -> Calculator:
        """Return the sum of the GAP and its baseline."""
        from ..models import ModelError

        if manifest.baseline is None:
            raise ModelError(f"the model in {folder} is damaged: an {self.name} without baseline")
        under = kind_of_baseline(manifest.baseline)
        if under.is_fitted:
            return under.load_with_gap(folder, manifest.baseline)
        return self._on_baseline(super().load(folder, manifest, evaluator), manifest.baseline)

    def calculator_of(self, gap: GapModel, folder: Path, manifest: ModelManifest) -> Calculator:
        """Return the sum of another potential and the folder's baseline."""
        assert manifest.baseline is not None
        under = kind_of_baseline(manifest.baseline)
        if under.is_fitted:
            return under.load_with_gap(folder, manifest.baseline, gap)
        return self._on_baseline(super().calculator_of(gap, folder, manifest), manifest.baseline)

    @staticmethod
    def _on_baseline(gap: Calculator, baseline: CommonBaselineSettings) -> Calculator:
        from ..calculators import EsGapCalculator

        under = kind_of_baseline(baseline)
        charges, why_no_field = under.species_charges(baseline), under.why_no_field(baseline)
        return EsGapCalculator(gap, under.calculator(baseline), charges, why_no_field)


ES_GAP: Final = EsGapKind()
