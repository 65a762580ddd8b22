"""Selection by novelty: thresholds of the data's own, caps by composition and anion, a share at random."""

from __future__ import annotations

import numpy as np
from ase import Atoms

from ionloop.sampling.descriptor_settings import DescriptorSettings
from ionloop.sampling.selections.novelty import NoveltySelection
from ionloop.sampling.selections.selecting import select
from ionloop.sampling.structures.crystals import build_crystal

COARSE = DescriptorSettings(n_max=4, l_max=2, cutoff_A=4.5)


def shaken(name: str, seed: int, displacement_A: float = 0.05) -> Atoms:
    atoms = build_crystal(name)
    atoms.positions += np.random.default_rng(seed).normal(0.0, displacement_A, atoms.positions.shape)
    return atoms


KNOWN = [shaken("gamma-li3ps4", seed) for seed in range(6)]
SAME = [shaken("gamma-li3ps4", 100 + seed, 0.03) for seed in range(6)]
OTHER = [shaken("li7p3s11", 200 + seed) for seed in range(3)]


def settings(**values: object) -> NoveltySelection:
    return NoveltySelection(descriptor=COARSE, points=40, **values)  # type: ignore[arg-type]


def test_what_is_like_the_data_is_not_new_and_another_material_is() -> None:
    found = select([*SAME, *OTHER], KNOWN, settings(count=4, random_share=0.0), seed=1)
    assert found.indices
    assert set(found.indices) <= {6, 7, 8}
    assert all(score > 1.0 for score in found.scores)
    assert "no other frame has an environment that is new" in found.reason


def test_what_a_chosen_frame_shows_is_known_afterwards() -> None:
    twins = [OTHER[0], *(shaken("li7p3s11", 200, 0.05) for _ in range(3))]
    for number, one in enumerate(twins):
        one.positions += np.random.default_rng(number).normal(0.0, 0.002, one.positions.shape)
    assert len(select(twins, KNOWN, settings(count=4, random_share=0.0), seed=1).indices) == 1


def test_one_composition_and_anion_has_no_more_than_its_cap() -> None:
    wild = [shaken("li7p3s11", 300 + seed, 0.25) for seed in range(6)]
    every = select(wild, KNOWN, settings(count=6, random_share=0.0), seed=1)
    capped = select([*wild, *OTHER], KNOWN, settings(count=6, random_share=0.0, most_of_a_kind=1), seed=1)
    assert len(every.indices) > len(capped.indices) >= 1
    assert "most_of_a_kind" in capped.reason


def test_a_share_is_drawn_at_random_by_the_seed() -> None:
    chosen = [select(SAME, KNOWN, settings(count=4, random_share=0.5), seed=seed) for seed in (1, 1, 2)]
    assert chosen[0] == chosen[1]
    assert {len(one.indices) for one in chosen} == {2}
    assert chosen[0].scores == (0.0, 0.0)
    draws = {select(SAME, KNOWN, settings(count=4, random_share=0.25), seed=seed).indices for seed in range(12)}
    assert len(draws) > 3


def test_without_data_everything_is_new() -> None:
    found = select(OTHER, [], settings(count=2, random_share=0.0), seed=1)
    assert found.indices
    assert found.scores[0] > 1.0
