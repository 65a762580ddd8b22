"""Read a survey file: every problem at once, with file, line, key, value and what is allowed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from ...sampling.candidates.filters import CandidateFilters
from ...tasks.values.screening import SCREENINGS
from ..campaign.problems import CampaignFileError, Problem, closest
from ..campaign.schema import CAMPAIGN_FILE, FileSchema
from ..campaign.settings import Campaign
from ..campaign.validation import problems_of, validate_campaign
from ..submission.campaign_file import located_problems, read_document, with_files_read
from .settings import INSTEAD, SurveySettings

SURVEY_FILE: Final = FileSchema(SurveySettings, {"name": "name", "candidates": ()})
_OWN: Final = frozenset(SurveySettings.model_fields)
_ANY_NAME: Final = "any"
_ANY_STRUCTURE: Final = "a crystal of the survey"


@dataclass(frozen=True)
class Survey:
    """A survey file as it was read.

    Attributes
    ----------
    campaign
        What holds for the campaign of every crystal; its name and its structure are placeholders.
    file
        Where it lies.
    """

    settings: SurveySettings
    campaign: Campaign
    file: Path

    @property
    def filters(self) -> CandidateFilters:
        """The filters, for the mobile ion of the campaigns."""
        return self.settings.filters.model_copy(update={"mobile": self.campaign.mobile})

    @property
    def name(self) -> str:
        """The survey's name."""
        return self.settings.name

    def document(self) -> dict[str, Any]:
        """Return all settings as plain data, as the store keeps them."""
        campaign = self.campaign.model_dump(mode="json", exclude={"name", *INSTEAD})
        return {**self.settings.model_dump(mode="json"), **campaign}


def read_survey(path: str | Path) -> Survey:
    """Read and check a survey file; its sources are not asked.

    Raises
    ------
    CampaignFileError
        With every problem that could be found.
    """
    path = Path(path)
    document = read_document(path, "survey")
    data: Mapping[str, Any] = document.data
    own = {key: value for key, value in data.items() if key in _OWN}
    others = {key: value for key, value in data.items() if key not in _OWN and key not in INSTEAD}
    settings, problems = _own_settings(own)
    for key in INSTEAD:
        if key in data:
            message = "a survey's crystals are its candidates: remove it"
            problems.append(Problem((key,), message, value=data[key], related=(("candidates",),)))
    campaign, more = validate_campaign({"analyses": _default_analyses(), **others, **_placeholders()})
    campaign, of_files = with_files_read(campaign, path.parent)
    problems += [_told_of_survey(one) for one in (*more, *of_files)]
    if settings is not None:
        problems += _between(settings, campaign)
    if problems or document.problems or settings is None:
        raise CampaignFileError(path, located_problems(problems, document))
    return Survey(settings, campaign, path)


def _placeholders() -> dict[str, Any]:
    return {"name": _ANY_NAME, "structure": _ANY_STRUCTURE}


def _default_analyses() -> dict[str, Any]:
    """Return what a survey asks of its crystals where its file does not say it."""
    return {SCREENINGS.name: {}}


def _own_settings(own: Mapping[str, Any]) -> tuple[SurveySettings | None, list[Problem]]:
    try:
        return SurveySettings.model_validate_json(json.dumps(own), strict=True), []
    except ValidationError as error:
        found = [problem for details in error.errors() for problem in problems_of(details, own, SURVEY_FILE)]
        return None, [one for place, one in enumerate(found) if one not in found[:place]]


def _between(settings: SurveySettings, campaign: Campaign) -> Iterator[Problem]:
    """Yield what does not fit between the survey's own keys and those of its campaigns."""
    if not settings.candidates:
        yield Problem(
            ("candidates",), "names no source of crystals", allowed=SURVEY_FILE.allowed_at(("candidates",), {})
        )
    given = settings.filters.mobile
    if "mobile" in settings.filters.model_fields_set and given != campaign.mobile:
        message = f"is not the mobile ion of the campaigns, {campaign.mobile}: remove it, or set mobile"
        yield Problem(("filters", "mobile"), message, value=given, related=(("mobile",),))


def _told_of_survey(problem: Problem) -> Problem:
    """Return what is wrong with a key of all campaigns, as it stands in a survey file."""
    if len(problem.key) != 1 or problem.allowed is None or not problem.allowed.startswith("name, "):
        return problem
    names = [*_OWN_IN_ORDER, *(name for name in CAMPAIGN_FILE.allowed_keys((), {}) if name not in INSTEAD)]
    allowed = list(dict.fromkeys(names))
    near = closest(str(problem.key[0]), allowed) or problem.suggestion
    return replace(problem, allowed=", ".join(allowed), suggestion=near)


_OWN_IN_ORDER: Final = tuple(SurveySettings.model_fields)
