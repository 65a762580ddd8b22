"""`ionloop analyse barriers`: the minimum-energy path between two structures, and its barrier."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..console.options import JsonOption
from ..console.progress import counting, progress

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ...analysis.barriers.bands import Band, Profile


def barriers(
    start: Annotated[Path, typer.Argument(help="The structure before the hop.")],
    end: Annotated[Path, typer.Argument(help="The structure after it: the same atoms in the same cell.")],
    model: Annotated[Path, typer.Option(help="Folder of a model, or the XML file of a GAP.")],
    images: Annotated[int, typer.Option(min=3, max=99, help="Images of the band, both ends included.")] = 9,
    force: Annotated[float, typer.Option(min=0.001, help="Force at which the band is done (eV/Å).")] = 0.05,
    keep_order: Annotated[
        bool, typer.Option(help="Take the numbers of the atoms as they are, also where the other end seems reordered.")
    ] = False,
    relax_ends: Annotated[bool, typer.Option(help="Relax both ends first.")] = True,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Write the images to this extended-XYZ file.")] = None,
    checkpoint: Annotated[
        Path | None, typer.Option(help="Keep the band's state in this file; the same command then goes on from it.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Find the path between two minima by a climbing nudged elastic band."""
    from ...analysis.barriers.bands import doubts, profile, relax_band
    from ...analysis.barriers.checkpoints import Checkpoint
    from ...analysis.barriers.path_ends import path_end
    from ...analysis.barriers.settings import BandSettings
    from ...analysis.fixed_cell_relaxation import relax_ions
    from ...analysis.fixed_cell_relaxation_settings import FixedCellRelaxation
    from ...core.errors import InputError
    from ...fitting.models import load_model
    from ...sampling.structures.crystals import load_structure
    from ...tasks.model_uncertainty.intervals import path_interval_values, read_posterior

    initial = load_structure(start)
    try:
        other = path_end(initial, load_structure(end), keep_order=keep_order)
    except InputError as error:
        raise InputError(f"{start} and {end}: {error}") from error
    for note in other.notes:
        typer.echo(f"{end}: {note}.", err=True)
    final = other.atoms
    calculator = load_model(model, backend="native")
    with progress("path") as tell:
        counting(calculator, tell)
        if relax_ends:
            relaxed = [relax_ions(atoms, calculator, FixedCellRelaxation()) for atoms in (initial, final)]
            for name, one in zip((start, end), relaxed, strict=True):
                if one.reason:
                    raise InputError(f"{name} did not relax: {one.reason}")
            initial, final = (one.atoms for one in relaxed)
        if abs(final.positions - initial.positions).max() < _SAME_MINIMUM_A:
            raise InputError(f"{start} and {end} relax into the same minimum: there is no path between them")
        band = relax_band(
            initial,
            final,
            calculator,
            BandSettings(images=images, climbing_force_eV_per_A=force, band_force_eV_per_A=max(0.1, force)),
            checkpoint=None if checkpoint is None else Checkpoint(checkpoint, model=_content_of(model)),
        )
    found = profile(band.positions, band.energies, band.forces)
    intervals = path_interval_values(read_posterior(model), initial, band.positions, found)
    if out is not None:
        _write(out, band, initial.get_chemical_symbols(), initial.cell.array)
    if as_json:
        typer.echo(json.dumps({**_as_dict(band, found), **intervals}, indent=2))
    else:
        _print(band, found, intervals)
    for doubt in doubts(found, band.forces, max(0.1, force)):
        typer.echo(f"Warning: {doubt}.", err=True)
    if band.reason:
        typer.echo(f"The band did not converge: {band.reason}", err=True)


_SAME_MINIMUM_A = 0.1


def _content_of(model: Path) -> str:
    """Return a digest of a model's files: what a checkpoint goes on with must be the same potential."""
    import hashlib

    digest = hashlib.sha256()
    files = [model, *model.parent.glob(f"{model.name}.sparseX*")] if model.is_file() else model.rglob("*")
    for path in sorted(path for path in files if path.is_file()):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def _as_dict(band: Band, found: Profile) -> dict[str, object]:
    return {
        "forward_eV": found.forward_eV,
        "reverse_eV": found.reverse_eV,
        "fit_error_eV": found.fit_error_eV,
        "coordinate_A": found.coordinate_A.tolist(),
        "energies_eV": found.energies_eV.tolist(),
        "converged": band.converged,
        "largest_force_eV_per_A": band.largest_force_eV_per_A,
        "steps": band.steps,
    }


def _write(path: Path, band: Band, symbols: list[str], cell: object) -> None:
    from ase import Atoms
    from ase.calculators.singlepoint import SinglePointCalculator
    from ase.io import write

    frames = []
    for positions, energy, forces in zip(band.positions, band.energies, band.forces, strict=True):
        atoms = Atoms(symbols, positions=positions, cell=cell, pbc=True)
        atoms.calc = SinglePointCalculator(atoms, energy=float(energy), forces=forces)
        frames.append(atoms)
    write(path, frames, format="extxyz")


def _print(band: Band, found: Profile, intervals: Mapping[str, Any]) -> None:
    from rich.table import Table

    from ...analysis.model_uncertainty.words import no_interval_text, with_intervals
    from ..console.terminal import make_console

    title = f"{len(band.energies)} images, {band.steps} steps"
    table = Table(box=None, pad_edge=False, title=title, title_justify="left", show_header=False)
    table.add_column(justify="left")
    table.add_column(justify="right")
    table.add_column(justify="left")
    for name, height_eV, way in (
        ("barrier", found.forward_eV, "forward"),
        ("barrier back", found.reverse_eV, "reverse"),
    ):
        model = intervals.get(f"{way}_model_half_width_eV")
        told = with_intervals(height_eV, "eV", ".3f", statistical=found.fit_error_eV, statistical_is="fit", model=model)
        number, _, rest = told.partition(" ")
        table.add_row(name, number, rest)
    table.add_row("length of the path", f"{found.coordinate_A[-1]:.2f}", "Å")
    table.add_row("largest force", f"{band.largest_force_eV_per_A:.3f}", "eV/Å")
    make_console().print(table)
    if reason := intervals.get("model_interval_reason"):
        typer.echo(no_interval_text("barriers", reason))
