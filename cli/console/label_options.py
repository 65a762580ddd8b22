"""Options of every command that reads a file of labels: keys, units and signs, defined once and read in one way."""

from __future__ import annotations

import functools
import inspect
import shlex
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ...core.errors import InputError
from ...core.units import EnergyUnit, ForceUnit, LengthUnit, StressSign, StressUnit

if TYPE_CHECKING:
    from ...fitting.reading import LabelFile, LabelRequest

typed_words: ContextVar[tuple[str, ...]] = ContextVar("typed_words", default=())
"""What the user typed after `ionloop`."""
_FOUND = "Default: found by the usual names; none: not taken."
EnergyKey = Annotated[str | None, typer.Option(help=f"Name of the energy in the file. {_FOUND}")]
ForcesKey = Annotated[str | None, typer.Option(help=f"Name of the forces. {_FOUND}")]
VirialKey = Annotated[str | None, typer.Option(help=f"Name of the virial (six or nine numbers). {_FOUND}")]
StressKey = Annotated[str | None, typer.Option(help=f"Name of the stress (six or nine numbers). {_FOUND}")]
EnergyUnitOption = Annotated[
    EnergyUnit | None, typer.Option(help="Unit of energies and virials. Default: what the file declares, or eV.")
]
LengthUnitOption = Annotated[
    LengthUnit | None, typer.Option(help="Unit of positions and cell. Default: what the file declares, or Ang.")
]
ForceUnitOption = Annotated[
    ForceUnit | None, typer.Option(help="Unit of forces. Default: what the file declares, or energy over length.")
]
StressUnitOption = Annotated[
    StressUnit | None,
    typer.Option(help="Unit of the stress. Default: what the file declares, or energy over length cubed."),
]
StressSignOption = Annotated[
    StressSign, typer.Option(help="ASE's sign (positive: the crystal is stretched), or the opposite.")
]
UnitCheckOption = Annotated[bool, typer.Option(help="Stop where units, signs or names look wrong.")]


def label_request(
    energy_key: EnergyKey = None,
    forces_key: ForcesKey = None,
    virial_key: VirialKey = None,
    stress_key: StressKey = None,
    energy_unit: EnergyUnitOption = None,
    length_unit: LengthUnitOption = None,
    force_unit: ForceUnitOption = None,
    stress_unit: StressUnitOption = None,
    stress_sign: StressSignOption = StressSign.ASE,
    unit_check: UnitCheckOption = True,
) -> LabelRequest:
    """Return how a file is to be read."""
    from ...fitting.reading import FileUnits, LabelKeys, LabelRequest

    return LabelRequest(
        keys=LabelKeys(energy_key, forces_key, virial_key, stress_key),
        units=FileUnits(energy_unit, length_unit, stress_unit, stress_sign, force_unit),
        check_units=unit_check,
    )


def with_label_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the parameters of `label_request` to a command, which gets its result as ``reading``.

    Where the user must say which entries are the labels, the error ends with the command that does.
    """
    own = [parameter for parameter in _parameters(command) if parameter.name != "reading"]
    added = _parameters(label_request)

    @functools.wraps(command)
    def wrapped(*arguments: Any, **values: Any) -> None:
        given = {one.name: values.pop(one.name) for one in added if one.name in values}
        try:
            command(*arguments, reading=label_request(**given), **values)
        except InputError as error:
            raise _with_command_line(error) from error

    signature = inspect.Signature([*own, *added])
    vars(wrapped)["__signature__"] = signature
    wrapped.__annotations__ = {one.name: one.annotation for one in signature.parameters.values()}
    del vars(wrapped)["__wrapped__"]
    return wrapped


def _parameters(function: Callable[..., object]) -> list[inspect.Parameter]:
    """Return parameters with their annotations evaluated; what only type checkers import stays text."""
    found = []
    for one in inspect.signature(function).parameters.values():
        annotation = one.annotation
        if isinstance(annotation, str) and one.name != "reading":
            annotation = eval(annotation, function.__globals__)
        found.append(one.replace(annotation=annotation))
    return found


def _with_command_line(error: InputError) -> InputError:
    from ...fitting.reading import UnclearLabelsError

    if not isinstance(error, UnclearLabelsError) or not error.options:
        return error
    return InputError(f"{error}; for example:\n  {command_line_with(typed_words.get(), error.options)}")


def command_line_with(words: Sequence[str], options: Mapping[str, str]) -> str:
    """Return a command line as typed, with some of its options in addition or changed."""
    kept: list[str] = []
    skip = False
    for word in words:
        if not skip and word.partition("=")[0] not in options:
            kept.append(word)
        # The value of an option stands in the next word, unless in the same.
        skip = not skip and word in options
    return shlex.join(["ionloop", *(kept or ["..."]), *(part for option in options.items() for part in option)])


def tell_summary(file: LabelFile) -> None:
    """Print what was read, on the standard error stream."""
    for place, line in enumerate(file.summary):
        typer.echo(f"  {line}" if place else line, err=True)
