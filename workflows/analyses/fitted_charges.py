"""Charges that follow the environment, and what those are worth that models were fitted with: a report section."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from ...analysis.charges.environments import EnvironmentCharges, charges_by_environment, environment_names
from ...analysis.charges.figures import environment_figure
from ...analysis.looks import model_name
from ...core.errors import IonloopError
from ...core.names import ERRORS, NEW
from ...fitting.electrostatics.charges_file import ChargesFile
from ...fitting.electrostatics.registry import BASELINES, DEFAULT_BASELINE, KIND
from ...store.connection import Store
from ...store.queries.latest import latest_by_model
from ...store.records import ModelRecord
from ...tasks.fit import labelled_configurations
from ...tasks.predictions import model_parity
from .sections import Block, FigureBlock, ReportSection, TableBlock, TextBlock

MILLI = 1000.0


def charge_section(store: Store, models: Iterable[ModelRecord]) -> ReportSection | None:
    """Return what the last model of each name says of its charges where they follow the environment; None without such.

    Charges by environment are those of the last model of the name that was measured on new labels.
    """
    last = {model.kind: model for model in models if model.baseline is not None}
    blocks: list[Block] = []
    summaries, title = [], "Charges of the models"
    for name, model in last.items():
        called = (model.baseline or {}).get(KIND, DEFAULT_BASELINE)
        if called not in BASELINES or BASELINES.get(called).has_species_charges:
            continue
        under = BASELINES.get(called)
        if not under.is_fitted:
            found = environment_blocks(store, model.campaign, name)
            summaries += (
                [f"{model_name(name)} has {under.name} charges, which were fitted to nothing."] if found else []
            )
            blocks += found
            continue
        title = "Charges fitted with the models"
        try:
            file = under.charges_of_fit(store.artefacts.path(model.path))
        except IonloopError as error:
            blocks.append(TextBlock(f"{model_name(name)}: {error}"))
            continue
        if file is not None:
            summaries.append(charge_summary(model_name(name), file))
            blocks += [comparison_table(model_name(name), file), species_table(model_name(name), file)]
            blocks += environment_blocks(store, model.campaign, name)
    if not blocks:
        return None
    return ReportSection("fitted-charges", title, " ".join(summaries), blocks)


def environment_blocks(store: Store, campaign: str, name: str) -> list[Block]:
    """Return the charges of atoms by what they are bonded to, on the last labels that were new to such a model."""
    errors = latest_by_model(store, campaign, ERRORS, subset=NEW).get(name)
    if errors is None:
        return []
    try:
        parity = model_parity(store, errors)
        configurations = labelled_configurations(store, errors.inputs)
    except IonloopError as error:
        return [TextBlock(f"{model_name(name)}: charges by environment cannot be told: {error}")]
    compared = [one.fitted_forces for one in configurations]
    if parity.predicted_charges is None or sum(map(np.sum, compared)) != len(parity.elements):
        return []
    environments = [environment_names(one.atoms)[here] for one, here in zip(configurations, compared, strict=True)]
    given = [one.charges[here] for one, here in zip(configurations, compared, strict=True) if one.charges is not None]
    rows = charges_by_environment(
        parity.elements,
        np.concatenate(environments),
        parity.predicted_charges,
        np.concatenate(given) if len(given) == len(configurations) else None,
    )
    atoms = len(parity.elements)
    caption = (
        f"{model_name(name)} of generation {errors.generation}: charges of {atoms} atoms in {len(configurations)} "
        "configurations that were new to it, by what an atom is bonded to (S–2P: a sulphur between two phosphorus; "
        "ions are no neighbours). Boxes hold half of the atoms, whiskers all."
    )
    if rows and rows[0].reference is not None:
        caption += (
            " Diamonds: charges of the reference. Unless they were fitted, the model's are of another kind: only order "
            "and differences within a species compare."
        )
    return [FigureBlock(f"environments-{name}", environment_figure(rows), caption), environment_table(rows)]


def environment_table(rows: Sequence[EnvironmentCharges]) -> TableBlock:
    """Return the same as numbers."""
    given = bool(rows) and rows[0].reference is not None
    columns = ("environment", "atoms", "mean charge, e", "spread, e", *(["reference, mean, e"] if given else []))
    return TableBlock(
        columns,
        [
            (
                row.name,
                str(len(row.charges)),
                f"{row.mean:+.3f}",
                f"{row.spread:.3f}",
                *([] if row.reference is None else [f"{row.reference.mean():+.3f}"]),
            )
            for row in rows
        ],
    )


def charge_summary(name: str, file: ChargesFile) -> str:
    """Return what the charges are worth, in a sentence or two that do not take range for electrostatics."""
    alone = file.without_charges.leave_out_errors.force_eV_per_A
    fitted = file.fitted.leave_out_errors.force_eV_per_A
    if alone is None or fitted is None:
        return f"{name}: charges were fitted to energies alone."
    told = f"the leave-out force error from {MILLI * alone:.0f} to {MILLI * fitted:.0f} meV/Å"
    if fitted >= alone:
        return f"{name}: charges raise {told}: the data do not determine them; take more data, or a smaller spread."
    text = f"{name}: charges lower {told}."
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
    origin = "Charges or dipoles were among the labels."
    if not file.has_labels:
        origin = "They are latent: no charge was a label."
    return TableBlock(columns, rows, f"{name}: charges on the training data. {origin}")
