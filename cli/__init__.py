"""The `ionloop` command.

One module per command or group of commands; each has ``register(app)`` and imports what its work needs inside the
command's body, so that ``ionloop --help`` answers at once. Who asks for one command waits for its module only.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from importlib import import_module
from typing import Annotated, Any, NoReturn

# The search for plugins of pydantic, in all that is installed, takes as long as a look at a campaign; who has one that
# should see ionloop's models sets this to nothing.
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")

import typer

from .console.boundary import run_guarded
from .console.help import hide_types_of_flags
from .console.label_options import typed_words

MODULES: Mapping[str, tuple[str, ...]] = {
    "init": ("init", "schema"),
    "check": ("check",),
    "run": ("run", "submit", "worker"),
    "status": ("status", "failures", "retry", "repair"),
    "control": ("pause", "resume", "cancel", "priority"),
    "survey": ("survey",),
    "launch": ("launch", "pilot"),
    "query": ("query",),
    "report": ("report",),
    "dashboard": ("dashboard",),
    "export": ("export",),
    "import_labels": ("import",),
    "potentials": ("fit", "evaluate"),
    "library": ("library",),
    "lammps": ("lammps",),
    "analyse": ("analyse",),
    "study": ("study",),
    "store": ("store",),
    "doctor": ("doctor",),
}
"""Which commands each module has, in the order of the help."""
_COMPLETION = "_IONLOOP_COMPLETE"
_COLLECT_AFTER = 50_000
"""New objects after which Python looks for unreachable ones."""


def _show_version(wanted: bool) -> None:
    if wanted:
        from .. import __version__

        typer.echo(f"ionloop {__version__}")
        raise typer.Exit


def _root(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    """Active learning of GAP and ES-GAP potentials for solid electrolytes."""


def application(modules: Iterable[str] = MODULES) -> typer.Typer:
    """Return the application with the commands of some modules."""
    made = typer.Typer(
        name="ionloop",
        help="Active learning of GAP and ES-GAP potentials for solid electrolytes.",
        no_args_is_help=True,
        add_completion=True,
        pretty_exceptions_enable=False,
        rich_markup_mode="rich",
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    made.callback()(_root)
    for module in modules:
        import_module(f".{module}", __name__).register(made)
    return made


def modules_for(arguments: Sequence[str], environment: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """Return the modules that a command line needs: that of its first word, all where it names no command."""
    word = next(iter(arguments), "")
    found = tuple(module for module, commands in MODULES.items() if word in commands)
    return found if found and _COMPLETION not in environment else tuple(MODULES)


def __getattr__(name: str) -> Any:
    if name != "app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return application()


def run_command_line(arguments: Sequence[str] | None = None) -> int:
    """Run the command line (``sys.argv`` without arguments) and return its exit status."""
    words = tuple(sys.argv[1:] if arguments is None else arguments)
    typed_words.set(words)
    return run_guarded(lambda: _command(modules_for(words))(args=arguments, prog_name="ionloop"))


def _command(modules: Iterable[str]) -> Any:
    """Return the command; its help shows no type for what takes no value."""
    command = typer.main.get_command(application(modules))
    waiting: list[Any] = [command]
    while waiting:
        one = waiting.pop()
        hide_types_of_flags(one)
        # What is installed is looked up when it is asked for.
        if not getattr(one, "looks_commands_up", False):
            waiting += getattr(one, "commands", {}).values()
    return command


def main() -> NoReturn:
    """Entry point of the `ionloop` command."""
    # Rows of a large store are made by ten thousands and nearly all live on: to look through them again for every 700
    # new ones takes an eighth of the time of `status`.
    gc.set_threshold(_COLLECT_AFTER)
    sys.exit(run_command_line())
