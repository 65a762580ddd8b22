"""Selection: every method respects the count, never repeats a structure and keeps its own promise."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from ase import Atoms
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from ionloop.core.errors import InputError
from ionloop.sampling.descriptor_settings import DescriptorSettings
from ionloop.sampling.selections.base import Choice, SelectionRequest
from ionloop.sampling.selections.farthest_point import FarthestPointSelection, farthest_points
from ionloop.sampling.selections.leverage import CurSelection, highest_leverage
from ionloop.sampling.selections.novelty import NoveltySelection
from ionloop.sampling.selections.registry import SELECTIONS, SelectionSettings
from ionloop.sampling.selections.selecting import select
from ionloop.sampling.selections.similarity import SimilaritySelection
from ionloop.sampling.selections.stride import StrideSelection
from ionloop.sampling.selections.uniform import RandomSelection
from ionloop.sampling.selections.variance import VarianceSelection
from ionloop.sampling.soap import SoapDescriptor, kernel

ROUNDING = 1e-7
COARSE = DescriptorSettings(n_max=3, l_max=2, cutoff_A=4.0)
ADAPTER: TypeAdapter[Any] = TypeAdapter(SelectionSettings)
BUILT_IN = ("farthest-point", "novelty", "variance", "similarity", "cur", "stride", "random")
ON_FINGERPRINTS = ("farthest-point", "similarity", "cur")
BY_A_THRESHOLD = ("similarity", "novelty")
"""May choose fewer than there are: the others are not new."""


def settings_for(method: str, count: int, **changes: Any) -> Any:
    extra = {"descriptor": COARSE.model_dump()} if method in ON_FINGERPRINTS else {}
    return ADAPTER.validate_python({"method": method, "count": count, **extra, **changes})


def frames(count: int, seed: int = 0, size: float = 0.15) -> list[Atoms]:
    """Return ``count`` random displacements of one small cell."""
    cell = Atoms("Li2PS", cell=[5.0, 5.5, 6.0], pbc=True)
    cell.set_scaled_positions([[0.1, 0.1, 0.1], [0.5, 0.6, 0.4], [0.5, 0.1, 0.7], [0.9, 0.5, 0.9]])
    random = np.random.default_rng(seed)
    result = []
    for _ in range(count):
        frame = cell.copy()
        frame.positions += random.normal(0, size, (len(cell), 3))
        result.append(frame)
    return result


@pytest.mark.parametrize("method", BUILT_IN)
def test_count_is_respected_and_nothing_repeats(method: str) -> None:
    candidates = frames(12)
    # The same frames again, one by a lattice vector and one unchanged, and one that is known already.
    shifted = candidates[3].copy()
    shifted.positions[0] += shifted.cell[1]
    pool = [*candidates, shifted, candidates[5].copy()]
    known = [candidates[7].copy()]
    unsure = [float(index % 5) for index in range(len(pool))]
    for count in (1, 5, 40):
        outcome = select(pool, known, settings_for(method, count), seed=1, uncertainties=unsure)
        assert len(outcome.indices) == len(set(outcome.indices)) == len(outcome.scores) <= count
        assert not {7, 12, 13} & set(outcome.indices)
        assert outcome == select(pool, known, settings_for(method, count), seed=1, uncertainties=unsure)
        if method not in BY_A_THRESHOLD:
            assert len(outcome.indices) == min(count, 11)
        if count == 40:
            assert f"{len(outcome.indices)} of the 40 frames asked for" in outcome.reason
            assert "14 candidates, 11 of them new and distinct" in outcome.reason
        elif method not in BY_A_THRESHOLD:
            assert outcome.reason == ""


@pytest.mark.parametrize("method", ON_FINGERPRINTS)
def test_turned_and_renumbered_structures_are_known(method: str) -> None:
    candidates = frames(4)
    turned = candidates[1].copy()
    turned.rotate(25.0, (1, 1, 2), rotate_cell=True)
    renumbered = candidates[2][[1, 0, 2, 3]]
    changes = {"threshold": 1 - 1e-9} if method == "similarity" else {}
    outcome = select([*candidates, turned], [renumbered], settings_for(method, 10, **changes), seed=0)
    assert len(outcome.indices) == 3
    assert 2 not in outcome.indices
    assert not {1, 4} <= set(outcome.indices)


@pytest.mark.parametrize("method", BUILT_IN)
def test_nothing_to_choose_from(method: str) -> None:
    known = frames(2)
    assert select([], known, settings_for(method, 3), seed=0, uncertainties=[]).indices == ()
    outcome = select(known, known, settings_for(method, 3), seed=0, uncertainties=[1.0, 2.0])
    assert outcome.indices == ()
    assert "2 candidates, 0 of them new" in outcome.reason


@pytest.mark.parametrize("method", ON_FINGERPRINTS)
@pytest.mark.parametrize("n_known", [0, 3])
@given(order=st.permutations(range(8)))
@settings(max_examples=8, deadline=None)
def test_permuting_the_candidates_changes_only_labels(method: str, n_known: int, order: list[int]) -> None:
    candidates, known = frames(8), frames(n_known, seed=9)
    changes = {"threshold": 0.999} if method == "similarity" else {}
    chosen = select(candidates, known, settings_for(method, 4, **changes), seed=0)
    permuted = select([candidates[i] for i in order], known, settings_for(method, 4, **changes), seed=0)
    assert tuple(order[i] for i in permuted.indices) == chosen.indices
    np.testing.assert_allclose(permuted.scores, chosen.scores, atol=ROUNDING)


points = st.integers(0, 2**32 - 1).map(lambda seed: np.random.default_rng(seed))


@given(random=points, n_new=st.integers(1, 12), n_known=st.integers(0, 5), count=st.integers(1, 12))
def test_farthest_point_is_greedy_as_brute_force_finds(
    random: np.random.Generator, n_new: int, n_known: int, count: int
) -> None:
    new, known = random.normal(size=(n_new, 3)), random.normal(size=(n_known, 3))
    choice = farthest_points(new, known, count)
    chosen, scores = list(choice.indices), list(choice.scores)
    assert len(chosen) == min(count, n_new)
    reference = [*known]
    for step, (index, score) in enumerate(zip(chosen, scores, strict=True)):
        if reference:
            nearest = [
                min(float(np.linalg.norm(point - other)) for other in reference)
                for k, point in enumerate(new)
                if k not in chosen[:step]
            ]
            assert score == pytest.approx(max(nearest), abs=ROUNDING)
        reference.append(new[index])
    assert scores[1:] == sorted(scores[1:], reverse=True)


@given(random=points, n_new=st.integers(2, 10), count=st.integers(1, 10))
def test_farthest_point_covers_within_twice_the_best(random: np.random.Generator, n_new: int, count: int) -> None:
    from itertools import combinations

    new = random.normal(size=(n_new, 2))
    chosen = list(farthest_points(new, np.empty((0, 2)), count).indices)
    distances = np.linalg.norm(new[:, None] - new[None], axis=2)
    count = min(count, n_new)
    best = min(distances[:, list(centres)].min(axis=1).max() for centres in combinations(range(n_new), count))
    assert distances[:, chosen].min(axis=1).max() <= 2 * best + ROUNDING


def test_farthest_point_stays_away_from_the_training_set() -> None:
    near, far = frames(6, size=0.02), frames(3, seed=4, size=0.4)
    outcome = select([*near, *far], frames(5, seed=8, size=0.02), settings_for("farthest-point", 3), seed=0)
    assert set(outcome.indices) == {6, 7, 8}


@given(random=points, n_new=st.integers(1, 8), n_known=st.integers(0, 3))
def test_cur_spans_the_candidates(random: np.random.Generator, n_new: int, n_known: int) -> None:
    new, known = random.normal(size=(n_new, 5)), random.normal(size=(n_known, 5))
    choice = highest_leverage(new, known, count=n_new)
    chosen, why = list(choice.indices), choice.reason
    together = np.concatenate([known, new[chosen]])
    assert len(chosen) == min(n_new, 5 - n_known)
    assert np.linalg.matrix_rank(together) == np.linalg.matrix_rank(np.concatenate([known, new]))
    assert bool(why) == (len(chosen) < n_new)


def test_cur_prefers_the_direction_that_explains_most() -> None:
    new = np.array([[3.0, 0.0, 0.0], [2.9, 0.1, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 0.2]])
    assert highest_leverage(new, np.empty((0, 3)), count=3).indices == [0, 2, 3]
    assert highest_leverage(new, np.array([[5.0, 0.0, 0.0]]), count=2).indices == [2, 3]


def test_similarity_leaves_nothing_below_the_threshold_behind() -> None:
    candidates, known = frames(15), frames(3, seed=5)
    threshold = 0.97
    outcome = select(candidates, known, settings_for("similarity", 15, threshold=threshold), seed=0)
    assert 0 < len(outcome.indices) < 15
    assert max(outcome.scores) < threshold
    assert "more similar to known frames" in outcome.reason
    descriptor = SoapDescriptor(("Li", "P", "S"), COARSE)
    reference = [descriptor.vectors(atoms) for atoms in known]

    def brute_force(atoms: Atoms) -> float:
        vectors = descriptor.vectors(atoms)
        return min(
            max(kernel(row[None], other[symbol], COARSE.zeta).max() for other in reference)
            for symbol, rows in vectors.items()
            for row in rows
        )

    for index, score in zip(outcome.indices, outcome.scores, strict=True):
        assert score == pytest.approx(min(brute_force(atoms) for atoms in candidates), abs=ROUNDING)
        reference.append(descriptor.vectors(candidates[index]))
    assert min(brute_force(atoms) for atoms in candidates) >= threshold


def test_a_new_species_is_chosen_first() -> None:
    candidates = frames(5)
    candidates[3].symbols[0] = "Na"
    outcome = select(candidates, frames(3, seed=5), settings_for("similarity", 2), seed=0)
    assert outcome.indices[0] == 3
    assert outcome.scores[0] == 0.0


def test_stride_takes_every_nth_or_spreads_evenly() -> None:
    candidates = frames(20)
    assert select(candidates, [], StrideSelection(stride=6, count=10), 0).indices == (0, 6, 12, 18)
    assert select(candidates, [], StrideSelection(stride=6, count=2), 0).indices == (0, 6)
    assert select(candidates, [], StrideSelection(count=4), 0).indices == (0, 5, 10, 15)


def test_random_follows_the_seed() -> None:
    candidates = frames(20)
    first, again, other = (select(candidates, [], RandomSelection(count=8), seed) for seed in (1, 1, 2))
    assert first == again
    assert set(first.indices) != set(other.indices)


def test_bad_input_is_refused() -> None:
    with pytest.raises(InputError, match="seed"):
        select(frames(2), [], RandomSelection(), -1)
    with pytest.raises(InputError, match="without atoms"):
        select([Atoms()], [], FarthestPointSelection(), 0)


def test_settings_choose_the_model_by_method() -> None:
    for method, model in zip(
        BUILT_IN,
        (
            FarthestPointSelection,
            NoveltySelection,
            VarianceSelection,
            SimilaritySelection,
            CurSelection,
            StrideSelection,
            RandomSelection,
        ),
        strict=True,
    ):
        assert type(ADAPTER.validate_python({"method": method, "count": 3})) is model
        assert ADAPTER.validate_python(ADAPTER.dump_python(model())) == model()
    assert ADAPTER.validate_python({"count": 3}) == FarthestPointSelection(count=3)
    assert ADAPTER.json_schema()


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (
            {"method": "farthest"},
            "expected tags: 'farthest-point', 'novelty', 'variance', 'similarity', 'cur', 'stride', 'random'",
        ),
        ({"method": "stride", "threshold": 0.9}, "Extra inputs"),
        ({"method": "cur", "count": 0}, "greater than or equal to 1"),
        ({"method": "similarity", "threshold": 1.0}, "less than or equal to"),
        (None, "farthest"),
    ],
)
def test_bad_settings_are_refused(document: Any, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        ADAPTER.validate_python(document)


def test_those_that_ionloop_brings_are_registered_in_their_order() -> None:
    assert SELECTIONS.names[: len(BUILT_IN)] == BUILT_IN
    assert [name for name in BUILT_IN if SELECTIONS.get(name).needs_variance] == ["variance"]


@pytest.mark.parametrize(
    ("choice", "fault"),
    [
        (Choice([0, 1, 2], [1.0, 1.0, 1.0]), "3 frames where 2 were asked for"),
        (Choice([1, 1], [1.0, 1.0]), "a frame twice"),
        (Choice([0, 4], [1.0, 1.0]), "a frame that is not among the 4"),
        (Choice([0], []), "1 frames and 0 scores"),
    ],
)
def test_a_selection_that_breaks_its_contract_labels_nothing(
    choice: Choice, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def choose(request: SelectionRequest[RandomSelection]) -> Choice:
        return choice

    monkeypatch.setattr(SELECTIONS.get("random"), "choose", choose)
    with pytest.raises(InputError, match=f"the selection 'random' chose {fault}"):
        select(frames(4), [], RandomSelection(count=2), 0)
