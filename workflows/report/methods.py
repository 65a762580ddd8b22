"""The methods paragraph of a report, and the works to cite as BibTeX: for the text of a paper."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ...analysis.looks import model_name
from ...core.citations import Citation
from ...fitting.electrostatics.registry import BASELINES
from ...fitting.tuning.settings import TuneSettings
from ...labelling.registry import ENGINES
from ...labelling.settings import is_physics
from ...sampling.samplers.base import CommonSamplerSettings
from ...sampling.samplers.registry import sampler_of
from ...sampling.selections.registry import SELECTIONS
from ..analyses.registry import chosen_analyses
from ..campaign.samplers import Role, exploring_samplers, initial_samplers, potential_name
from ..campaign.settings import Campaign

_REFERENCE = re.compile(
    r"(?P<author>.+), (?P<journal>[^,]+) (?P<year>\d{4}), (?P<volume>[^,]+), (?P<pages>[^,]+)", re.DOTALL
)
_ACCENTS = str.maketrans({"á": "{\\'a}", "é": "{\\'e}", "ó": "{\\'o}", "ö": '{\\"o}', "ü": '{\\"u}'})


def bibtex(citations: Sequence[Citation]) -> str:
    """Return the works as BibTeX entries; the keys are what they are cited for.

    A reference that is not AUTHORS, JOURNAL YEAR, VOLUME, PAGES becomes a note, as it stands.
    """
    return "\n\n".join(_entry(citation) for citation in citations)


def _entry(citation: Citation) -> str:
    key = re.sub(r"\W+", "-", citation.what.lower()).strip("-")
    found = _REFERENCE.fullmatch(citation.reference)
    doi = [f"  doi = {{{citation.doi}}}"] if citation.doi else []
    if found is None:
        note = f"  note = {{{citation.what}: {citation.reference}}}".translate(_ACCENTS)
        return "\n".join([f"@misc{{{key},", *(f"{line}," for line in [note, *doi]), "}"])
    fields = found.groupdict()
    authors = re.sub(r" et al\.$", ", others", fields["author"])
    fields["author"] = " and ".join(authors.split(", "))
    lines = [f"  {name} = {{{value.translate(_ACCENTS)}}}," for name, value in fields.items()]
    return "\n".join([f"@article{{{key},", *lines, *doi, "}"])


def methods_paragraph(
    campaign: Campaign,
    formula: str,
    versions: Mapping[str, str],
    tuned: Mapping[str, Mapping[str, Any]] | None = None,
) -> str:
    """Return what was done, in sentences with every number of the settings that results depend on.

    Parameters
    ----------
    formula
        Of the simulated cell.
    versions
        Of the software, by package.
    tuned
        Hyperparameters that were searched for, by model, as documents hold them.
    """
    parts = [
        _reference(campaign, formula),
        _initial(campaign),
        _models(campaign, tuned or {}),
        _loop(campaign),
        _analyses(campaign),
        _software(versions),
    ]
    return " ".join(filter(None, parts))


def _reference(campaign: Campaign, formula: str) -> str:
    reference = campaign.reference
    settings = reference.model_dump(mode="json", exclude_defaults=True, exclude={"engine"})
    kind = type(reference)
    given = ", ".join(
        f"{key} {value}" for key, value in settings.items() if key not in kind.model_fields or is_physics(kind, key)
    )
    how = f" ({given}; defaults otherwise)" if given else " with default settings"
    text = (
        f"Potentials for {formula} were trained by active learning on energies, forces and stresses of the engine "
        f"{reference.engine}{how}."
    )
    told = ENGINES.get(reference.engine).methods(reference) if reference.engine in ENGINES else ""
    return f"{text} {told}".strip()


def _initial(campaign: Campaign) -> str:
    """Return what made the first training set, once where several systems have the same."""
    parts = [
        _sampled(campaign, "initial", settings)
        for settings in _distinct(
            settings for name in campaign.all_systems for settings in initial_samplers(campaign.initial_of(name))
        )
    ]
    return f"The first training set held {_listed(parts)}." if parts else ""


def _distinct(samplers: Iterable[CommonSamplerSettings]) -> list[CommonSamplerSettings]:
    """Return every sampler once, where several systems have the same."""
    return list({one.model_dump_json(): one for one in samplers}.values())


def _sampled(campaign: Campaign, role: Role, settings: CommonSamplerSettings) -> str:
    kind = sampler_of(settings)
    text = kind.methods(settings)
    if role == "initial" and kind.says_how_many(settings) and kind.frames(settings) != kind.runs(settings):
        # What names runs says nothing of how many of their frames were labelled.
        count = kind.frames(settings)
        text = text if text.startswith(f"{count} ") else f"{count} configurations of {text}"
    potential = potential_name(settings, role, campaign.driver)
    return f"{text} with {potential}" if potential else text


def _listed(parts: Sequence[str]) -> str:
    *others, last = parts
    return f"{', '.join(others)} and {last}" if others else last


def _models(campaign: Campaign, tuned: Mapping[str, Mapping[str, Any]]) -> str:
    """Return what every model says of itself, once where several say the same, and the baseline of those on one."""
    said: dict[str, list[str]] = {}
    for name in campaign.models:
        kind = campaign.kind_of(name)
        text = kind.methods(kind.settings_in(tuned[name]) if name in tuned else campaign.settings_of(name))
        if text:
            said.setdefault(text, []).append(name)
    several = len(said) > 1
    texts = [f"{', '.join(map(model_name, names))}: {text}" if several else text for text, names in said.items()]
    return " ".join([*texts, *_searches(campaign, tuned), _baseline(campaign)]).strip()


def _searches(campaign: Campaign, tuned: Mapping[str, Any]) -> list[str]:
    """Return how hyperparameters were searched for, once where that was the same for several models."""
    asked: dict[TuneSettings, list[str]] = {}
    for name in campaign.models:
        if (tune := campaign.tuning_of(name)) is not None:
            asked.setdefault(tune, []).append(name)
    texts = []
    for tune, names in asked.items():
        which = "These hyperparameters" if set(names) <= tuned.keys() else "The hyperparameters"
        texts.append(
            f"{which} of {' and '.join(map(model_name, names))} are those of the lowest left-out errors in searches "
            "along one after the other, whole configurations and correlated ones together left out, within "
            f"{tune.budget_fits:g} fits, before the first fits and when the training data had grown to "
            f"{tune.again_at_growth:g} times those of the last search."
        )
    return texts


def _baseline(campaign: Campaign) -> str:
    names = campaign.models_on_baseline
    if not names:
        return ""
    baseline = campaign.baseline
    under = baseline.kind_name
    told = BASELINES.get(under).methods(baseline) if under in BASELINES else f"a baseline of the kind {under}"
    adding = f"{' and '.join(map(model_name, names))} {'adds' if len(names) == 1 else 'add'} the same to {told}"
    if under in BASELINES and not BASELINES.get(under).uses_charges:
        return f"{adding}."
    match campaign.charge_criterion:
        case "locality":
            radius = baseline.charge_fit.radius_A
            charges = f"with charges that minimise the reference's forces induced from beyond {radius:g} Å"
        case "error":
            charges = "with charges of the lowest leave-out force error, in every generation"
        case _ if isinstance(baseline.charges, dict):
            charges = "with charges of " + ", ".join(f"{value:+g} e ({key})" for key, value in baseline.charges.items())
        case _:
            charges = f"with {baseline.formal_fraction:g} of the formal charges"
    return f"{adding}, {charges}."


def _loop(campaign: Campaign) -> str:
    stop, chosen = campaign.stop, campaign.selection
    # Of a kind that is not installed here only the name is known.
    how = SELECTIONS.get(chosen.kind).methods(chosen) if chosen.kind in SELECTIONS else f"by {chosen.kind}"
    samplers = _distinct(
        settings
        for name in campaign.all_systems
        for settings in exploring_samplers(campaign.explore_of(name), campaign.sampling)
    )
    explored = _listed([_sampled(campaign, "explore", settings) for settings in samplers] or ["samplers"])
    learning = [settings for settings in samplers if sampler_of(settings).learns]
    selected = f", and {chosen.count} frames were chosen {how} and labelled"
    measured = "audits" if learning else "new configurations"
    return (
        f"Each generation was explored by {explored}{selected if len(learning) < max(len(samplers), 1) else ''}. "
        f"The loop ended when energy and force errors "
        f"on {measured} fell by less than {100 * stop.energy_tolerance:g} and "
        f"{100 * stop.force_tolerance:g} % for {stop.patience} generation(s), or after {stop.max_generations}."
        f"{_learnt(learning)}"
    )


def _learnt(samplers: Sequence[CommonSamplerSettings]) -> str:
    """Return when what learns had converged, and that nothing rests on models that changed."""
    if not samplers:
        return ""
    tolerances = sorted({sampler_of(one).audited_tolerance_eV_per_A(one) or 0.0 for one in samplers})
    return (
        " It had converged where the upper end of the 95 % interval (bootstrap over frames) of the force error that "
        f"audits measured was below {' or '.join(f'{value:g}' for value in tolerances)} eV/Å. What walkers simulated "
        "while their model changed was exploration: analyses are of the final models, which were frozen."
    )


def _analyses(campaign: Campaign) -> str:
    chosen = list(chosen_analyses(campaign))
    if not chosen:
        return ""
    names = ", ".join(analysis.name.replace("_", "-") for analysis in chosen)
    told = [analysis.methods(analysis.settings(campaign)) for analysis in chosen]
    return " ".join(
        [f"Analyses with the final models: {names}, with the settings listed in this report.", *filter(None, told)]
    )


def _software(versions: Mapping[str, str]) -> str:
    return "Software: " + ", ".join(f"{name} {version}" for name, version in sorted(versions.items())) + "."
