"""What `ionloop run` shows while it runs and when it ends."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from ...core.names import CONCLUSION
from ...core.states import State
from ...core.words import duration
from .boundary import discard_output
from .options import store_hint
from .terminal import make_console, redraws

if TYPE_CHECKING:
    from rich.progress_bar import ProgressBar

    from ...store.connection import Store
    from ...workflows.watching.status import CampaignStatus, GenerationSummary, SystemErrors

console = make_console()

_STATE_STYLES = {
    State.FINISHED: "green",
    State.RUNNING: "cyan",
    State.READY: "blue",
    State.WAITING: "dim",
    State.CANCELLED: "yellow",
}
_LINE_INTERVAL_S = 30.0


def jobs_text(status: CampaignStatus) -> Text:
    """Return the numbers of jobs by state, coloured."""
    text = Text()
    for state in State:
        count = status.jobs.get(state.value, 0)
        if count:
            text.append(f"{count} {state.value}   ", style=_STATE_STYLES.get(state, "red"))
    return text


def errors_table(status: CampaignStatus) -> Table:
    """Return the errors on new configurations, generation by generation."""
    seen = {kind for generation in status.generations for kind in generation.force_rmse}
    kinds: list[str] = []
    if seen:
        # How models are called is known of their kinds, whose import takes longer than all else here.
        from ...analysis.looks import in_order, model_name

        kinds = in_order(seen)
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("generation", justify="right")
    table.add_column("labels", justify="right")
    for kind in kinds:
        table.add_column(f"{model_name(kind)} force\nmeV/Å", justify="right")
        table.add_column("energy\nmeV/atom", justify="right")
    for generation in status.generations:
        labels = f"{generation.labels_finished}/{generation.labels}"
        table.add_row(str(generation.generation), labels, *_error_cells(kinds, generation))
        for name, errors in generation.systems.items():
            table.add_row("", name, *_error_cells(kinds, errors), style="dim")
    return table


def _error_cells(kinds: Iterable[str], errors: GenerationSummary | SystemErrors) -> Iterator[str]:
    for kind in kinds:
        force, energy = errors.force_rmse.get(kind), errors.energy_rmse.get(kind)
        yield "–" if force is None else f"{1000 * force:.0f}"
        yield "–" if energy is None else f"{1000 * energy:.1f}"


def property_lines(status: CampaignStatus) -> list[str]:
    """Return what is known of the properties that the campaign asks for, and of the audit set, last of all."""
    lines = []
    audited = next((one for one in reversed(status.generations) if one.audit_force_rmse), None)
    if audited is not None:
        from ...analysis.looks import model_name

        errors = ", ".join(
            f"{model_name(kind)} {1000 * force:.0f} meV/Å, {1000 * audited.audit_energy_rmse[kind]:.1f} meV/atom"
            for kind, force in sorted(audited.audit_force_rmse.items())
        )
        lines.append(f"on the audit set in generation {audited.generation}: {errors}")
    for name, tolerance in status.asked_properties.items():
        last = next((one for one in reversed(status.generations) if name in one.properties), None)
        told = "not looked at yet"
        if last is not None:
            found = last.properties[name]
            known = found.text if found.error is not None else f"not known: {found.text}"
            told = f"{known} after generation {last.generation}"
        lines.append(f"{name}: {told}, asked for within {tolerance}")
    return lines


def learning_lines(status: CampaignStatus) -> list[str]:
    """Return where what learns on the fly stands: how far it is, and what its audits say."""
    lines = []
    for one in status.learning:
        of = "on the fly" if one.system is None else f"on the fly, {one.system}"
        error = "no audited error yet"
        if one.force_rmse is not None:
            error = (
                f"audited force error {1000 * one.force_rmse:.0f} meV/Å ({1000 * (one.force_low or 0):.0f} to "
                f"{1000 * (one.force_high or 0):.0f}, {one.audits} audits), tolerance {1000 * one.force_tolerance:.3g}"
            )
        alarms = "" if one.alarms_per_ps is None else f", {one.alarms_per_ps:.3g} alarms per ps"
        ended = f"; {one.ended}" if one.ended else ""
        lines.append(
            f"{of}: generation {one.generation}, round {one.round}, {one.simulated_ps:.3g} ps in all{alarms}; "
            f"{one.labels_used} of {one.max_labels} labels; {error}{ended}"
        )
    return lines


def running_table(status: CampaignStatus) -> Table:
    """Return what runs now, how far it is and how long it may still take."""
    table = Table(box=None, pad_edge=False, show_header=False)
    if status.running:
        from rich.progress_bar import ProgressBar
    for job in status.running:
        bar: ProgressBar | str = ""
        if job.done is not None and job.of:
            bar = ProgressBar(total=job.of, completed=job.done, width=20)
        left = "" if job.seconds_left is None else f"about {duration(job.seconds_left)} left"
        table.add_row(Text(job.key, style="cyan"), duration(job.seconds), bar, left)
    return table


def dashboard(status: CampaignStatus) -> Panel:
    """Return the panel that is redrawn while the campaign runs."""
    parts: list[Text | Table] = [jobs_text(status)]
    if status.running:
        parts += [Text(), running_table(status)]
    if any(generation.labels for generation in status.generations):
        parts += [Text(), errors_table(status)]
    if status.learning:
        parts += [Text(), Text("\n".join(learning_lines(status)))]
    title = (
        f"{status.name}   generation {status.generation} of at most {status.max_generations}"
        f"   {duration(status.seconds)}"
    )
    return Panel(Group(*parts), title=title, title_align="left", border_style="dim", expand=console.is_terminal)


@contextmanager
def live_display() -> Iterator[Callable[[CampaignStatus], None]]:
    """Yield a function that shows a status: redrawn on a terminal, as lines in a log.

    A terminal that is closed, or a reader that goes away, is no reason to end what is shown.
    """
    if not redraws(console):
        yield _unless_nobody_reads(_line_printer())
        return
    from rich.live import Live

    # Redrawn from here: a thread of rich's own would meet a closed terminal by itself.
    live = Live(console=console, auto_refresh=False, transient=True)
    with suppress(OSError):
        live.start()
    try:
        yield _unless_nobody_reads(lambda status: live.update(dashboard(status), refresh=True))
    finally:
        with suppress(OSError):
            live.stop()


def _unless_nobody_reads(show: Callable[[CampaignStatus], None]) -> Callable[[CampaignStatus], None]:
    def watch(status: CampaignStatus) -> None:
        try:
            show(status)
        except OSError:
            discard_output()

    return watch


def _line_printer() -> Callable[[CampaignStatus], None]:
    last: dict[str, object] = {"seen": None, "time": 0.0}

    def show(status: CampaignStatus) -> None:
        seen = (status.generation, sum(bool(g.force_rmse) for g in status.generations), status.state)
        moment = time.monotonic()
        if seen == last["seen"] and moment - float(str(last["time"])) < _LINE_INTERVAL_S:
            return
        last.update(seen=seen, time=moment)
        line = Text(f"{duration(status.seconds):>12}  generation {status.generation}: ")
        line.append_text(jobs_text(status))
        assessed = [g for g in status.generations if g.force_rmse]
        if assessed:
            from ...analysis.looks import model_name

            errors = ", ".join(
                f"{model_name(kind)} {1000 * error:.0f}" for kind, error in sorted(assessed[-1].force_rmse.items())
            )
            line.append(f"  force error in generation {assessed[-1].generation}: {errors} meV/Å")
        console.print(line, soft_wrap=True)

    return show


def print_summary(store: Store, status: CampaignStatus, report: Path) -> None:
    """Print how the campaign ended: why, the errors of each generation, where the models and the report are."""
    from ...analysis.looks import model_name
    from ...store.queries.latest import latest
    from ...tasks.values.loop import CONCLUSIONS

    style = "green" if status.state is State.FINISHED else "red"
    console.print()
    console.print(Text(f"{status.name}: {status.state.value} after {duration(status.seconds)}", style=f"bold {style}"))
    console.print(Text(status.reason), soft_wrap=True)
    if status.hold and status.state is not State.FINISHED:
        hint = f"ionloop resume {status.name}{store_hint(store)}"
        console.print(f"Let it go on with: {hint}", soft_wrap=True, markup=False)
    console.print()
    console.print("Errors on each generation's new configurations, before they joined the training set")
    console.print(errors_table(status))
    for line in (*learning_lines(status), *property_lines(status)):
        console.print(line, soft_wrap=True, markup=False)
    console.print()
    conclusion = latest(store, status.name, CONCLUSION)
    if conclusion is not None:
        for kind, model in sorted(CONCLUSIONS.read(conclusion).models.items()):
            path = store.artefacts.path(store.models[model].path)
            if not all(store.artefacts.is_there(artefact) for artefact in store.models[model].files):
                console.print(f"{model_name(kind):>8}: its files are gone", style="red", soft_wrap=True)
                continue
            console.print(f"{model_name(kind):>8}: {path}", soft_wrap=True)
    unsuccessful = sum(
        count for state, count in status.jobs.items() if state in ("failed", "killed", "unconverged", "rejected")
    )
    if unsuccessful:
        hint = f"ionloop failures{store_hint(store)}"
        console.print(f"{unsuccessful} job(s) did not succeed: {hint}", style="yellow", soft_wrap=True)
    console.print(f"  report: {report}", soft_wrap=True)
