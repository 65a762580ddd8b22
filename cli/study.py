"""`ionloop study`: how many configurations a potential needs, and how good their labels must be."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .console.label_options import with_label_options
from .console.options import JsonOption, RootOption, StoreOption, existing_store
from .potentials import DEFAULT_KIND, KindOption, SettingsOption, chosen_model

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..analysis.studies.studies import DataSizeStudy, ModelTransport, ReferenceQualityStudy
    from ..fitting.data_sets import BareConfiguration, DataSet, LabelledConfiguration
    from ..fitting.reading import LabelRequest
    from ..store.connection import Store
    from ..workflows.analyses.sections import ReportSection
    from ..workflows.studies.charges import ChargeStudy
    from ..workflows.studies.runs import NamedLabels, StudyPlan, TransportRun

app = typer.Typer(no_args_is_help=True, help="How many data a potential needs, and how good they must be.")


_SETS = ("first", "second")


@dataclass(frozen=True)
class _ModelChoice:
    """How models are fitted: kind, file of hyperparameters, part that is held out, seed; what for."""

    kind: str
    settings: Path | None
    held_out: float
    seed: int
    from_file: bool = True
    """Whether the labels are a file's; more types of a campaign's may come."""


OutOption = Annotated[Path, typer.Option("--out", "-o", help="Folder of models, trajectories, tables and the page.")]
HeldOutOption = Annotated[
    float, typer.Option(min=0.01, max=0.9, help="Part of every composition that no model is fitted to.")
]
SeedOption = Annotated[int, typer.Option(min=0, help="Seed of the split, of the fits and of the trajectories.")]
LengthOption = Annotated[
    float, typer.Option("--md-length-ps", min=0, help="Length of each trajectory (ps); 0: errors only, no transport.")
]
TemperatureOption = Annotated[
    list[float] | None, typer.Option("--temperature-K", help="Temperature of the trajectories (K); may be repeated.")
]
ReplicasOption = Annotated[int, typer.Option(min=1, help="Independent trajectories per model and temperature.")]
MobileOption = Annotated[str, typer.Option(help="The ions that move.")]
StartOption = Annotated[
    Path | None, typer.Option(help="Structure that trajectories begin from. Default: the first one with mobile ions.")
]
TimestepOption = Annotated[float, typer.Option("--timestep-fs", help="Time step of the trajectories (fs).")]
MixOption = Annotated[
    str | None, typer.Option("--mix", help="References whose labels may be mixed in one set (comma between).")
]


def register(parent: typer.Typer) -> None:
    """Add the group of commands to the application."""
    parent.add_typer(app, name="study")


@app.command("data-size")
@with_label_options
def data_size(
    out: OutOption,
    data: Annotated[Path | None, typer.Argument(help="Labelled configurations, an extended-XYZ file.")] = None,
    campaign: Annotated[str | None, typer.Option(help="Take the labels of a campaign; the report shows it.")] = None,
    smallest: Annotated[int, typer.Option(min=1, help="Smallest training set (configurations).")] = 4,
    kind: KindOption = DEFAULT_KIND,
    settings: SettingsOption = None,
    held_out: HeldOutOption = 0.2,
    seed: SeedOption = 1,
    length_ps: LengthOption = 0.0,
    temperature_K: TemperatureOption = None,
    replicas: ReplicasOption = 1,
    timestep_fs: TimestepOption = 2.0,
    mobile: MobileOption = "Li",
    start: StartOption = None,
    mix: MixOption = None,
    store: StoreOption = None,
    root: RootOption = None,
    as_json: JsonOption = False,
    *,
    reading: LabelRequest,
) -> None:
    """Thin a labelled set by powers of two and measure the models fitted to each part."""
    from ..fitting.consistency import check_one_reference
    from ..workflows.studies.results import data_size_blocks, record_data_size
    from ..workflows.studies.runs import run_data_size_study
    from .potentials import MIX_REMEDY, names_to_mix

    opened = None if campaign is None else existing_store(store, root)
    try:
        data_set = _data(opened, campaign, data, reading)
        check_one_reference(data_set.configurations, names_to_mix(mix), remedy=MIX_REMEDY)
        run = _transport(length_ps, temperature_K, replicas, timestep_fs, mobile)
        plan = _plan(out, data_set, _ModelChoice(kind, settings, held_out, seed, campaign is None), run, start)
        study = run_data_size_study(data_set, plan, smallest)
        _write(out, "data-size", study, data_size_blocks(study))
        if opened is not None and campaign is not None:
            record_data_size(opened, campaign, study)
    finally:
        if opened is not None:
            opened.close()
    if as_json:
        typer.echo(study.model_dump_json(indent=2))
    else:
        _print_data_size(study)
        typer.echo(f"Wrote {out / 'data-size.html'}")


@app.command("reference-quality")
@with_label_options
def reference_quality(
    out: OutOption,
    first: Annotated[Path, typer.Argument(help="Labelled configurations, an extended-XYZ file.")],
    second: Annotated[
        Path | None, typer.Argument(help="The same structures with labels of other settings; or use --relabel.")
    ] = None,
    relabel: Annotated[
        list[Path] | None,
        typer.Option(
            help="Campaign file: its `reference` computes the second labels, here and now. Given twice, the first "
            "computes the first labels, and FIRST needs none."
        ),
    ] = None,
    names: Annotated[str, typer.Option(help="What the two settings are called (comma between).")] = "first,second",
    kind: KindOption = DEFAULT_KIND,
    settings: SettingsOption = None,
    held_out: HeldOutOption = 0.2,
    seed: SeedOption = 1,
    length_ps: LengthOption = 0.0,
    temperature_K: TemperatureOption = None,
    replicas: ReplicasOption = 1,
    timestep_fs: TimestepOption = 2.0,
    mobile: MobileOption = "Li",
    start: StartOption = None,
    mix: MixOption = None,
    campaign: Annotated[str | None, typer.Option(help="Campaign whose report shall show the study.")] = None,
    store: StoreOption = None,
    root: RootOption = None,
    as_json: JsonOption = False,
    *,
    reading: LabelRequest,
) -> None:
    """Compare labels of the same structures at two settings, the models fitted to them, and their transport."""
    from ..fitting.consistency import check_one_reference
    from ..store.campaigns import find_campaign
    from ..workflows.studies.results import record_reference_quality, reference_quality_blocks
    from ..workflows.studies.runs import run_reference_quality_study
    from .potentials import MIX_REMEDY, names_to_mix

    opened = None if campaign is None else existing_store(store, root)
    if opened is not None:
        # Before hours of fits, not after them.
        find_campaign(opened, campaign)
    labels = _two_sets(out, (first, second, relabel or []), names, reading)
    for one in labels:
        check_one_reference(one.data_set.configurations, names_to_mix(mix), remedy=MIX_REMEDY)
    run = _transport(length_ps, temperature_K, replicas, timestep_fs, mobile)
    plan = _plan(out, labels[0].data_set, _ModelChoice(kind, settings, held_out, seed), run, start)
    study = run_reference_quality_study(*labels, plan)
    _write(out, "reference-quality", study, reference_quality_blocks(study))
    if opened is not None and campaign is not None:
        record_reference_quality(opened, campaign, study)
        opened.close()
    if as_json:
        typer.echo(study.model_dump_json(indent=2))
    else:
        _print_reference_quality(study)
        typer.echo(f"Wrote {out / 'reference-quality.html'}")


@app.command("charges")
@with_label_options
def charges(
    out: OutOption,
    data: Annotated[Path, typer.Argument(help="Labelled configurations, an extended-XYZ file.")],
    settings: SettingsOption = None,
    held_out: HeldOutOption = 0.2,
    seed: SeedOption = 1,
    mix: MixOption = None,
    as_json: JsonOption = False,
    *,
    reading: LabelRequest,
) -> None:
    """Fit without charges, with fixed ones and with fitted ones, beside the control that has no long range."""
    from ..fitting.consistency import check_one_reference
    from ..fitting.kinds.gap import GAP
    from ..workflows.campaign.models import settings_in_section
    from ..workflows.campaign.settings import Campaign
    from ..workflows.studies.charges import charge_study_section, charge_study_table, run_charge_study
    from ..workflows.studies.runs import StudyPlan
    from ..workflows.submission.campaign_file import read_hyperparameters
    from .potentials import MIX_REMEDY, names_to_mix

    campaign = Campaign(name="study", structure="none") if settings is None else read_hyperparameters(settings)
    data_set = _read(data, reading)
    check_one_reference(data_set.configurations, names_to_mix(mix), remedy=MIX_REMEDY)
    plan = StudyPlan(
        folder=out.resolve(),
        kind="",
        settings=settings_in_section(campaign, GAP),
        held_out_fraction=held_out,
        seed=seed,
        progress=lambda text: typer.echo(f"{text} ...", err=True),
    )
    study = run_charge_study(data_set, plan, campaign)
    section = charge_study_section(study)
    _write(out, "charges", study, section)
    if as_json:
        typer.echo(study.model_dump_json(indent=2))
        return
    table = charge_study_table(study)
    rows = [tuple(row) for row in table.rows]
    _print_table(tuple(table.columns), rows, title=f"Errors on {study.held_out} held-out configurations")
    typer.echo(section.summary)
    for text in study.skipped:
        typer.echo(f"left out: {text}", err=True)
    typer.echo(f"Wrote {out / 'charges.html'}")


def _data(opened: Store | None, campaign: str | None, file: Path | None, reading: LabelRequest) -> DataSet:
    """Return the labelled set of a file or of a campaign.

    Raises
    ------
    InputError
        If neither or both are named, or there are no labels.
    """
    from ..core.errors import InputError
    from ..workflows.studies.results import campaign_data_set

    if (campaign is None) == (file is None):
        raise InputError("name a file of labelled configurations, or a campaign (--campaign); one of the two")
    if opened is not None and campaign is not None:
        return campaign_data_set(opened, campaign)
    return _read(Path(str(file)), reading)


def _read(path: Path, reading: LabelRequest) -> DataSet:
    from .potentials import read_file, with_isolated_energies

    return with_isolated_energies(read_file(path, reading))


def _two_sets(
    out: Path, sources: tuple[Path, Path | None, list[Path]], names: str, reading: LabelRequest
) -> tuple[NamedLabels, NamedLabels]:
    """Return the two sets of labels of the same structures.

    Raises
    ------
    InputError
        If there are not two sets, or not two names.
    """
    from ..core.errors import InputError
    from ..fitting.reading import read_structures
    from ..workflows.studies.runs import NamedLabels, common_configurations

    first, second, campaign_files = sources
    called = [name.strip() for name in names.split(",")]
    if len(called) != 2 or not all(called):
        raise InputError(f"--names {names!r} must be two words with a comma between, for example full,gamma")
    if len(campaign_files) not in ((1, 2) if second is None else (0,)):
        raise InputError(
            "name a second file with labels of the same structures, or one campaign file with --relabel for the second "
            "labels, or two for both"
        )
    structures: Sequence[BareConfiguration | LabelledConfiguration]
    if len(campaign_files) == 2:
        structures = read_structures(first)
        sets = [_relabelled(structures, file, out, name) for file, name in zip(campaign_files, _SETS, strict=True)]
    else:
        one = _read(first, reading)
        structures = one.configurations
        sets = [one, _read(second, reading) if second else _relabelled(structures, campaign_files[0], out, _SETS[1])]
    both = common_configurations(*sets)
    if len(both[0]) < len(structures):
        typer.echo(f"{len(both[0])} of {len(structures)} structures have both labels.", err=True)
    return NamedLabels(called[0], both[0]), NamedLabels(called[1], both[1])


def _relabelled(
    structures: Sequence[BareConfiguration | LabelledConfiguration], campaign_file: Path, out: Path, name: str
) -> DataSet:
    """Return the structures with labels of a campaign file's reference, which are written to a file of that name."""
    from ..fitting.data_sets import write_extxyz
    from ..workflows.studies.results import with_zero_of_energy
    from ..workflows.studies.runs import relabel
    from ..workflows.submission.campaign_file import read_hyperparameters

    engine = read_hyperparameters(campaign_file).reference
    found = relabel(structures, engine, out / "labels", lambda text: typer.echo(f"{name} labels: {text}", err=True))
    write_extxyz(out / f"{name}-labels.xyz", found)
    return with_zero_of_energy(found)


