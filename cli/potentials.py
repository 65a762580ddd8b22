"""`ionloop fit` and `ionloop evaluate`: a potential from a file of labels, and its errors, without a campaign."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .console.label_options import tell_summary, with_label_options
from .console.options import JsonOption, quoted
from .console.progress import progress

if TYPE_CHECKING:
    from rich.table import Table

    from ..analysis.errors.by_anion import CompositionErrors
    from ..analysis.errors.model_errors import ErrorStatistics, ModelErrors
    from ..analysis.errors.statistics import ParityData
    from ..analysis.model_uncertainty.coverage import ModelCoverage
    from ..core.arrays import FloatArray
    from ..core.settings import FrozenSettings
    from ..fitting.data_sets import DataSet
    from ..fitting.kinds.base import ModelKind
    from ..fitting.posterior.calibration import Calibration
    from ..fitting.reading import LabelRequest
    from ..fitting.settings import CommonBaselineSettings
    from ..fitting.tuning.settings import TuneSettings
    from ..fitting.tuning.trials import Trial


DataArgument = Annotated[Path, typer.Argument(help="Labelled configurations, an extended-XYZ file.")]
KindOption = Annotated[
    str,
    typer.Option(
        "--kind", "-k", help="Kind of model that is installed (gap, es-gap, ...), or a model in the file of settings."
    ),
]
DEFAULT_KIND = "gap"
SettingsOption = Annotated[
    Path | None,
    typer.Option(help="YAML file with the sections gap, baseline and models of a campaign file, those that matter."),
]
MixOption = Annotated[
    str | None,
    typer.Option(
        "--mix", help="References (names, comma between) whose labels may be fitted together; refused otherwise."
    ),
]
MIX_REMEDY = "Take one of them (`ionloop query labels --campaign NAME --format extxyz`). "


def names_to_mix(given: str | None) -> tuple[str, ...]:
    """Return the references that --mix names."""
    return tuple(name.strip() for name in (given or "").split(",") if name.strip())


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.command("fit")(with_label_options(fit))
    app.command("evaluate")(with_label_options(evaluate))


def fit(
    data: DataArgument,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the model; must not hold anything else.")],
    kind: KindOption = DEFAULT_KIND,
    settings: SettingsOption = None,
    backend: Annotated[
        str | None, typer.Option(help="What fits, of a GAP ionloop's own fitter (native) or QUIP's (gap_fit).")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the choice of sparse points.")] = 1,
    mix: MixOption = None,
    tune: Annotated[
        bool,
        typer.Option(
            "--tune",
            help="Choose hyperparameters by the left-out errors, from those of the settings on; as does tune in the "
            "file of settings.",
        ),
    ] = False,
    tune_budget: Annotated[
        float | None,
        typer.Option(min=1.0, help="What that may cost, in fits with the settings that it begins with (20)."),
    ] = None,
    *,
    reading: LabelRequest,
) -> None:
    """Fit a potential to a file of labelled configurations."""
    from ..core.errors import InputError
    from ..fitting.consistency import check_one_reference
    from ..fitting.gap_fit import FitLimits
    from ..fitting.models import fit_model
    from ..fitting.tuning.settings import TuneSettings

    data_set = with_isolated_energies(read_file(data, reading))
    check_one_reference(data_set.configurations, names_to_mix(mix), remedy=MIX_REMEDY)
    model = chosen_model(settings, data_set, kind, seed)
    asked = model.tune or (TuneSettings() if tune else None)
    if asked is not None:
        given = {} if tune_budget is None else {"budget_fits": tune_budget}
        model = _tuned(model, data_set, out.resolve(), asked.model_copy(update=given), seed, backend)
    elif tune_budget is not None:
        raise InputError("--tune-budget is for --tune, or for settings with gap.tune")
    typer.echo(f"Fitting {kind} to {len(data_set)} configurations ...", err=True)
    with progress(f"fit of {kind}") as tell:
        limits = FitLimits(progress=lambda far: tell(far.done, far.total, far.stage))
        manifest = fit_model(
            model.kind.name,
            data_set,
            model.settings,
            model.baseline,
            out.resolve(),
            seed=seed,
            backend=backend,
            limits=limits,
        )
    typer.echo(
        f"{manifest.target_energies} energies, {manifest.target_forces} force components and "
        f"{manifest.target_virials} virial components in {manifest.wall_time_s:.1f} s"
    )
    if manifest.calibration is not None:
        typer.echo(_calibration_lines(manifest.calibration))
    _tell_charges(out.resolve(), manifest.baseline)
    typer.echo(f"Wrote {out}. Next: ionloop evaluate {quoted(out)} TEST.xyz")


def _tuned(
    model: ChosenModel, data_set: DataSet, out: Path, asked: TuneSettings, seed: int, backend: str | None
) -> ChosenModel:
    """Return the model with tuned settings; trials and settings are written beside its folder."""
    from dataclasses import replace

    from ..fitting.models import tune_model
    from ..fitting.tuning.gap import TuningRequest
    from ..fitting.tuning.settings_file import write_tuned_settings

    journal, file = (out.with_name(f"{out.name}-{name}") for name in ("tuning.json", "tuned.yaml"))
    typer.echo(
        f"Tuning {model.kind.name} on {len(data_set)} configurations, within {asked.budget_fits:g} fits ...", err=True
    )
    request = TuningRequest(
        asked.budget_fits, journal, _tell_trial, asked.budget_core_minutes, asked.most_sparse_points
    )
    tuning = tune_model(model.kind.name, data_set, model.settings, model.baseline, request, seed=seed, backend=backend)
    for line in tuning.lines():
        typer.echo(line)
    write_tuned_settings(file, tuning.best.settings)
    typer.echo(f"Trials are in {journal}, settings for --settings and campaign files in {file}")
    return replace(model, settings=tuning.best.settings)


def _tell_trial(trial: Trial) -> None:
    typer.echo(f"  {trial.line()}", err=True)


def _calibration_lines(calibration: Calibration) -> str:
    """Return what the left-out errors say of the intervals that the model will give, in two lines."""
    from ..fitting.posterior.calibration import calibration_text

    text = f"Model intervals: {calibration_text(calibration)}"
    inside = [
        f"{100 * parts[-1]:.0f} % of left-out {name}"
        for name, parts in (("energies", calibration.energy_coverage), ("forces", calibration.force_coverage))
        if parts
    ]
    return f"{text}\nInside their 95 % intervals: {', '.join(inside)}" if inside else text


def _tell_charges(folder: Path, baseline: CommonBaselineSettings | None) -> None:
    """Say what charges were fitted with a model, and what they are worth."""
    from ..fitting.electrostatics.registry import kind_of_baseline

    file = None if baseline is None else kind_of_baseline(baseline).charges_of_fit(folder)
    if file is None:
        return
    from ..workflows.analyses.fitted_charges import charge_summary

    means = (f"{symbol} {one.mean_e:+.3f} ± {one.uncertainty_e:.3f}" for symbol, one in file.species.items())
    typer.echo(f"Mean charges: {', '.join(means)} e")
    typer.echo(charge_summary("The model", file))
    if not file.has_converged:
        typer.echo(f"The charges have not converged in {file.steps} steps: raise baseline.most_steps", err=True)


def evaluate(
    model: Annotated[Path, typer.Argument(help="Folder of a model, or the XML file of any GAP made by gap_fit.")],
    data: DataArgument,
    backend: Annotated[
        str | None, typer.Option(help="What evaluates, of a GAP ionloop's own evaluator (native) or QUIP's (quippy).")
    ] = None,
    parity: Annotated[
        Path | None,
        typer.Option(help="Write references and predictions side by side to this file of NumPy arrays (.npz)."),
    ] = None,
    uncertainty: Annotated[
        bool,
        typer.Option(
            "--uncertainty", help="What the model says of its own errors, beside what those are; kept in --parity, too."
        ),
    ] = False,
    by_anion: Annotated[
        str | None,
        typer.Option(
            "--by-anion",
            metavar="CENTRE-LIGAND",
            help="Errors by composition and anion, too; of the elements that are surrounded and that surround: P-S.",
        ),
    ] = None,
    as_json: JsonOption = False,
    *,
    reading: LabelRequest,
) -> None:
    """Measure a potential on labelled configurations: energies, virials, forces (by element and magnitude)."""
    from ..analysis.errors.by_anion import errors_by_anion, network_of
    from ..analysis.errors.statistics import isolated_atom_errors, parity_data, virial_errors
    from ..fitting.models import load_model
    from ..tasks.predictions import write_parity

    network = None if by_anion is None else network_of(by_anion)
    data_set = read_file(data, reading)
    calculator = load_model(model, backend=backend)
    with progress("evaluation") as tell:
        compared = parity_data(calculator, data_set.configurations, progress=tell)
    errors, virials = compared.errors(), virial_errors(calculator, data_set.configurations)
    isolated = isolated_atom_errors(calculator, data_set.fitted_isolated_atoms)
    told = _predicted_errors(model, data_set, compared) if uncertainty else None
    anions = None if network is None else errors_by_anion(compared, data_set.configurations, network)
    if parity is not None:
        write_parity(parity.resolve(), compared, {} if told is None else told.arrays)
    if as_json:
        found = errors.model_dump(mode="json")
        for name, statistics in (("virial_eV_per_atom", virials), ("isolated_atom_eV", isolated)):
            found[name] = None if statistics is None else statistics.model_dump(mode="json")
        if told is not None:
            found["model_interval_coverage"] = told.coverage.model_dump(mode="json")
            found["energy_std_eV"] = told.arrays["energy_stds"].tolist()
        if anions is not None:
            found["by_composition"] = {name: one.model_dump(mode="json") for name, one in anions.items()}
        typer.echo(json.dumps({"configurations": len(data_set), **found}, indent=2))
    else:
        _print_errors(errors, virials, isolated, len(data_set))
        if anions is not None:
            _print_anions(anions)
        if told is not None:
            _print_coverage(told.coverage)


@dataclass(frozen=True)
class _PredictedErrors:
    """How often errors lie inside the model's intervals, and its deviations as arrays of `write_parity`."""

    coverage: ModelCoverage
    arrays: dict[str, FloatArray]


