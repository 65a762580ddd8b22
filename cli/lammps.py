"""`ionloop lammps`: our potentials under LAMMPS's integrators and fixes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, NoReturn

import typer

ModelOption = Annotated[
    Path | None,
    typer.Option(
        "--model",
        "-m",
        help="Folder of a model, or the XML file of any GAP. Default: what the file's pair_coeff names.",
    ),
]


def register(app: typer.Typer) -> None:
    """Add the group of commands to the application."""
    group = typer.Typer(help="Our potentials in LAMMPS.")
    group.command("run")(run)
    app.add_typer(group, name="lammps", no_args_is_help=True)


def run(
    deck: Annotated[Path, typer.Argument(help="LAMMPS input file with `pair_style ionloop`.")],
    model: ModelOption = None,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Threads of the evaluation. Default: OMP_NUM_THREADS, or 1.")
    ] = None,
    var: Annotated[
        list[str] | None, typer.Option("--var", help="Variable of the file, NAME=VALUE; again for each.")
    ] = None,
    log: Annotated[str, typer.Option(help="LAMMPS's log file, or none.")] = "log.lammps",
) -> None:
    """Run a LAMMPS input file with a model of ours, in one process: LAMMPS moves the atoms, ionloop the forces."""
    from ..core.errors import InputError

    variables = {}
    for text in var or ():
        name, separator, value = text.partition("=")
        if not separator or not name or not value:
            raise InputError(f"--var {text}: give NAME=VALUE")
        variables[name] = value
    if threads is not None:
        # Read when a model is loaded.
        os.environ["OMP_NUM_THREADS"] = str(threads)
    from ..fitting.lammps.external import run_deck

    run_deck(deck, model, variables=variables, log=log, on_failure=_end)


def _end(failure: BaseException) -> NoReturn:
    """Tell of what failed inside a step and end the process: LAMMPS would go on with the rest of the file."""
    import ctypes
    import sys

    from .console.boundary import run_guarded

    def fail() -> None:
        raise failure

    # What LAMMPS has written to its log so far.
    ctypes.CDLL(None).fflush(None)
    status = run_guarded(fail)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
