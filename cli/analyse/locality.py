"""`ionloop analyse locality`: how far the forces of a model or of a reference engine reach in a crystal."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..console.options import JsonOption

if TYPE_CHECKING:
    from ase import Atoms
    from ase.calculators.calculator import Calculator

    from ...analysis.locality.curves import LocalityResult


class Protocol(StrEnum):
    """How far atoms are moved."""

    DISPLACEMENT = "displacement"
    FROZEN_SPHERE = "frozen-sphere"


def locality(
    structure: Annotated[str, typer.Argument(help="A built-in structure, or a file that ASE reads.")],
    model: Annotated[Path | None, typer.Option(help="Folder of a model, or the XML file of a GAP.")] = None,
    engine: Annotated[str | None, typer.Option(help="A reference engine with its defaults, e.g. gfn1-xtb.")] = None,
    protocol: Annotated[
        Protocol, typer.Option(help="Displace far atoms at random, or let them move around a frozen sphere.")
    ] = Protocol.DISPLACEMENT,
    radii: Annotated[str, typer.Option(help="Radii of the sphere in which nothing moves (Å).")] = "3,4,5,6",
    samples: Annotated[int, typer.Option(min=2, help="Displacements, or frames, around each centre.")] = 20,
    centres: Annotated[int, typer.Option(min=1, help="Centres of each species.")] = 4,
    displacement: Annotated[float, typer.Option(help="Size of the displacements along each axis (Å).")] = 0.1,
    temperature: Annotated[
        float, typer.Option("--temperature-K", help="Temperature outside of a frozen sphere (K).")
    ] = 500.0,
    supercell: Annotated[
        str | None, typer.Option(help="Repetitions, e.g. 2,1,1; by default as many as the largest radius needs.")
    ] = None,
    charges: Annotated[
        str | None, typer.Option(help="Baseline to take away: charges (e), e.g. Li=0.3,P=1.5,S=-0.6.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of centres and displacements.")] = 1,
    as_json: JsonOption = False,
) -> None:
    """Measure the force that far atoms induce, by species and radius: what a short-ranged model cannot learn."""
    from ...analysis.locality.curves import LocalitySettings
    from ...analysis.locality.measurement import measure_locality
    from ...sampling.structures.crystals import load_structure

    atoms = load_structure(structure)
    calculator, name = _potential(model, engine)
    settings = _validated(
        LocalitySettings,
        {
            "protocol": protocol.value,
            "radii_A": _numbers("--radii", radii),
            "samples": samples,
            "centres": centres,
            "displacement_A": displacement,
            "frozen_sphere": {"temperature_K": temperature, "frames": samples},
            "supercell": None if supercell is None else _numbers("--supercell", supercell),
        },
    )
    baseline = None if charges is None else _baseline(charges, atoms)
    found = measure_locality(atoms, calculator, settings, seed=seed, baseline=baseline, name=name, progress=_tell)
    if as_json:
        typer.echo(found.model_dump_json(indent=2))
    else:
        _print(found)


def _tell(done: int, total: int) -> None:
    typer.echo(f"centre {done} of {total} done", err=True)


def _potential(model: Path | None, engine: str | None) -> tuple[Calculator, str]:
    from ...core.errors import InputError
    from ...fitting.models import load_model
    from ...labelling.calculator import make_calculator
    from ...labelling.registry import ENGINES, EngineSettings

    if (model is None) == (engine is None):
        raise InputError("give either --model (a fitted potential) or --engine (a reference engine)")
    if model is not None:
        return load_model(model, backend="native"), str(model)
    ENGINES.get(str(engine))
    return make_calculator(_validated(EngineSettings, {"engine": engine})), str(engine)


def _validated(kind: Any, values: dict[str, Any]) -> Any:
    from pydantic import TypeAdapter, ValidationError

    from ...core.errors import InputError

    try:
        return TypeAdapter(kind).validate_python(values)
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise InputError(f"these options do not fit together: {problems}") from error


def _numbers(option: str, text: str) -> list[float]:
    from ...core.errors import InputError

    try:
        return [float(part) for part in text.split(",")]
    except ValueError as error:
        raise InputError(f"{option} {text!r} is not a list of numbers such as 3,4,5") from error


def _baseline(text: str, atoms: Atoms) -> Calculator:
    from ...core.errors import InputError
    from ...fitting.electrostatics.baseline import SlaterEwald
    from ...workflows.campaign.baseline_charges import slater_exponent

    charges: dict[str, float] = {}
    for part in text.split(","):
        symbol, _, value = part.strip().partition("=")
        try:
            charges[symbol] = float(value)
        except ValueError as error:
            raise InputError(f"--charges {text!r}: write them as Li=0.3,P=1.5,S=-0.6") from error
    missing = sorted(set(atoms.symbols) - set(charges))
    if missing:
        raise InputError(f"--charges has none for {', '.join(missing)}")
    total = sum(charges[symbol] for symbol in atoms.symbols)
    if abs(total) > 1e-6 * len(atoms):
        raise InputError(f"--charges leave the cell with {total:+.4g} e; they must add up to zero")
    return SlaterEwald(charges, {symbol: slater_exponent(symbol) for symbol in charges})


def _print(result: LocalityResult) -> None:
    from rich.table import Table

    from ..console.terminal import make_console

    displaced = result.protocol == "displacement"
    what = "induced force" if displaced else "σf"
    table = Table(box=None, pad_edge=False, title=f"{result.potential}, {result.atoms} atoms", title_justify="left")
    table.add_column("")
    table.add_column("r, Å" if displaced else "2 Rcut, Å", justify="right")
    for title in (what, "minus baseline") if result.after else (what,):
        table.add_column(f"{title}, eV/Å", justify="right")
    for symbol, curve in result.before.items():
        for index, radius in enumerate(result.radii_A):
            curves = [curve, *([result.after[symbol]] if result.after else [])]
            cells = [f"{one.value_eV_per_A[index]:.3f} ± {one.error_eV_per_A[index]:.3f}" for one in curves]
            table.add_row(symbol if index == 0 else "", f"{radius:g}", *cells)
    make_console().print(table)
