"""Analyses in a notebook: one question, asked of models and a structure, with tables and figures as the answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .html import paragraph, table
from .models import Model

if TYPE_CHECKING:
    import plotly.graph_objects as go
    from ase import Atoms
    from ase.calculators.calculator import Calculator

    from ...store.records import ResultRecord
    from ..analyses.runner import Answer


class Analysed:
    """What an analysis found: results with their units, a summary in words, tables, and figures of plotly."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer

    @property
    def results(self) -> tuple[ResultRecord, ...]:
        """Every result, with ``values`` and ``units``."""
        return self.answer.results

    @property
    def failed(self) -> Mapping[str, str]:
        """Why parts failed, by what they were."""
        return self.answer.failed

    @property
    def summary(self) -> str:
        """What came out, in a sentence or two; empty where nothing did."""
        return "" if self.answer.section is None else self.answer.section.summary

    @property
    def figures(self) -> Mapping[str, go.Figure]:
        """The figures by name."""
        return {} if self.answer.section is None else self.answer.section.figures

    def __repr__(self) -> str:
        return f"<ionloop analysis: {self.summary or 'no result'}>"

    def _repr_html_(self) -> str:
        from ..analyses.sections import TableBlock, TextBlock

        shown = [paragraph(self.summary)]
        for block in () if self.answer.section is None else self.answer.section.blocks:
            if isinstance(block, TableBlock):
                shown.append(table(block.columns, block.rows, block.caption))
            elif isinstance(block, TextBlock):
                shown.append(paragraph(block.text))
        shown += [paragraph(f"{key} failed: {reason}") for key, reason in self.failed.items()]
        if self.figures:
            shown.append(paragraph(f"Figures: {', '.join(self.figures)}"))
        return "".join(shown)


def analyses() -> tuple[str, ...]:
    """Return the names of the analyses that are installed."""
    from ..analyses.registry import ANALYSES

    return ANALYSES.names


def analyse(
    kind: str,
    structure: str | Path | Atoms,
    models: Model | Calculator | str | Path | Sequence[Model | Calculator | str | Path] = (),
    *,
    engine: str | None = None,
    mobile: str = "Li",
    supercell: tuple[int, int, int] = (1, 1, 1),
    seed: int = 1,
    progress: Callable[[int, int, str], None] | None = None,
    **settings: Any,
) -> Analysed:
    """Ask an analysis of models and a structure, as a campaign asks its final models.

    Parameters
    ----------
    kind
        Name of the analysis (`analyses`).
    structure
        A built-in structure, a file that ASE reads, or atoms.
    models
        One or several, of different kinds: `Model`, its folder, or any ASE calculator.
    engine
        A reference engine with its defaults, where the analysis asks it.
    mobile, supercell, seed
        Symbol of the ion that moves, repetitions of the cell, seed of all that is drawn.
    progress
        Told how many jobs of how many are done, and which was the last.
    settings
        Of the analysis, as in a campaign file.

    Raises
    ------
    InputError
        If there is no such analysis, a setting is unknown or not allowed, or the structure cannot be used.
    """
    from pydantic import ValidationError

    from ...core.errors import InputError
    from ...sampling.structures.crystals import load_structure
    from ..analyses.registry import ANALYSES
    from ..analyses.runner import Question, ask

    analysis = ANALYSES.get(kind)
    try:
        chosen = analysis.settings_type.model_validate(settings)
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
        allowed = ", ".join(analysis.settings_type.model_fields)
        raise InputError(f"{kind}: {problems}; its settings are {allowed}") from error
    given = models if isinstance(models, Sequence) and not isinstance(models, str) else (models,)
    question = Question(
        atoms=load_structure(structure) if isinstance(structure, str | Path) else structure,
        models=[_asked(one) for one in given],
        settings=chosen,
        reference=None if engine is None else {"engine": engine},
        campaign={"mobile": mobile, "supercell": supercell, "seed": seed},
    )
    return Analysed(ask(analysis, question, progress))


def _asked(model: Model | Calculator | str | Path) -> Any:
    from ..analyses.runner import OwnCalculator

    if isinstance(model, Model):
        return model.folder
    return Path(model) if isinstance(model, str | Path) else OwnCalculator(model)
