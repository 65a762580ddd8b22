"""What a tuned fit varies: hyperparameters, each on a ladder of values, and the weights of species and types."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from ..native.sparse_fit.fit_errors import ErrorSummary
from ..settings import GapSettings, Regularisation, SoapSettings

ZETAS = (1, 2, 4)
ATOM_SIGMAS_A = (0.25, 0.3, 0.4, 0.5, 0.6, 0.75)
CUTOFFS_A = (4.0, 4.5, 5.0, 5.5, 6.0, 6.5, 7.0)
TRANSITIONS_A = (0.5, 1.0, 1.5, 2.0, 3.0, 4.0)
"""Wide ones let far neighbours count less than near ones, and need not give them up."""
BASES = ((4, 3), (6, 4), (8, 4), (8, 6), (10, 6))
"""n_max and l_max."""
DELTAS_eV = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
PAIR_DELTAS_eV = (0.2, 0.5, 1.0, 2.0, 5.0)
SPARSE_POINTS = (60, 100, 150, 200, 300, 400, 500, 700, 1000, 1400, 2000)
FORCE_SIGMAS_eV_per_A = (0.005, 0.01, 0.02, 0.03, 0.05, 0.07, 0.1, 0.15, 0.2, 0.3)
ENERGY_SIGMAS_eV = (0.0001, 0.0003, 0.001, 0.003, 0.01)
_LEAST_SHARE, _LARGEST_SHARE = 0.5, 2.0
"""Weights of species and types stay within this: errors of few labels are uncertain themselves."""


@dataclass(frozen=True)
class Axis:
    """One thing that is varied.

    Attributes
    ----------
    name
        For the table: the key in the section ``gap``.
    step
        Returns settings one step away (+1 or -1), or None at the end of the ladder.
    keeps_rows
        Whether the rows of the fit stay what they are: only the linear system is solved again.
    """

    name: str
    step: Callable[[GapSettings, int], GapSettings | None]
    keeps_rows: bool = False


def _next(ladder: Sequence[float], value: float, direction: int) -> float | None:
    beyond = [one for one in ladder if (one > value if direction > 0 else one < value)]
    return (min(beyond) if direction > 0 else max(beyond)) if beyond else None


def _soap(settings: GapSettings, **changed: object) -> GapSettings:
    return settings.model_copy(update={"soap": SoapSettings.model_validate({**settings.soap.model_dump(), **changed})})


def _step_zeta(settings: GapSettings, direction: int) -> GapSettings | None:
    value = _next(ZETAS, settings.soap.zeta, direction)
    return None if value is None else _soap(settings, zeta=int(value))


def _step_atom_sigma(settings: GapSettings, direction: int) -> GapSettings | None:
    value = _next(ATOM_SIGMAS_A, settings.soap.atom_sigma_A, direction)
    return None if value is None else _soap(settings, atom_sigma_A=value)


def _step_cutoff(settings: GapSettings, direction: int) -> GapSettings | None:
    value = _next(CUTOFFS_A, settings.soap.cutoff_A, direction)
    return None if value is None or value < settings.soap.transition_width_A else _soap(settings, cutoff_A=value)


def _step_transition(settings: GapSettings, direction: int) -> GapSettings | None:
    value = _next(TRANSITIONS_A, settings.soap.transition_width_A, direction)
    return None if value is None or value > settings.soap.cutoff_A else _soap(settings, transition_width_A=value)


def _step_basis(settings: GapSettings, direction: int) -> GapSettings | None:
    soap = settings.soap
    sizes = {n_max * (l_max + 1): (n_max, l_max) for n_max, l_max in BASES}
    size = _next(tuple(sizes), soap.n_max * (soap.l_max + 1), direction)
    if size is None:
        return None
    n_max, l_max = sizes[int(size)]
    return _soap(settings, n_max=n_max, l_max=l_max)


def _step_delta(settings: GapSettings, direction: int) -> GapSettings | None:
    value = _next(DELTAS_eV, settings.soap.delta_eV, direction)
    return None if value is None else _soap(settings, delta_eV=value)


def _step_pair_delta(settings: GapSettings, direction: int) -> GapSettings | None:
    if settings.two_body is None:
        return None
    value = _next(PAIR_DELTAS_eV, settings.two_body.delta_eV, direction)
    if value is None:
        return None
    return settings.model_copy(update={"two_body": settings.two_body.model_copy(update={"delta_eV": value})})


def _step_points(settings: GapSettings, direction: int) -> GapSettings | None:
    value = _next(SPARSE_POINTS, settings.soap.sparse_points, direction)
    return None if value is None else _soap(settings, sparse_points=int(value))


def _weighted(settings: GapSettings, name: str, ladder: Sequence[float], direction: int) -> GapSettings | None:
    """Return settings with one expected error on the next step, those of single species and types in proportion."""
    now = getattr(settings.regularisation, name)
    value = _next(ladder, now, direction)
    if value is None:
        return None

    def scaled(one: Regularisation) -> Regularisation:
        changed: dict[str, object] = {name: getattr(one, name) * value / now}
        if name == "force_eV_per_A":
            by_element = one.force_by_element_eV_per_A
            changed["force_by_element_eV_per_A"] = {key: sigma * value / now for key, sigma in by_element.items()}
        return one.model_copy(update=changed)

    by_type = {key: scaled(one) for key, one in settings.regularisation_by_config_type.items()}
    return settings.model_copy(
        update={"regularisation": scaled(settings.regularisation), "regularisation_by_config_type": by_type}
    )


def _step_force_sigma(settings: GapSettings, direction: int) -> GapSettings | None:
    return _weighted(settings, "force_eV_per_A", FORCE_SIGMAS_eV_per_A, direction)


def _step_energy_sigma(settings: GapSettings, direction: int) -> GapSettings | None:
    return _weighted(settings, "energy_eV_per_atom", ENERGY_SIGMAS_eV, direction)


AXES = (
    Axis("soap.zeta", _step_zeta),
    Axis("soap.transition_width_A", _step_transition),
    Axis("regularisation.force_eV_per_A", _step_force_sigma, keeps_rows=True),
    Axis("soap.atom_sigma_A", _step_atom_sigma),
    Axis("soap.cutoff_A", _step_cutoff),
    Axis("regularisation.energy_eV_per_atom", _step_energy_sigma, keeps_rows=True),
    Axis("soap.sparse_points", _step_points),
    Axis("soap.n_max, l_max", _step_basis),
    Axis("soap.delta_eV", _step_delta),
    Axis("two_body.delta_eV", _step_pair_delta),
)
"""In the order of what they usually bring."""


def axes_within(most_sparse_points: int) -> tuple[Axis, ...]:
    """Return the axes with no more sparse points than so many; settings that have more keep them."""

    def step(settings: GapSettings, direction: int) -> GapSettings | None:
        stepped = _step_points(settings, direction)
        within = stepped is not None and (direction < 0 or stepped.soap.sparse_points <= most_sparse_points)
        return stepped if within else None

    return tuple(replace(axis, step=step) if axis.step is _step_points else axis for axis in AXES)


def weighted_by_errors(
    settings: GapSettings, overall: ErrorSummary, by_type: Mapping[str, ErrorSummary]
) -> list[tuple[str, GapSettings]]:
    """Return settings whose expected force errors follow the left-out errors: of elements, and of types of data.

    Parameters
    ----------
    overall, by_type
        Left-out errors with the settings, of all configurations and of those of each type.
    """
    if overall.force_eV_per_A is None:
        return []
    found = []
    sigma = settings.regularisation
    shares = {key: _share(one, overall.force_eV_per_A) for key, one in overall.force_by_element_eV_per_A.items()}
    by_element = {key: round(share * sigma.force_eV_per_A, 6) for key, share in shares.items()}
    if len(shares) > 1 and not sigma.force_by_element_eV_per_A:
        weighted = sigma.model_copy(update={"force_by_element_eV_per_A": by_element})
        found.append(("regularisation.force_by_element", settings.model_copy(update={"regularisation": weighted})))
    weights = _by_type(settings, by_type, overall.force_eV_per_A)
    if len(weights) > 1 and not settings.regularisation_by_config_type:
        weighted_types = settings.model_copy(update={"regularisation_by_config_type": weights})
        found.append(("regularisation_by_config_type", weighted_types))
    return found


def _by_type(settings: GapSettings, by_type: Mapping[str, ErrorSummary], overall: float) -> dict[str, Regularisation]:
    """Return regularisations of the types of configurations that have forces."""
    found = {}
    sigma = settings.regularisation
    for name in sorted(by_type):
        own = by_type[name].force_eV_per_A
        if own is None:
            continue
        share = _share(own, overall)
        by_element = {key: round(share * one, 6) for key, one in sigma.force_by_element_eV_per_A.items()}
        found[name] = sigma.model_copy(
            update={
                "force_eV_per_A": round(share * sigma.force_eV_per_A, 6),
                "energy_eV_per_atom": round(share * sigma.energy_eV_per_atom, 8),
                "force_by_element_eV_per_A": by_element,
            }
        )
    return found


def _share(error: float, overall: float) -> float:
    return min(max(error / overall, _LEAST_SHARE), _LARGEST_SHARE) if overall > 0 else 1.0
