"""Thinning: a label for each novelty, none for what was asked for, and none where nothing is new."""

from __future__ import annotations

import numpy as np
from ase import Atoms
from ase.build import bulk

from ionloop.fitting.native.sparse_fit.design import Descriptors
from ionloop.fitting.native.sparse_fit.sparse_points import SparseLayer, SparsePoints
from ionloop.fitting.online.novelty import NoveltyKernel, environments_of
from ionloop.fitting.settings import GapSettings, SoapSettings
from ionloop.sampling.on_the_fly.thinning import thinned_frames

THRESHOLDS = {"Li": 0.1, "Cl": 0.1}


def rattled(seed: int, width_A: float) -> Atoms:
    atoms = bulk("LiCl", "rocksalt", a=5.1, cubic=True)
    atoms.positions += np.random.default_rng(seed).normal(0.0, width_A, atoms.positions.shape)
    return atoms


def kernel() -> NoveltyKernel:
    settings = GapSettings(two_body=None, soap=SoapSettings(cutoff_A=4.0, n_max=3, l_max=2))
    descriptors = Descriptors.of(("Li", "Cl"), settings)
    known = environments_of(descriptors, [rattled(0, 0.02)]).descriptors
    return NoveltyKernel(descriptors, SparsePoints((SparseLayer({(n,): own for n, own in known.items()}),)))


def test_frames_that_say_the_same_are_labelled_once() -> None:
    near = rattled(1, 0.3)
    nearly = near.copy()
    nearly.positions += np.random.default_rng(2).normal(0.0, 0.001, near.positions.shape)
    other = rattled(3, 0.3)
    chosen = thinned_frames(kernel(), THRESHOLDS, [near, nearly, other, rattled(4, 0.01)], 4)
    assert len(chosen) == 2
    assert len({0, 1} & set(chosen)) == 1
    assert 2 in chosen
    novelty = [kernel().novelty(frame).max() for frame in (near, nearly, other)]
    assert chosen[0] == int(np.argmax(novelty))


def test_what_was_asked_for_is_not_asked_for_again() -> None:
    near, other = rattled(1, 0.3), rattled(3, 0.3)
    assert thinned_frames(kernel(), THRESHOLDS, [near, other], 4, asked=[near]) == [1]
    assert thinned_frames(kernel(), THRESHOLDS, [near, other], 1) in ([0], [1])


def test_what_is_known_needs_no_label() -> None:
    assert thinned_frames(kernel(), THRESHOLDS, [rattled(0, 0.02), rattled(5, 0.01)], 4) == []
    assert thinned_frames(kernel(), THRESHOLDS, [], 4) == []
    assert thinned_frames(kernel(), THRESHOLDS, [rattled(1, 0.3)], 0) == []
