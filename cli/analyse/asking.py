"""The command of an analysis that has none of its own: its graph with models of a structure, in this process."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..console.options import JsonOption

if TYPE_CHECKING:
    from pydantic import BaseModel

    from ...workflows.analyses.base import Analysis
    from ...workflows.analyses.runner import Answer


def command_of(analysis: Analysis) -> Callable[..., None]:
    """Return the command that asks this analysis."""

    def command(
        structure: Annotated[str, typer.Argument(help="A built-in structure, or a file that ASE reads.")],
        model: Annotated[
            list[Path] | None, typer.Option(help="Folder of a model, or the XML file of a GAP; one of each kind.")
        ] = None,
        engine: Annotated[
            str | None, typer.Option(help="A reference engine with its defaults, where the analysis asks it.")
        ] = None,
        mobile: Annotated[str, typer.Option(help="Symbol of the ion that moves.")] = "Li",
        supercell: Annotated[tuple[int, int, int], typer.Option(help="Repetitions of the cell.")] = (1, 1, 1),
        seed: Annotated[int, typer.Option(min=0, help="Seed of all that is drawn.")] = 1,
        setting: Annotated[
            list[str] | None,
            typer.Option("--set", help="A setting as in the campaign file, KEY=VALUE; may be given several times."),
        ] = None,
        keep: Annotated[
            Path | None, typer.Option(help="Folder for structures that come out, such as glasses, as extended XYZ.")
        ] = None,
        as_json: JsonOption = False,
    ) -> None:
        from ...sampling.structures.crystals import load_structure
        from ...workflows.analyses.runner import Question, ask

        question = Question(
            atoms=load_structure(structure),
            models=model or (),
            settings=settings_of(analysis, setting or ()),
            reference=None if engine is None else {"engine": engine},
            campaign={"mobile": mobile, "supercell": supercell, "seed": seed},
        )
        answer = ask(analysis, question, _tell, keep=keep)
        if as_json:
            typer.echo(json.dumps(_document(answer), indent=2))
        else:
            _print(answer)
        for key, reason in answer.failed.items():
            typer.echo(f"{key}: {reason}", err=True)
        if not answer.results:
            raise typer.Exit(1)

    command.__doc__ = f"{analysis.description}: asked of models and a structure, as a campaign asks its final models."
    return command


def settings_of(analysis: Analysis, given: list[str] | tuple[str, ...]) -> BaseModel:
    """Return the settings of an analysis from KEY=VALUE, values as in a campaign file.

    Raises
    ------
    InputError
        If a key is unknown or a value is none that is allowed.
    """
    from pydantic import ValidationError

    from ...core.errors import InputError
    from ...workflows.campaign.yaml_lines import parse_yaml

    values: dict[str, Any] = {}
    for text in given:
        key, equals, value = text.partition("=")
        if not equals:
            raise InputError(f"--set {text!r}: write KEY=VALUE")
        place = values
        *above, last = key.strip().split(".")
        for part in above:
            place = place.setdefault(part, {})
        place[last] = parse_yaml(f"value: {value}").data["value"]
    try:
        return analysis.settings_type.model_validate(values)
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
        allowed = ", ".join(analysis.settings_type.model_fields)
        raise InputError(f"--set: {problems}; keys of {analysis.name} are {allowed}") from error


def _tell(done: int, total: int, key: str) -> None:
    typer.echo(f"{done} of {total}: {key}", err=True)


def _document(answer: Answer) -> dict[str, Any]:
    return {
        "summary": "" if answer.section is None else answer.section.summary,
        "results": [
            {"kind": one.kind, "model": one.model_kind, "values": one.values, "units": one.units}
            for one in answer.results
        ],
        "failed": dict(answer.failed),
    }


def _print(answer: Answer) -> None:
    from rich.table import Table

    from ...workflows.analyses.sections import TableBlock, TextBlock, numeric_columns
    from ..console.terminal import make_console

    if answer.section is None:
        return
    console = make_console()
    console.print(answer.section.summary, markup=False)
    for block in answer.section.blocks:
        if isinstance(block, TableBlock):
            table = Table(box=None, pad_edge=False)
            for title, numeric in zip(block.columns, numeric_columns(block), strict=True):
                table.add_column(title, justify="right" if numeric else "left")
            for row in block.rows:
                table.add_row(*row)
            console.print(table)
            if block.caption:
                console.print(block.caption, markup=False)
        elif isinstance(block, TextBlock):
            console.print(block.text, markup=False)