def _predicted_errors(model: Path, data_set: DataSet, compared: ParityData) -> _PredictedErrors:
    """Return what a model says of its own errors.

    Raises
    ------
    InputError
        If it knows nothing, with the reason.
    """
    import numpy as np

    from ..analysis.model_uncertainty.observed import observed_coverage, predicted_deviations
    from ..fitting.models import load_posterior

    posterior = load_posterior(model, verify=False)
    configurations = data_set.configurations
    deviations = predicted_deviations(posterior, configurations)
    arrays = {
        "energy_stds": np.linalg.norm(deviations.energy_vectors, axis=1),
        "force_stds": np.concatenate([np.zeros((0, 3)), *deviations.force_stds]),
    }
    return _PredictedErrors(observed_coverage(posterior, configurations, compared, deviations), arrays)


def _print_coverage(coverage: ModelCoverage) -> None:
    from rich.table import Table

    from .console.terminal import make_console

    table = Table(box=None, pad_edge=False, title="Inside the model's own intervals", title_justify="left")
    for title in ("", "rms z", "50 %", "90 %", "95 %", "values"):
        table.add_column(title, justify="right" if title else "left")
    rows = [
        ("energies of one composition", coverage.energy_eV),
        ("forces", coverage.force_eV_per_A),
        *((f"  on {element}", one) for element, one in coverage.force_by_element_eV_per_A.items()),
    ]
    for name, one in rows:
        if one is not None:
            shares = (f"{100 * share:.0f} %" for share in (one.inside_50, one.inside_90, one.inside_95))
            table.add_row(name, f"{one.rms_z:.2f}", *shares, str(one.count))
    console = make_console()
    console.print()
    console.print(table)


