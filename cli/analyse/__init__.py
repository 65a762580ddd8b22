"""`ionloop analyse`: one analysis of a file, without a campaign.

The commands are those of the installed analyses: a module here for each that reads files in a way of its own, and for
the others one that asks models of a structure (`asking`).
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Mapping, MutableMapping
from typing import TYPE_CHECKING, Any

import typer
from typer.core import TyperGroup

from ..console.help import hide_types_of_flags

if TYPE_CHECKING:
    from ...workflows.analyses.base import Analysis


class InstalledCommands(TyperGroup):
    """The commands of the installed analyses, looked up when one of them is asked for."""

    looks_commands_up = True

    @property
    def commands(self) -> MutableMapping[str, Any]:
        """The commands by name."""
        return _commands()

    @commands.setter
    def commands(self, given: object) -> None:
        """Take none: there are only those of the analyses."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names of the commands, in the order of the analyses."""
        return list(self.commands)


@functools.cache
def _commands() -> dict[str, Any]:
    from ...workflows.analyses.registry import ANALYSES

    found: dict[str, Any] = {}
    for analysis in ANALYSES.kinds:
        places: Mapping[str, str] = analysis.commands or {analysis.name.replace("_", "-"): ""}
        for name, place in places.items():
            # Nobody takes the place of a command that is there.
            found.setdefault(name, _command(name, _function(analysis, place)))
    return found


def _function(analysis: Analysis, place: str) -> Callable[..., Any]:
    """Return the function of a command; one that cannot be imported says so when it is called."""
    if not place:
        from .asking import command_of

        return command_of(analysis)
    module, _, name = place.partition(":")
    try:
        function: Callable[..., Any] = getattr(importlib.import_module(module), name)
    # A package of somebody else may fail in any way; one's own command is tested.
    except Exception as error:
        return _broken(f"the command of the analysis {analysis.name} cannot be used: {type(error).__name__}: {error}")
    return function


def _broken(reason: str) -> Callable[[], None]:
    def command() -> None:
        from ...core.errors import InputError

        raise InputError(reason)

    command.__doc__ = "Cannot be used: see `ionloop doctor`."
    return command


def _command(name: str, function: Callable[..., Any]) -> Any:
    app = typer.Typer(add_completion=False)
    app.command(name)(function)
    command = typer.main.get_command(app)
    hide_types_of_flags(command)
    return command


def register(app: typer.Typer) -> None:
    """Add the group of commands to the application."""
    app.add_typer(
        typer.Typer(
            name="analyse",
            cls=InstalledCommands,
            help="Analyse a trajectory, a structure or a model without a campaign.",
            no_args_is_help=True,
        )
    )
