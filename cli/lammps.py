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
    for command in (run, build, export):
        group.command(command.__name__)(command)
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


def build(
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File of the plug-in. Default: in the user's cache.")
    ] = None,
    headers: Annotated[
        Path | None, typer.Option(help="Folder of LAMMPS's headers, where they are not beside its Python module.")
    ] = None,
    compiler: Annotated[str | None, typer.Option(help="C++17 compiler. Default: $CXX, or g++.")] = None,
) -> None:
    """Compile `pair_style ionloop` for the LAMMPS that is installed here, and compare it with our own evaluator."""
    from ..fitting.lammps.build import build_plugin, installed_lammps, plugin_path
    from ..fitting.lammps.self_test import check_plugin

    target = installed_lammps(headers)
    typer.echo(f"Compiling for LAMMPS {target.version} ...", err=True)

    def check(plugin: Path) -> None:
        for line in check_plugin(plugin):
            typer.echo(f"  {line}", err=True)

    finished = build_plugin(target, (output or plugin_path(target)).resolve(), check, compiler)
    typer.echo(f"Wrote {finished}. In the input file: plugin load {finished}")


def export(
    model: Annotated[Path, typer.Argument(help="Folder of a model, or the XML file of any GAP.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="A new or empty folder.")],
    structure: Annotated[
        Path | None,
        typer.Option(help="Crystal to begin with, a file that ASE reads. Default: the first of the training set."),
    ] = None,
    variances: Annotated[
        bool, typer.Option("--variances", help="Let LAMMPS ask for the predicted variance of each atom.")
    ] = False,
) -> None:
    """Write a folder that LAMMPS runs with our plug-in: potential, structure, input file; and compare both codes."""
    from ..core.errors import InputError
    from ..fitting.lammps.build import installed_lammps, plugin_path
    from ..fitting.lammps.deck_export import export_model, structure_of
    from ..fitting.lammps.self_test import compare
    from ..fitting.models import load_model

    calculator = load_model(model)
    atoms = structure_of(model, structure)
    plugin, why = None, "run `ionloop lammps build` first"
    try:
        built = plugin_path(installed_lammps())
        plugin = built if built.is_file() else None
    except InputError as error:
        why = str(error)
    potential = export_model(calculator, output, atoms, plugin=plugin, variances=variances)
    if plugin is None:
        typer.echo(f"Not compared with LAMMPS: {why}", err=True)
    else:
        typer.echo(
            f"Compared on {len(atoms)} atoms: {compare(plugin, potential.resolve(), calculator, atoms)}", err=True
        )
    typer.echo(f"Wrote {output}; start with {output / 'in.lammps'}")


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
