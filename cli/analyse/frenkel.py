"""`ionloop analyse frenkel`: Frenkel pairs of a structure with a model, without and in an electric field."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..console.options import JsonOption

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ...analysis.defects.frenkel_study import PairStudy


def frenkel(
    structure: Annotated[Path, typer.Argument(help="The crystal: a built-in name, or a file that ASE reads.")],
    model: Annotated[Path, typer.Option(help="Folder of a model; only an ES-GAP has charges for a field.")],
    mobile: Annotated[str, typer.Option(help="Symbol of the ion that moves.")] = "Li",
    pairs: Annotated[int, typer.Option(min=1, max=1000, help="Pairs that are followed; twice as many are made.")] = 5,
    field: Annotated[
        float, typer.Option(min=0.0, max=2.0, help="Largest field along every axis, both ways (V/Å); 0: none.")
    ] = 0.0,
    steps: Annotated[int, typer.Option(min=1, max=100, help="Fields between zero and the largest.")] = 3,
    supercell: Annotated[tuple[int, int, int], typer.Option(help="Repetitions of the cell.")] = (1, 1, 1),
    seed: Annotated[int, typer.Option(min=0, help="Seed of the choice of pairs.")] = 1,
    as_json: JsonOption = False,
) -> None:
    """Make Frenkel pairs, relax them, and follow them in a field at fixed cell."""
    from pydantic import ValidationError

    from ...analysis.defects.formation import FrenkelSettings
    from ...analysis.defects.frenkel_study import study_frenkel_pairs
    from ...core.errors import InputError
    from ...fitting.models import load_model
    from ...sampling.structures.crystals import load_structure

    atoms, calculator = load_structure(structure), load_model(model, backend="native")
    strengths = tuple(field * number / steps for number in range(-steps, steps + 1)) if field else ()
    charges = _charges(model, calculator) if field else None
    try:
        settings = FrenkelSettings(pairs=pairs, fields_V_per_A=strengths, supercell=supercell)
    except ValidationError as error:
        raise InputError("; ".join(f"{problem['loc'][0]}: {problem['msg']}" for problem in error.errors())) from error
    found = []
    for study in study_frenkel_pairs(atoms, calculator, mobile, settings, charges=charges, seed=seed):
        found.append(study)
        typer.echo(f"pair {len(found)} of {settings.tried}: {_outcome(study)}", err=True)
    if as_json:
        typer.echo(json.dumps(_document(found, charges), indent=2))
    else:
        _print(found)


def _charges(model: Path, calculator: Any) -> dict[str, float]:
    """Return the charges of the model's baseline.

    Raises
    ------
    InputError
        If it has none.
    """
    from ...core.errors import InputError

    charges = getattr(getattr(calculator, "baseline", None), "charges", None)
    reason = getattr(calculator, "why_no_field", "")
    if reason:
        raise InputError(f"{model} cannot be put in a field: it has charges {reason}; leave --field out")
    if charges is None:
        raise InputError(
            f"{model} is no ES-GAP: a field acts on charges, and a GAP has none; give an ES-GAP or leave --field out"
        )
    return dict(charges)


def _outcome(study: PairStudy) -> str:
    if study.formation_energy_eV is not None:
        return f"{study.pair.separation_A:.2f} Å apart, {study.formation_energy_eV:.3f} eV"
    return study.state.value if study.converged else "did not converge"


def _document(found: Sequence[PairStudy], charges: Mapping[str, float] | None) -> dict[str, Any]:
    from ...analysis.defects.formation import Distribution

    distribution = Distribution.of([one.formation_energy_eV for one in found if one.formation_energy_eV is not None])
    return {
        "formation_energy_eV": None if distribution is None else distribution.model_dump(),
        "charges_e": None if charges is None else dict(charges),
        "pairs": [{**asdict(one), "pair": one.pair.model_dump()} for one in found],
    }


def _print(found: Sequence[PairStudy]) -> None:
    from rich.table import Table

    from ..console.terminal import make_console

    table = Table(box=None, pad_edge=False, title=f"{len(found)} pairs", title_justify="left")
    for title in ("distance, Å", "axis", "field, V/Å", "formation energy, eV", "state"):
        table.add_column(title, justify="right" if "," in title else "left")
    for one in found:
        distance = f"{one.pair.separation_A:.2f}"
        if not one.curves:
            energy = "–" if one.formation_energy_eV is None else f"{one.formation_energy_eV:.3f}"
            table.add_row(distance, "", "0", energy, one.state.value if one.converged else "unconverged")
        for axis, points in one.curves.items():
            for point in points:
                energy = "–" if point.formation_energy_eV is None else f"{point.formation_energy_eV:.3f}"
                state = point.state.value + ("" if point.converged else ", unconverged")
                table.add_row(distance, axis, f"{point.field_V_per_A:+g}", energy, state)
    make_console().print(table)
