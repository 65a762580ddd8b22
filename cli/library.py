"""`ionloop library`: models under names, which of them know a material, and one model of several."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .console.options import JsonOption, quoted

if TYPE_CHECKING:
    from ase import Atoms
    from rich.table import Table

    from ..fitting.experts.expert import Expert
    from ..fitting.experts.library import Library
    from ..fitting.experts.settings import How
    from ..fitting.experts.sufficiency import Slopes
    from ..sampling.sufficiency import Sufficiency

FolderOption = Annotated[
    Path | None,
    typer.Option(
        "--library", help="Folder of the library. Default: $IONLOOP_LIBRARY, else ~/.local/share/ionloop/library."
    ),
]
OfOption = Annotated[
    list[str] | None,
    typer.Option("--of", help="A model of the library, again for each; all of them otherwise."),
]
StructureArgument = Annotated[str, typer.Argument(help="A file that ASE reads, or the name of a built-in crystal.")]
ThresholdOption = Annotated[
    float,
    typer.Option(
        min=1e-8, max=1.0, help="With moe: variance that sparse points may leave unexplained of each other, over δ²."
    ),
]
HOWS = ("foe", "moe", "poe")
HOW_HELP = "foe: one fit of all data with all sparse points; moe: the points that the others do not explain"


def register(app: typer.Typer) -> None:
    """Add the group of commands to the application."""
    group = typer.Typer(help="Models of several materials: keep them, combine them, ask what they know.")
    for command in (add, remove, nearest, sufficient, combine):
        group.command(command.__name__)(command)
    group.command("list")(list_models)
    app.add_typer(group, name="library", no_args_is_help=True)


def opened(folder: Path | None) -> Library:
    """Return the library of a folder, or the user's."""
    from ..fitting.experts.entries import library_folder
    from ..fitting.experts.library import Library

    return Library(library_folder(folder))


def add(
    model: Annotated[Path, typer.Argument(help="Folder of a model, as `ionloop fit` and campaigns write them.")],
    name: Annotated[str, typer.Option("--name", "-n", help="What the library calls it, such as li7p3s11-pbe.")],
    library: FolderOption = None,
) -> None:
    """Copy a model into the library."""
    from ..fitting.consistency import UNNAMED

    folder = opened(library)
    entry = folder.add(model, name)
    typer.echo(
        f"{entry.name}: {', '.join(entry.compositions)}; {entry.configurations} configurations, "
        f"{sum(entry.points.values())} SOAP points, in {folder.folder}"
    )
    if entry.environments is None:
        typer.echo(
            "Its sparse points are no atoms of its training set: it combines with models of the same elements only",
            err=True,
        )
    if UNNAMED in entry.references:
        typer.echo(
            "Its labels do not say what computed them: that it is the reference of the others nobody can check",
            err=True,
        )


def list_models(library: FolderOption = None, as_json: JsonOption = False) -> None:
    """List the models of the library."""
    from ..fitting.experts.entries import library_folder, read_entries

    folder = library_folder(library)
    entries = read_entries(folder)
    if as_json:
        # Environments are thousands of lines that a script reads in the library itself.
        shown = [
            {**one.model_dump(mode="json", exclude={"environments"}), "folder": str(folder / "models" / one.name)}
            for one in entries
        ]
        typer.echo(json.dumps({"library": str(folder), "models": shown}, indent=2))
        return
    if not entries:
        typer.echo(f"The library {folder} is empty. Next: ionloop library add MODEL --name NAME")
        return
    table = _table("", "materials", "labels", "points", "force error, meV/Å", "reference", left=(0, 1, 5))
    for one in entries:
        error = "" if one.force_rmse_eV_per_A is None else f"{1000 * one.force_rmse_eV_per_A:.0f}"
        materials = ", ".join(one.compositions)
        points = str(sum(one.points.values()))
        table.add_row(one.name, materials, str(one.configurations), points, error, ", ".join(one.references))
    _print(table)


def remove(
    names: Annotated[list[str], typer.Argument(help="Models of the library.")],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    library: FolderOption = None,
) -> None:
    """Take models out of the library; what was made of them elsewhere stays."""
    from ..core.errors import InputError

    folder = opened(library)
    missing = [name for name in names if not folder.has(name)]
    if missing:
        from ..fitting.experts.entries import chosen_entries

        chosen_entries(folder.folder, tuple(missing))
    if not yes:
        if not sys.stdin.isatty():
            raise InputError("nobody is there to confirm: --yes removes without asking")
        if not typer.confirm(f"Remove {', '.join(names)} from {folder.folder}?"):
            typer.echo("Nothing was removed")
            return
    for name in names:
        folder.remove(name)
        typer.echo(f"Removed {name}")


