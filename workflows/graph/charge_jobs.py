"""The job that fits charges to ES-GAP's leave-out error: for the baseline, or to be compared with locality."""

from __future__ import annotations

from collections import Counter

from ...store.identifiers import derive_seed
from ...tasks.charges import FitChargesToErrorParameters
from .plan import Plan


def charge_error_parameters(plan: Plan, generation: int, data_set: str) -> FitChargesToErrorParameters:
    """Return the parameters of the fit on ``data_set``; equal ones share their result."""
    campaign = plan.campaign
    settings = campaign.baseline.charge_fit
    return FitChargesToErrorParameters(
        campaign=campaign.name,
        generation=generation,
        data_set=data_set,
        gap=campaign.gap,
        seed=derive_seed(campaign.seed, "fit"),
        composition=dict(Counter(plan.symbols)),
        mobile=campaign.mobile,
        transferable=settings.transferable,
        formal_charges=plan.formal_charges,
        exponents=plan.exponents,
        exponent_factors=settings.exponent_factors,
        accuracy=campaign.baseline.accuracy,
        earlier_model=plan.earlier_models.get("es-gap"),
    )
