"""What the report says of charges that were fitted to ES-GAP's error, beside what locality says of them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ....analysis.figures import model_name
from ....analysis.locality.figures_charges import ChargeEstimate, charge_trade_off_figure
from ....core.names import REFERENCE
from ....fitting.electrostatics.charges import ScaleCurve
from ....store.records import ResultRecord
from ....tasks.values.charges import CHARGES_BY_ERROR, CHARGES_BY_LOCALITY
from ....tasks.values.locality import LOCALITIES
from ..sections import Block, FigureBlock, TableBlock

MILLI = 1000.0


def by_error_summary(record: ResultRecord) -> str:
    """Return the fitted charges and what they do to the error, in a sentence."""
    fitted = CHARGES_BY_ERROR.read(record)
    charges = ", ".join(
        f"{symbol} {charge:+.3f} ± {fitted.uncertainties[symbol]:.3f}" for symbol, charge in fitted.charges.items()
    )
    with_charges = MILLI * fitted.with_baseline.force_rmse_eV_per_A
    without = MILLI * fitted.without_baseline.force_rmse_eV_per_A
    return (
        f"ES-GAP's leave-out force error is lowest with {charges} e: {with_charges:.0f} meV/Å, "
        f"{without:.0f} without charges."
    )


def trade_off_blocks(by_error: ResultRecord, fit: ResultRecord | None, test: ResultRecord | None) -> list[Block]:
    """Return the figure of both criteria against the charges' scale, and the errors as a table."""
    fitted = CHARGES_BY_ERROR.read(by_error)
    locality, of_what = _locality_curve(fit, test)
    figure = charge_trade_off_figure(
        fitted.curve,
        locality,
        fitted.mobile,
        by_error=ChargeEstimate(fitted.charges, fitted.uncertainties, fitted.with_baseline.force_rmse_eV_per_A),
        by_locality=None if fit is None else _by_locality(fit),
    )
    caption = (
        f"What the baseline's charges are worth: leave-out force error of ES-GAP on {fitted.configurations} "
        f"configurations{of_what}, both against the charge of {fitted.mobile} with all charges in proportion. "
        "Stars: fitted charges, which need not be in that proportion."
    )
    rows = [
        (
            name,
            f"{MILLI * summary.force_rmse_eV_per_A:.1f}",
            *(f"{MILLI * summary.force_by_element_eV_per_A[symbol]:.1f}" for symbol in fitted.charges),
            f"{MILLI * summary.energy_eV_per_atom:.2f}",
        )
        for name, summary in (("none", fitted.without_baseline), ("fitted to the error", fitted.with_baseline))
    ]
    columns = ("charges", "force, meV/Å", *(f"{symbol}, meV/Å" for symbol in fitted.charges), "energy, meV/atom")
    return [
        FigureBlock("trade-off", figure, caption),
        TableBlock(columns, rows, "Leave-out errors: every configuration is predicted as if it had not been fitted."),
    ]


def _locality_curve(fit: ResultRecord | None, test: ResultRecord | None) -> tuple[ScaleCurve | None, str]:
    """Return locality against the scale of the charges, with words for the caption."""
    if fit is not None:
        fitted = CHARGES_BY_LOCALITY.read(fit)
        what = f", and induced force of the {REFERENCE} beyond {fitted.radius_A:g} Å that remains"
        return fitted.curve, what
    tested = None if test is None else LOCALITIES.read(test)
    if test is None or tested is None or tested.curve is None:
        return None, ""
    stands_in = "" if test.model_kind == REFERENCE else ", which stands in for the reference,"
    what = (
        f", and induced force of {model_name(str(test.model_kind))}{stands_in} beyond {tested.curve_radius_A:g} Å "
        "that remains"
    )
    return tested.curve, what


def _by_locality(record: ResultRecord) -> ChargeEstimate:
    fitted = CHARGES_BY_LOCALITY.read(record)
    return ChargeEstimate(fitted.charges, fitted.uncertainties, _overall(fitted.after_eV_per_A))


def _overall(by_species: Mapping[str, float]) -> float:
    return float(np.sqrt(np.mean(np.square(list(by_species.values())))))