def _print_anions(found: dict[str, CompositionErrors]) -> None:
    from rich.table import Table

    from .console.terminal import make_console

    table = Table(box=None, pad_edge=False, title="By composition and anion", title_justify="left")
    for title in ("", "RMSE", "MAE", "largest", "rms of labels", "values", "configurations"):
        table.add_column(title, justify="right" if title else "left")
    for name, composition in found.items():
        energy = composition.energy_eV_per_atom
        sizes = (f"{1000 * size:.2f}" for size in (energy.rmse, energy.mae, energy.maximum))
        table.add_row(f"{name}, energy (meV/atom)", *sizes, "", str(energy.count), str(composition.configurations))
        for anion, one in composition.force_by_anion_eV_per_A.items():
            force = one.force_eV_per_A
            sizes = (
                f"{1000 * size:.2f}" for size in (force.rmse, force.mae, force.maximum, one.reference_rms_eV_per_A)
            )
            table.add_row(f"  force in {anion} (meV/Å)", *sizes, str(force.count), str(one.configurations))
    console = make_console()
    console.print()
    console.print(table)


def read_file(path: Path, reading: LabelRequest) -> DataSet:
    """Read a person's file of labels and say what was read."""
    from ..fitting.reading import read_labels

    file = read_labels(path, reading)
    tell_summary(file)
    return file.data_set


