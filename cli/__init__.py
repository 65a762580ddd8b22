"""The `ionloop` command.

One module per command or group of commands; each has ``register(app)`` and imports what its work needs inside the
command's body, so that ``ionloop --help`` answers at once.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Annotated, Any, NoReturn

import typer

from . import (
    analyse,
    check,
    control,
    dashboard,
    doctor,
    export,
    import_labels,
    init,
    launch,
    potentials,
    query,
    report,
    run,
    status,
    store,
    study,
)
from .console.boundary import run_guarded
from .console.label_options import typed_words

app = typer.Typer(
    name="ionloop",
    help="Active learning of GAP and ES-GAP potentials for solid electrolytes.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        from .. import __version__

        typer.echo(f"ionloop {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    """Active learning of GAP and ES-GAP potentials for solid electrolytes."""


for _module in (
    init,
    check,
    run,
    status,
    control,
    launch,
    query,
    report,
    dashboard,
    export,
    import_labels,
    potentials,
    analyse,
    study,
    store,
    doctor,
):
    _module.register(app)


def run_command_line(arguments: Sequence[str] | None = None) -> int:
    """Run the command line (``sys.argv`` without arguments) and return its exit status."""
    typed_words.set(tuple(sys.argv[1:] if arguments is None else arguments))
    return run_guarded(lambda: _command()(args=arguments, prog_name="ionloop"))


def _command() -> Any:
    """Return the command; its help shows no type for what takes no value."""
    command = typer.main.get_command(app)
    waiting: list[Any] = [command]
    while waiting:
        one = waiting.pop()
        waiting += getattr(one, "commands", {}).values()
        one.format_help = _without_types_of_flags(one)
    return command


def _without_types_of_flags(command: Any) -> Callable[[Any, Any], None]:
    def format_help(context: Any, formatter: Any) -> None:
        for parameter in command.get_params(context):
            if getattr(parameter, "is_flag", False):
                parameter.metavar = ""
        type(command).format_help(command, context, formatter)

    return format_help


def main() -> NoReturn:
    """Entry point of the `ionloop` command."""
    sys.exit(run_command_line())
