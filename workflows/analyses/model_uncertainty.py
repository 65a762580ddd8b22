"""What models said beforehand of their errors on new labels, beside what those were: a report section."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ...analysis.looks import model_look, model_name
from ...analysis.model_uncertainty.coverage import Coverage
from ...analysis.model_uncertainty.figures import predicted_against_observed
from ...analysis.model_uncertainty.words import NONE, no_interval_text
from ...core.errors import IonloopError
from ...fitting.models import read_manifest
from ...fitting.posterior.calibration import Calibration, calibration_text
from ...store.connection import Store
from ...store.records import ResultRecord
from ...tasks.values.loop import MODEL_ERRORS, ErrorValues
from .sections import Block, FigureBlock, ReportSection, TableBlock, TextBlock

KEY = "model-uncertainty"
COLUMNS = ("model", "labels", "quantity", "errors", "rms z", "inside 50 %", "inside 90 %", "inside 95 %")
CAPTION = (
    "How often errors lie inside the intervals that the model gave before it saw the label; rms z: root mean square of "
    "error over predicted deviation, 1 where it is right. New: those of the generation, which no fit had seen; audit: "
    "those of the audit set, which no fit sees; left out: those of the training set, each left out of the fit in its "
    "turn, on which deviations are scaled. "
    "Energies: total ones; new ones against the mean of their composition. Errors of one configuration are not "
    "independent: shares of a few configurations scatter."
)


def uncertainty_section(store: Store, records: Sequence[ResultRecord]) -> ReportSection | None:
    """Return what models said of their errors and what those were; None where nothing is known.

    Parameters
    ----------
    records
        Errors on new labels, one of each model that is shown.
    """
    found = [(str(record.model_kind), MODEL_ERRORS.read(record), _calibration(store, record)) for record in records]
    told = [one for one in found if one[1].model_interval_coverage is not None]
    reasons = [
        TextBlock(no_interval_text(model_name(kind), values.model_interval_reason))
        for kind, values, _ in found
        if values.model_interval_reason
    ]
    if not told:
        # Kinds that never say anything need no section that says so.
        return None
    rows = [row for kind, values, calibration in told for row in _rows(kind, values, calibration)]
    remarks = [
        TextBlock(f"{model_name(kind)}: {calibration_text(calibration)}.")
        for kind, _, calibration in told
        if calibration is not None
    ]
    blocks: list[Block] = [*_figures(told), TableBlock(COLUMNS, rows, CAPTION), *remarks, *reasons]
    return ReportSection(KEY, "How sure the models are", _summary(told), tuple(blocks))


_Told = Sequence[tuple[str, ErrorValues, Calibration | None]]


def _calibration(store: Store, record: ResultRecord) -> Calibration | None:
    """Return the calibration of a model on what its fit left out, None where there is none or its folder is gone."""
    model = None if record.model is None else store.models.get(record.model)
    if model is None:
        return None
    try:
        return read_manifest(store.artefacts.path(model.path), verify=False).calibration
    except IonloopError:
        return None


def _figures(told: _Told) -> Iterator[FigureBlock]:
    for kind, values, _ in told:
        coverage = values.model_interval_coverage
        if coverage is not None and coverage.force_by_element_eV_per_A:
            bins = {element: one.bins for element, one in coverage.force_by_element_eV_per_A.items()}
            yield FigureBlock(
                f"forces-{kind}",
                predicted_against_observed(bins, "eV/Å"),
                f"{model_name(kind)}: errors of force components on new configurations against the deviations that it "
                "predicted for them; root mean squares of bins of about equal predictions.",
            )
    energies = {
        kind: values.model_interval_coverage.energy_eV.bins
        for kind, values, _ in told
        if values.model_interval_coverage is not None and values.model_interval_coverage.energy_eV is not None
    }
    if energies:
        yield FigureBlock(
            "energies",
            predicted_against_observed(energies, "eV", {kind: model_look(kind) for kind in energies}),
            "The same of total energies against the mean of their composition.",
        )


def _rows(kind: str, values: ErrorValues, calibration: Calibration | None) -> Iterator[tuple[str, ...]]:
    name, coverage = model_name(kind), values.model_interval_coverage
    if coverage is not None:
        quantities: list[tuple[str, Coverage | None]] = [
            ("energies", coverage.energy_eV),
            ("forces", coverage.force_eV_per_A),
            *((f"forces on {element}", one) for element, one in coverage.force_by_element_eV_per_A.items()),
        ]
        for quantity, one in quantities:
            if one is not None:
                shares = (one.inside_50, one.inside_90, one.inside_95)
                yield (name, values.subset, quantity, str(one.count), f"{one.rms_z:.2f}", *map(_percent, shares))
    if calibration is not None:
        scaled = calibration.energy_ratio / calibration.energy_scale
        for quantity, z, parts in (
            ("energies", f"{scaled:.2f}", calibration.energy_coverage),
            ("forces", NONE, calibration.force_coverage),
        ):
            if parts:
                yield (name, "left out", quantity, NONE, z, *map(_percent, parts))


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _summary(told: _Told) -> str:
    parts = []
    for kind, values, _ in told:
        coverage = values.model_interval_coverage
        quantities = [] if coverage is None else [("energies", coverage.energy_eV), ("forces", coverage.force_eV_per_A)]
        shares = [f"{_percent(one.inside_95)} of {name}" for name, one in quantities if one is not None]
        if shares:
            parts.append(f"{model_name(kind)}: {' and '.join(shares)}")
    return (
        "Errors on new configurations that lie inside the 95 % interval that the model gave beforehand: "
        f"{'; '.join(parts)}."
    )