def with_isolated_energies(data_set: DataSet) -> DataSet:
    """Return the set with a zero of energy for every element, and say where one had to stand in."""
    from ..fitting.reading.isolated import stand_in

    completed, remark = stand_in(data_set)
    if remark:
        typer.echo(f"  {remark}", err=True)
    return completed


@dataclass(frozen=True)
class ChosenModel:
    """What is fitted: a kind with its settings, whether these are searched for, and the baseline if it needs one."""

    kind: ModelKind
    settings: FrozenSettings
    baseline: CommonBaselineSettings | None
    tune: TuneSettings | None = None


def chosen_model(path: Path | None, data_set: DataSet, name: str, seed: int, *, matched: bool = True) -> ChosenModel:
    """Return the model that ``--kind`` names, with the settings of a file, and say what charges were fitted.

    Parameters
    ----------
    path
        Of the file of settings; None: defaults.
    name
        A kind, or a model of the file.
    matched
        Whether all that the settings name must be in the data.

    Raises
    ------
    InputError
        If there is no such kind, or the settings cannot be used.
    """
    from ..workflows.campaign.baseline_charges import baseline_of_data
    from ..workflows.campaign.models import model_called, tuning_called
    from ..workflows.campaign.settings import Campaign
    from ..workflows.campaign.settings_match import check_settings_match
    from ..workflows.submission.campaign_file import read_hyperparameters

    campaign = Campaign(name="fit", structure="none") if path is None else read_hyperparameters(path)
    kind, settings = model_called(campaign, name)
    tune = tuning_called(campaign, name)
    if path is not None and matched:
        check_settings_match(path, campaign, data_set)
    if not kind.needs_baseline:
        return ChosenModel(kind, settings, None, tune)
    baseline, charges = baseline_of_data(campaign, data_set, seed, (kind, settings))
    if charges is not None:
        found = ", ".join(f"{symbol} {charge:+.3f}" for symbol, charge in charges.items())
        typer.echo(f"Charges of the lowest leave-out error: {found} e", err=True)
    return ChosenModel(kind, settings, baseline, tune)


def _print_errors(
    errors: ModelErrors, virials: ErrorStatistics | None, isolated: ErrorStatistics | None, configurations: int
) -> None:
    from rich.table import Table

    from .console.terminal import make_console

    table = Table(box=None, pad_edge=False, title=f"{configurations} configurations", title_justify="left")
    for title in ("", "RMSE", "MAE", "largest", "values"):
        table.add_column(title, justify="right" if title else "left")
    rows = [
        ("energy, meV/atom", errors.energy_eV_per_atom),
        ("forces, meV/Å", errors.force_eV_per_A),
        *((f"  on {element}", error) for element, error in errors.force_by_element_eV_per_A.items()),
        ("virial, meV/atom", virials),
        ("isolated atoms, meV", isolated),
    ]
    for name, error in rows:
        if error is None:
            continue
        numbers = (f"{1000 * value:.2f}" for value in (error.rmse, error.mae, error.maximum))
        table.add_row(name, *numbers, str(error.count))
    console = make_console()
    console.print(table)
    if errors.force_by_magnitude_eV_per_A:
        console.print()
        console.print(_magnitude_table(errors))


def _magnitude_table(errors: ModelErrors) -> Table:
    """Return root-mean-square errors of forces by magnitude of the reference force, overall and by element."""
    from rich.table import Table

    elements = list(errors.force_by_element_eV_per_A)
    table = Table(
        box=None, pad_edge=False, title="Force RMSE by magnitude of the reference force, meV/Å", title_justify="left"
    )
    table.add_column("eV/Å")
    for title in ("all", *elements, "relative", "values"):
        table.add_column(title, justify="right")
    for one in errors.force_by_magnitude_eV_per_A:
        found = [one.by_element.get(element) for element in elements]
        numbers = [f"{1000 * error.rmse:.2f}" if error else "" for error in (one.errors, *found)]
        table.add_row(one.label, *numbers, f"{one.relative_error:.1%}", str(one.errors.count))
    return table
