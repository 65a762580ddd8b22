"""`ionloop analyse frenkel`: Frenkel pairs of a structure with a model, without and in an electric field."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..console.options import JsonOption

if TYPE_CHECKING:
    from ...tasks.values.defects import FrenkelFieldValues, FrenkelValues, PairInFieldValues, PairValues


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

    from ...analysis.defects.settings import FrenkelSettings
    from ...core.errors import InputError
    from ...sampling.structures.crystals import load_structure
    from ...tasks.values.defects import FRENKEL, FRENKEL_IN_FIELD
    from ...workflows.analyses.defects.kinds import FRENKEL as ANALYSIS
    from ...workflows.analyses.runner import Question, ask

    atoms = load_structure(structure)
    strengths = tuple(field * number / steps for number in range(-steps, steps + 1)) if field else ()
    if field:
        _check_charges(model)
    try:
        settings = FrenkelSettings(pairs=pairs, fields_V_per_A=strengths, supercell=supercell, reference=False)
    except ValidationError as error:
        raise InputError("; ".join(f"{problem['loc'][0]}: {problem['msg']}" for problem in error.errors())) from error
    answer = ask(ANALYSIS, Question(atoms, [model], settings, campaign={"mobile": mobile, "seed": seed}), _tell)
    found = FRENKEL.read(answer.only(FRENKEL.name))
    in_field = next((FRENKEL_IN_FIELD.read(one) for one in answer.of_kind(FRENKEL_IN_FIELD.name)), None)
    if as_json:
        typer.echo(json.dumps(_document(found, in_field), indent=2))
    else:
        _print(found, in_field)
    for key, reason in answer.failed.items():
        typer.echo(f"{key}: {reason}", err=True)


def _check_charges(model: Path) -> None:
    """Refuse a model without charges that a field could act on.

    Raises
    ------
    InputError
        With the reason.
    """
    from ...core.errors import InputError
    from ...fitting.electrostatics.registry import kind_of_baseline
    from ...fitting.kinds.registry import MODELS
    from ...workflows.analyses.runner import manifest_of

    manifest = manifest_of(model)
    if manifest is None or manifest.baseline is None or not MODELS.get(manifest.kind).has_charges:
        raise InputError(
            f"{model} is no ES-GAP: a field acts on charges, and a GAP has none; give an ES-GAP or leave --field out"
        )
    reason = kind_of_baseline(manifest.baseline).why_no_field(manifest.baseline)
    if reason:
        raise InputError(f"{model} cannot be put in a field: it has charges {reason}; or leave --field out")


def _tell(done: int, total: int, key: str) -> None:
    typer.echo(f"{done} of {total}: {key}", err=True)


def _followed(pair: PairValues, in_field: FrenkelFieldValues | None) -> PairInFieldValues | None:
    """Return a pair as it was followed in the field, None where it was not."""
    same = () if in_field is None else in_field.pairs
    return next((one for one in same if (one.ion, one.separation_A) == (pair.ion, pair.separation_A)), None)


_IN_FIELD = {"dipole_eA", "dipole_model_half_width_eA", "axes"}


def _document(found: FrenkelValues, in_field: FrenkelFieldValues | None) -> dict[str, Any]:
    pairs = []
    for pair in found.pairs:
        followed = _followed(pair, in_field)
        told = {} if followed is None else followed.model_dump(mode="json", include=_IN_FIELD)
        pairs.append(
            {
                "pair": pair.model_dump(mode="json", include={"ion", "separation_A"}),
                "state": pair.state,
                "formation_energy_eV": pair.formation_energy_eV,
                "formation_energy_model_half_width_eV": pair.formation_energy_model_half_width_eV,
                "dipole_eA": told.get("dipole_eA"),
                "dipole_model_half_width_eA": told.get("dipole_model_half_width_eA", {}),
                "curves": told.get("axes", {}),
            }
        )
    distribution = found.formation_energy_eV
    return {
        "formation_energy_eV": None if distribution is None else distribution.model_dump(),
        "formation_energy_model_half_width_eV": found.formation_energy_model_half_width_eV,
        "model_interval_reason": found.model_interval_reason,
        "charges_e": None if in_field is None else in_field.charges_e,
        "pairs": pairs,
    }


def _print(found: FrenkelValues, in_field: FrenkelFieldValues | None) -> None:
    from rich.table import Table

    from ...analysis.model_uncertainty.words import half_width_text, no_interval_text
    from ..console.terminal import make_console

    table = Table(box=None, pad_edge=False, title=f"{len(found.pairs)} pairs", title_justify="left")
    for title in ("distance, Å", "axis", "field, V/Å", "formation energy, eV", "model ±, eV", "state"):
        table.add_column(title, justify="right" if "," in title else "left")
    for pair in found.pairs:
        distance, followed = f"{pair.separation_A:.2f}", _followed(pair, in_field)
        if followed is None:
            model = half_width_text(pair.formation_energy_model_half_width_eV, ".3f")
            table.add_row(distance, "", "0", _energy(pair.formation_energy_eV), model, pair.state)
            continue
        for axis, points in followed.axes.items():
            for point in points:
                energy = _energy(point.formation_energy_eV)
                model = half_width_text(point.formation_energy_model_half_width_eV, ".3f")
                table.add_row(distance, axis, f"{point.field_V_per_A:+g}", energy, model, point.state)
    make_console().print(table)
    if found.model_interval_reason:
        typer.echo(no_interval_text("formation energies", found.model_interval_reason))


def _energy(energy_eV: float | None) -> str:
    return "–" if energy_eV is None else f"{energy_eV:.3f}"
