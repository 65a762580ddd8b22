"""Charges that were fitted with models, beside what they are worth: a section of the report."""

from __future__ import annotations

from collections.abc import Iterable

from ...analysis.looks import model_name
from ...core.errors import IonloopError
from ...fitting.electrostatics.charges_file import ChargesFile
from ...fitting.electrostatics.registry import BASELINES, DEFAULT_BASELINE, KIND
from ...store.connection import Store
from ...store.records import ModelRecord
from .sections import Block, ReportSection, TableBlock, TextBlock

MILLI = 1000.0


def charge_section(store: Store, models: Iterable[ModelRecord]) -> ReportSection | None:
    """Return what the last model of each name says of the charges that were fitted with it; None without such."""
    last = {model.kind: model for model in models if model.baseline is not None}
    blocks: list[Block] = []
    summaries = []
    for name, model in last.items():
        under = (model.baseline or {}).get(KIND, DEFAULT_BASELINE)
        if under not in BASELINES or not BASELINES.get(under).is_fitted:
            continue
        try:
            file = BASELINES.get(under).charges_of_fit(store.artefacts.path(model.path))
        except IonloopError as error:
            blocks.append(TextBlock(f"{model_name(name)}: {error}"))
            continue
        if file is not None:
            summaries.append(charge_summary(model_name(name), file))
            blocks += [comparison_table(model_name(name), file), species_table(model_name(name), file)]
    if not blocks:
        return None
    return ReportSection("fitted-charges", "Charges fitted with the models", " ".join(summaries), blocks)


def charge_summary(name: str, file: ChargesFile) -> str:
    """Return what the charges are worth, in a sentence or two that do not take range for electrostatics."""
    alone = file.without_charges.leave_out_errors.force_eV_per_A
    fitted = file.fitted.leave_out_errors.force_eV_per_A
    if alone is None or fitted is None:
        return f"{name}: charges were fitted to energies alone."
    text = f"{name}: charges lower the leave-out force error from {MILLI * alone:.0f} to {MILLI * fitted:.0f} meV/Å."
    control = file.short_range_control
    if control is None or control.leave_out_errors.force_eV_per_A is None:
        return f"{text} Without the short-ranged control nobody knows how much of that is electrostatics."
    ended = control.leave_out_errors.force_eV_per_A
    return (
        f"{text} The same freedom with an interaction that ends after a few Å reaches {MILLI * ended:.0f} meV/Å: that "
        "much comes with a larger receptive field, and is no electrostatics."
    )


def comparison_table(name: str, file: ChargesFile) -> TableBlock:
    """Return errors of the model, the GAP alone and the control."""
    rows = []
    told = (
        ("no charges", file.without_charges),
        ("charges, short-ranged control", file.short_range_control),
        ("charges", file.fitted),
    )
    for what, one in told:
        if one is not None:
            errors = (one.leave_out_errors, one.training_errors)
            energies = [f"{MILLI * each.energy_eV_per_atom:.2f}" for each in errors]
            forces = ["–" if each.force_eV_per_A is None else f"{MILLI * each.force_eV_per_A:.0f}" for each in errors]
            rows.append((what, energies[0], forces[0], energies[1], forces[1]))
    columns = ("model", "energy left out, meV/atom", "force left out, meV/Å", "energy, meV/atom", "force, meV/Å")
    steps = f"{file.steps} steps" + ("" if file.has_converged else ", not converged")
    return TableBlock(
        columns, rows, f"{name}: root-mean-square errors on the training data, each configuration left out; {steps}."
    )


def species_table(name: str, file: ChargesFile) -> TableBlock:
    """Return the charges of the species on the training data."""
    rows = [
        (
            symbol,
            f"{one.mean_e:+.3f}",
            f"{one.uncertainty_e:.3f}",
            f"{one.std_e:.3f}",
            f"{one.least_e:+.2f}",
            f"{one.most_e:+.2f}",
        )
        for symbol, one in file.species.items()
    ]
    columns = ("species", "mean charge, e", "its posterior deviation, e", "spread, e", "least, e", "most, e")
    return TableBlock(columns, rows, f"{name}: charges on the training data. They are latent: no charge was a label.")