def _transport(
    length_ps: float, temperatures_K: list[float] | None, replicas: int, timestep_fs: float, mobile: str
) -> TransportRun | None:
    from ..workflows.studies.runs import TransportRun

    if length_ps == 0:
        return None
    return TransportRun(
        temperatures_K=tuple(temperatures_K or (800.0,)),
        length_ps=length_ps,
        equilibration_ps=min(1.0, 0.1 * length_ps),
        replicas=replicas,
        timestep_fs=timestep_fs,
        mobile=mobile,
    )


def _plan(
    out: Path, data_set: DataSet, choice: _ModelChoice, run: TransportRun | None, start: Path | None
) -> StudyPlan:
    from ..sampling.structures.crystals import load_structure
    from ..workflows.studies.runs import StudyPlan

    # Charges are the same for all models of a study: only what it varies may tell them apart.
    model = chosen_model(choice.settings, data_set, choice.kind, choice.seed, matched=choice.from_file)
    if model.tune is not None:
        typer.echo("  gap.tune is not for studies: settings are taken as they stand", err=True)
    return StudyPlan(
        folder=out.resolve(),
        kind=model.kind.name,
        settings=model.settings,
        baseline=model.baseline,
        held_out_fraction=choice.held_out,
        seed=choice.seed,
        transport=run,
        start=None if start is None else load_structure(str(start), Path.cwd()),
        progress=lambda text: typer.echo(f"{text} ...", err=True),
    )