def nearest(
    structure: StructureArgument, of: OfOption = None, library: FolderOption = None, as_json: JsonOption = False
) -> None:
    """Tell how new a structure's atoms are to each model, the one that knows most first."""
    from ..fitting.experts.sufficiency import nearest_materials

    atoms = _structure(structure)
    found = nearest_materials(opened(library).experts(tuple(of or ())), atoms)
    if as_json:
        typer.echo(json.dumps([{"model": name, "novelty": novelty} for name, novelty in found], indent=2))
        return
    symbols = list(dict.fromkeys(atoms.get_chemical_symbols()))
    table = _table("mean novelty", *symbols, left=(0,))
    for name, novelty in found:
        table.add_row(name, *(f"{novelty[symbol]:.3f}" for symbol in symbols))
    _print(table)
    typer.echo("0: all environments are known; 1: nothing is. Next: ionloop library sufficient " + quoted(structure))


def sufficient(
    structure: StructureArgument,
    tolerance: Annotated[
        float, typer.Option(min=1e-6, help="Force error that is good enough, root mean square (eV/Å).")
    ] = 0.15,
    temperature: Annotated[float, typer.Option(min=1.0, help="Temperature of the short dynamics (K).")] = 300.0,
    length: Annotated[float, typer.Option(min=0.02, max=100.0, help="Their length (ps).")] = 2.0,
    dynamics: Annotated[
        bool,
        typer.Option("--dynamics/--no-dynamics", help="Whether short dynamics are run; a static cell is too kind."),
    ] = True,
    of: OfOption = None,
    how: Annotated[str, typer.Option(help=f"{HOW_HELP}.")] = "foe",
    threshold: ThresholdOption = 0.02,
    most_points: Annotated[
        int | None, typer.Option(min=1, help="SOAP points that the models together may have; no limit otherwise.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--frames", help="Write the structures that should be labelled to this file (.xyz).")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the dynamics' velocities.")] = 1,
    library: FolderOption = None,
    as_json: JsonOption = False,
) -> None:
    """Tell whether the library is enough for a material: use it, add labels, or start an expert."""
    from ..core.errors import InputError
    from ..fitting.experts.agreement import check_agreement
    from ..fitting.experts.sufficiency import choose_experts, nearest_materials
    from ..fitting.models import load_model
    from ..sampling.sufficiency import ShortDynamics, assess

    way = _how(how, HOWS[:2])
    atoms = _structure(structure)
    folder = opened(library)
    experts = folder.experts(tuple(of or ()))
    try:
        check_agreement(experts, one_zero=False)
    except InputError as error:
        raise InputError(f"{error}\nName those that agree: --of NAME --of NAME") from None
    if not as_json:
        typer.echo(f"Measuring what novelty means in {len(experts)} models ...", err=True)
    slopes = folder.slopes(experts, _resources())
    chosen = choose_experts(experts, [atoms], slopes, tolerance, most_points=most_points)
    if not as_json:
        typer.echo(f"Looking at {', '.join(one.name for one in chosen)} ...", err=True)
    found = assess(
        atoms,
        chosen,
        slopes,
        tolerance,
        lambda: load_model(folder.model_of(chosen, way, threshold), verify=False),
        ShortDynamics(temperature, length, seed=seed) if dynamics else None,
    )
    closest = nearest_materials(experts, atoms)[0][0]
    if out is not None and found.to_label:
        _write_frames(out, found.to_label)
    if as_json:
        typer.echo(json.dumps(_as_document(found, chosen, slopes, closest), indent=2))
    else:
        _print_sufficiency(found, chosen, slopes, closest, out)


def combine(
    names: Annotated[list[str], typer.Argument(help="Models of the library, two or more.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the new model; must not hold anything else.")],
    how: Annotated[str, typer.Option(help=f"{HOW_HELP}; poe: weights side by side, for comparisons.")] = "foe",
    threshold: ThresholdOption = 0.02,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the fit.")] = 1,
    library: FolderOption = None,
) -> None:
    """Make one model of several: an ordinary model folder, which evaluates, exports and drives as others do."""
    from ..fitting.experts.combine import combine_models
    from ..fitting.experts.entries import chosen_entries

    way = _how(how, HOWS)
    folder = opened(library)
    entries = chosen_entries(folder.folder, tuple(names))
    typer.echo(f"Combining {', '.join(names)} ({how}) ...", err=True)
    folders = [folder.model(one.name) for one in entries]
    manifest = combine_models(folders, out.resolve(), names=tuple(names), how=way, threshold=threshold, seed=seed)
    typer.echo(
        f"{manifest.configurations} configurations, {_points_in(out)} SOAP points, {', '.join(manifest.elements)}, in "
        f"{manifest.wall_time_s:.1f} s"
    )
    if (errors := manifest.leave_out_errors) is not None and errors.force_eV_per_A is not None:
        typer.echo(
            f"Left-out errors: forces {1000 * errors.force_eV_per_A:.0f} meV/Å, energies "
            f"{1000 * errors.energy_eV_per_atom:.1f} meV/atom"
        )
    typer.echo(f"Wrote {out}. Next: ionloop evaluate {quoted(out)} TEST.xyz")


def _points_in(model: Path) -> int:
    from ..fitting.experts.expert import read_expert

    points = read_expert(model, verify=False).points
    return sum(len(points.of(key)) for key in points.keys if len(key) == 1)


def _how(given: str, allowed: Sequence[str]) -> How:
    from ..store.queries.record_kinds import unknown_value

    if given not in allowed:
        raise unknown_value("--how", given, list(allowed))
    found: Any = given
    return found


def _structure(name: str) -> Atoms:
    from ..sampling.structures.crystals import load_structure

    return load_structure(name, Path())


def _resources() -> Any:
    from ..fitting.backends import native_resources
    from ..fitting.gap_fit import FitLimits

    return native_resources(FitLimits())


def _write_frames(path: Path, frames: Sequence[Atoms]) -> None:
    from ase.io import write

    path.parent.mkdir(parents=True, exist_ok=True)
    write(path, list(frames), format="extxyz")


def _as_document(found: Sufficiency, chosen: Sequence[Expert], slopes: Slopes, closest: str) -> dict[str, Any]:
    verdict = found.verdict
    return {
        "outcome": str(verdict.outcome),
        "models": [one.name for one in chosen],
        "nearest": closest,
        "tolerance_eV_per_A": verdict.tolerance_eV_per_A,
        "unknown_elements": list(verdict.unknown),
        "elements": [
            {
                "stage": one.stage,
                "element": one.element,
                "novelty": one.novelty,
                "slope_eV_per_A": one.slope_eV_per_A,
                "expected_force_error_eV_per_A": one.expected_eV_per_A,
            }
            for one in verdict.elements
        ],
        "slopes_measured": {
            symbol: {"lowest": slopes.lowest[symbol], "highest": slopes.highest[symbol]} for symbol in slopes.by_element
        },
        "labels_wanted": len(found.to_label),
        "remarks": list(found.remarks),
    }


def _print_sufficiency(
    found: Sufficiency, chosen: Sequence[Expert], slopes: Slopes, closest: str, out: Path | None
) -> None:
    verdict = found.verdict
    table = _table("", "element", "mean novelty s", "c, eV/Å", "expected error, meV/Å", left=(0, 1))
    for one in verdict.elements:
        measured = one.element in slopes.by_element
        slope = f"{one.slope_eV_per_A:.2f}" if measured else f"{one.slope_eV_per_A:.2f} (not measured)"
        expected = "unknown element" if one.element in verdict.unknown else f"{1000 * one.expected_eV_per_A:.0f}"
        table.add_row(one.stage, one.element, f"{one.novelty:.3f}", slope, expected)
    _print(table)
    for remark in found.remarks:
        typer.echo(f"Remark: {remark}")
    typer.echo(f"Models: {', '.join(one.name for one in chosen)}; nearest material: {closest}")
    typer.echo(f"Tolerance {1000 * verdict.tolerance_eV_per_A:.0f} meV/Å: {_ADVICE[str(verdict.outcome)]}")
    if found.to_label:
        typer.echo(
            f"At least {len(found.to_label)} labels are needed"
            + (f"; their structures are in {out}" if out is not None else "; --frames FILE.xyz writes their structures")
        )
    if str(verdict.outcome) == "use":
        names = " ".join(quoted(one.name) for one in chosen)
        typer.echo(
            f"Next: ionloop library combine {names} --out MODEL; then label a few frames of your dynamics to confirm it"
            if len(chosen) > 1
            else f"Next: use {chosen[0].folder}; label a few frames of your dynamics to confirm it"
        )


_ADVICE: Mapping[str, str] = {
    "use": "USE the library",
    "add labels": "ADD LABELS of this material to what the library has",
    "start an expert": "START AN EXPERT: the library tells little or nothing of this material",
}


def _table(*titles: str, left: Sequence[int] = ()) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for place, title in enumerate(titles):
        table.add_column(title, justify="left" if place in left else "right")
    return table


def _print(table: Table) -> None:
    from .console.terminal import make_console

    make_console().print(table)
