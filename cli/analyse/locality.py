"""`ionloop analyse locality`: how far the forces of a model or of a reference engine reach in a crystal."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..console.options import JsonOption

if TYPE_CHECKING:
    from ase import Atoms

    from ...analysis.locality.curves import LocalityResult
    from ...workflows.analyses.runner import Answer


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
    baseline: Annotated[
        Path | None, typer.Option(help="Baseline to take away: that of a model, by its folder, of any kind.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of centres and displacements.")] = 1,
    as_json: JsonOption = False,
) -> None:
    """Measure the force that far atoms induce, by species and radius: what a short-ranged model cannot learn."""
    from ...analysis.locality.settings import LocalitySettings
    from ...core.errors import InputError
    from ...core.names import REFERENCE
    from ...sampling.structures.crystals import load_structure
    from ...workflows.analyses.locality.kind import LOCALITY
    from ...workflows.analyses.runner import Question, ask, name_of

    atoms = load_structure(structure)
    if (model is None) == (engine is None):
        raise InputError("give either --model (a fitted potential) or --engine (a reference engine)")
    section = _baseline(charges, baseline, atoms)
    settings = _validated(
        LocalitySettings,
        {
            "potential": REFERENCE if model is None else name_of(model),
            "protocol": protocol.value,
            "radii_A": _numbers("--radii", radii),
            "samples": samples,
            "centres": centres,
            "displacement_A": displacement,
            "frozen_sphere": {"temperature_K": temperature, "frames": samples},
            "supercell": None if supercell is None else _numbers("--supercell", supercell),
        },
    )
    question = Question(
        atoms=atoms,
        models=list(dict.fromkeys(one for one in (model, baseline) if one is not None)),
        settings=settings,
        reference=None if engine is None else _reference(engine),
        campaign={"seed": seed, "mobile": atoms.symbols[0], "baseline": section},
    )
    answer = ask(LOCALITY, question, _tell)
    told = _result(answer, str(model or engine), has_baseline=bool(section))
    if as_json:
        typer.echo(told.model_dump_json(indent=2))
    else:
        _print(told)
    for key, reason in answer.failed.items():
        typer.echo(f"{key}: {reason}", err=True)


def _baseline(charges: str | None, model: Path | None, atoms: Atoms) -> dict[str, Any]:
    """Return the section of the baseline that is taken away; without one nothing is evaluated for it."""
    from ...core.errors import InputError
    from ...workflows.analyses.runner import baseline_section

    if charges is not None and model is not None:
        raise InputError("give --charges or --baseline, not both: one baseline is taken away")
    if model is not None:
        return baseline_section(model)
    return {} if charges is None else {"charges": _charges(charges, atoms)}


def _result(answer: Answer, potential: str, *, has_baseline: bool) -> LocalityResult:
    """Return what was measured; of a baseline only where one was asked for: a campaign takes formal charges itself."""
    from ...analysis.locality.curves import LocalityResult
    from ...tasks.values.locality import LOCALITIES

    found = LOCALITIES.read(answer.only(LOCALITIES.name))
    kept = {name: value for name, value in found if name in LocalityResult.model_fields}
    return LocalityResult.model_validate(
        kept | {"potential": potential, "after": found.after if has_baseline else None}
    )


def _tell(done: int, total: int, key: str) -> None:
    typer.echo(f"{done} of {total}: {key}", err=True)


def _reference(engine: str) -> dict[str, Any]:
    from ...labelling.registry import ENGINES, EngineSettings

    ENGINES.get(engine)
    _validated(EngineSettings, {"engine": engine})
    return {"engine": engine}


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


def _charges(text: str, atoms: Atoms) -> dict[str, float]:
    from ...core.errors import InputError

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
    return charges


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