def _write(
    out: Path, name: str, study: DataSizeStudy | ReferenceQualityStudy | ChargeStudy, section: ReportSection
) -> None:
    """Write the study as JSON and as a page."""
    from ..core.files import write_whole
    from ..workflows.studies.results import study_page

    write_whole(out / f"{name}.json", study.model_dump_json(indent=2) + "\n")
    write_whole(out / f"{name}.html", study_page(section))


def _print_data_size(study: DataSizeStudy) -> None:
    from ..workflows.studies.results import data_size_table

    _print_table(*data_size_table(study), title=f"Errors on {study.held_out} held-out configurations")
    for text in study.skipped:
        typer.echo(f"left out: {text}", err=True)
    for point in study.points:
        _tell_remarks(f"{point.configurations} configurations", point.transport)


def _print_reference_quality(study: ReferenceQualityStudy) -> None:
    from ..workflows.studies.results import difference_table, quality_table

    _print_table(*difference_table(study), title=f"Labels of {study.differences.configurations} configurations")
    typer.echo()
    _print_table(*quality_table(study), title=f"Models, on {study.held_out} held-out configurations")
    for model in study.models:
        _tell_remarks(model.fitted_to, model.transport)


def _tell_remarks(name: str, transport: Sequence[ModelTransport]) -> None:
    for one in transport:
        if one.remark:
            typer.echo(f"{name}, {one.temperature_K:g} K: {one.remark}", err=True)


def _print_table(columns: tuple[str, ...], rows: list[tuple[str, ...]], title: str) -> None:
    from rich.table import Table

    from .console.terminal import make_console

    table = Table(box=None, pad_edge=False, title=title, title_justify="left")
    for index, column in enumerate(columns):
        table.add_column(column, justify="right" if index else "left")
    for row in rows:
        table.add_row(*row)
    console = make_console()
    # Piped into a file nothing is cut to a width that nobody chose.
    console.print(table)
