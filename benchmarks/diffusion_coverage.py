"""How often 95 % intervals hold the truth, how wide they are, and what is called no diffusion.

``python benchmarks/diffusion_coverage.py [--seeds 200] [NAME ...]``

Synthetic paths of known diffusivity, one row per kind of dynamics and estimator: coverage, the median width over that
of the best unbiased estimator, and the part that is called reliable. That estimator is the slope of the one scale (a
pair of lags) that over all repeats is off by less than 0.3 of its scatter and scatters least: it needs to know the
truth; for hops without vibrations it is the count of hops. Kinds that do not diffuse (their names begin with "no:")
only have the last column, which should be 0. NAMEs choose the kinds whose names contain them.
"""

from __future__ import annotations

import argparse
import zlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.signal import lfilter

from ionloop.analysis.conductivity.displacement_scales import ScaleSlopes, scale_lags, squared_displacements
from ionloop.analysis.conductivity.transport import Carrier, ConductivityResult, analyse_conductivity
from ionloop.analysis.trajectories.reading import Trajectory

HOP_A = 3.0
INTERVAL_FS = 1000.0
LARGEST_BIAS = 0.3
NORMAL_WIDTH = 3.92
Random = np.random.Generator


def rattling(random: Random, frames: int, ions: int, size_A: float = 0.25, memory: float = 3.0) -> np.ndarray:
    """Ornstein-Uhlenbeck vibrations."""
    decay = np.exp(-1.0 / memory)
    noise = random.normal(0.0, size_A * np.sqrt(1 - decay**2), (frames, ions, 3))
    noise[0] = random.normal(0.0, size_A, (ions, 3))
    return lfilter([1.0], [1.0, -decay], noise, axis=0)


def path_of(random: Random, hopping: np.ndarray, back: float = 0.0) -> np.ndarray:
    """Hops to a random neighbour of a cubic lattice, each of which reverses the last with the chance ``back``."""
    hopping[0] = False
    steps = np.zeros((*hopping.shape, 3))
    axis = random.integers(0, 3, hopping.shape)
    np.put_along_axis(steps, axis[..., None], random.choice([-HOP_A, HOP_A], hopping.shape)[..., None], -1)
    for ion in range(hopping.shape[1] if back else 0):
        at = np.flatnonzero(hopping[:, ion])
        if len(at):
            free = np.where(random.random(len(at)) < back, 0, np.arange(len(at)))
            last = np.maximum.accumulate(free)
            steps[at, ion] = steps[at[last], ion] * (-1.0) ** (np.arange(len(at)) - last)[:, None]
    return np.cumsum(steps * hopping[..., None], axis=0)


def hops(frames: int, ions: int, rate: float, back: float = 0.0, **vibration: float) -> Callable[[Random], np.ndarray]:
    def make(random: Random) -> np.ndarray:
        moved = path_of(random, random.random((frames, ions)) < rate, back)
        return moved + rattling(random, frames, ions, **vibration) if vibration else moved

    return make


def groups(frames: int, ions: int, rate: float, together: int) -> Callable[[Random], np.ndarray]:
    def make(random: Random) -> np.ndarray:
        moved = path_of(random, random.random((frames, ions // together)) < rate)
        return np.repeat(moved, together, axis=1) + rattling(random, frames, ions)

    return make


def bursts(frames: int, ions: int, rate: float, active: float = 0.1, length: float = 30.0):
    """All ions hop in the same bursts only."""

    def make(random: Random) -> np.ndarray:
        on, edges = random.random() < active, [0]
        states = []
        while edges[-1] < frames:
            mean = length if on else length * (1 - active) / active
            edges.append(edges[-1] + int(random.geometric(1.0 / mean)))
            states.append(on)
            on = not on
        now = np.repeat(states, np.diff(edges))[:frames]
        hopping = (random.random((frames, ions)) < rate / active) & now[:, None]
        return path_of(random, hopping) + rattling(random, frames, ions)

    return make


def lattice_gas(
    frames: int, shape: tuple[int, int, int], ions: int, rate: float, chains: int = 1, size_A: float = 0.25
):
    """Ions exclude each other from sites: attempts at the rate, in random order; several systems side by side."""

    def one(random: Random) -> np.ndarray:
        sites = int(np.prod(shape))
        axes = [axis for axis in range(3) if shape[axis] > 1]
        places = np.array(np.unravel_index(random.permutation(sites)[:ions], shape)).T
        taken = {tuple(place): ion for ion, place in enumerate(places.tolist())}
        where, moved = places.tolist(), np.zeros((ions, 3))
        path = np.zeros((frames, ions, 3))
        for frame, attempts in enumerate(random.poisson(rate * ions, frames)):
            for ion, way, sign in zip(
                random.integers(0, ions, attempts).tolist(),
                random.integers(0, len(axes), attempts).tolist(),
                random.choice([-1, 1], attempts).tolist(),
                strict=True,
            ):
                axis = axes[way]
                new = list(where[ion])
                new[axis] = (new[axis] + sign) % shape[axis]
                if tuple(new) not in taken:
                    del taken[tuple(where[ion])]
                    taken[tuple(new)], where[ion] = ion, new
                    moved[ion, axis] += sign * HOP_A
            path[frame] = moved
        return path

    def make(random: Random) -> np.ndarray:
        path = np.concatenate([one(random) for _ in range(chains)], axis=1)
        return path + rattling(random, frames, path.shape[1], size_A)

    return make


def fractional(frames: int, ions: int, exponent: float, size_A: float = 0.3) -> Callable[[Random], np.ndarray]:
    """Fractional Brownian motion, MSD ∝ t^exponent (Davies, Harte, Biometrika 1987, 74, 95)."""

    def make(random: Random) -> np.ndarray:
        k = np.arange(frames)
        covariance = 0.5 * ((k + 1.0) ** exponent - 2.0 * k**exponent + np.abs(k - 1.0) ** exponent)
        circle = np.concatenate([covariance, [0.0], covariance[1:][::-1]])
        power = np.sqrt(np.maximum(np.fft.fft(circle).real, 0.0) / len(circle))
        noise = random.normal(size=(2, len(circle), 3 * ions))
        steps = np.fft.fft(power[:, None] * (noise[0] + 1j * noise[1]), axis=0).real[:frames]
        return size_A * np.cumsum(steps, axis=0).reshape(frames, ions, 3)

    return make


def rings(frames: int, ions: int, rate: float, sites: int) -> Callable[[Random], np.ndarray]:
    """Ions hop round rings of sites, to and fro between two: they go nowhere."""

    def make(random: Random) -> np.ndarray:
        steps = (random.random((frames, ions)) < rate) * random.choice([-1, 1], (frames, ions))
        angle = 2 * np.pi * (random.integers(0, sites, ions) + np.cumsum(steps, axis=0)) / sites
        radius = HOP_A / (2 * np.sin(np.pi / sites))
        flat = radius * np.stack([np.cos(angle), np.sin(angle), np.zeros_like(angle)], axis=-1)
        return flat + rattling(random, frames, ions)

    return make


def changing(frames: int, ions: int, rate_of: Callable[[np.ndarray], np.ndarray]) -> Callable[[Random], np.ndarray]:
    def make(random: Random) -> np.ndarray:
        rates = rate_of(np.arange(frames) / frames)
        return path_of(random, random.random((frames, ions)) < rates[:, None]) + rattling(random, frames, ions)

    return make


@dataclass(frozen=True)
class Kind:
    """A kind of dynamics, its diffusivity (Å²/ps; None: it has none) and Haven ratio."""

    make: Callable[[Random], np.ndarray]
    diffusivity: float | None = None
    haven: float = 1.0
    scales: tuple[float, ...] = (1.0,)  # factor of the displacements of each replica


def of_hops(rate: float, factor: float = 1.0) -> float:
    return rate * HOP_A**2 / 6.0 * factor


KINDS: dict[str, Kind] = {
    "1 ion, 60 hops": Kind(hops(3000, 1, 0.02), of_hops(0.02)),
    "3 ions, 15 hops each": Kind(hops(3000, 3, 0.005), of_hops(0.005)),
    "14 ions, 15 hops each": Kind(hops(3000, 14, 0.005), of_hops(0.005)),
    "14 ions, 3 hops each": Kind(hops(3000, 14, 0.001), of_hops(0.001)),
    "Brownian, 14 ions": Kind(lambda random: np.cumsum(random.normal(0, 0.5, (2000, 14, 3)), axis=0), 0.125),
    "1 ion, rattling": Kind(hops(3000, 1, 0.05, size_A=0.25), of_hops(0.05)),
    "3 ions, rattling": Kind(hops(3000, 3, 0.02, size_A=0.25), of_hops(0.02)),
    "14 ions, slow rattling": Kind(hops(2000, 14, 0.05, size_A=0.25, memory=6.0), of_hops(0.05)),
    "14 ions, 3 replicas": Kind(hops(1000, 14, 0.05, size_A=0.25), of_hops(0.05), scales=(1.0, 1.0, 1.0)),
    "back-hops 1/7, 3 ions": Kind(hops(3000, 3, 0.05, 1 / 7, size_A=0.25), of_hops(0.05, 0.75)),
    "back-hops 1/7, 14 ions": Kind(hops(2000, 14, 0.02, 1 / 7, size_A=0.25), of_hops(0.02, 0.75)),
    "back-hops 3/4, 14 ions": Kind(hops(3000, 14, 0.05, 0.75, size_A=0.25), of_hops(0.05, 1 / 7)),
    "back-hops 1/7, 50 ions": Kind(hops(3000, 50, 0.02, 1 / 7, size_A=0.25), of_hops(0.02, 0.75)),
    "groups of 3": Kind(groups(2000, 12, 0.05, 3), of_hops(0.05), 1 / 3),
    "common bursts": Kind(bursts(6000, 14, 0.02), of_hops(0.02)),
    # Of these the correlation factor was measured over 20 runs of 20,000 frames.
    "lattice gas, half full": Kind(lattice_gas(1500, (4, 4, 4), 32, 0.1), of_hops(0.1, 0.4371), 0.4371 / (32 / 63)),
    "lattice gas, vacancies": Kind(lattice_gas(1500, (4, 4, 4), 56, 0.2), of_hops(0.2, 0.0912), 0.0912 / (8 / 63)),
    "no: t^0.5": Kind(fractional(2000, 14, 0.5)),
    "no: t^0.7": Kind(fractional(2000, 14, 0.7)),
    "no: t^0.9": Kind(fractional(2000, 14, 0.9)),
    "no: single files": Kind(lattice_gas(2000, (1, 1, 20), 10, 0.2, chains=6, size_A=0.1)),
    "no: two sites": Kind(rings(2000, 14, 0.02, 2)),
    "no: rings of 4": Kind(rings(2000, 14, 0.05, 4)),
    "no: rattling": Kind(lambda random: rattling(random, 2000, 14)),
    "no: freezes": Kind(changing(2000, 14, lambda time: 0.05 * (time < 0.5))),
    "no: melts": Kind(changing(2000, 14, lambda time: 0.02 + 0.06 * (time > 0.6))),
    "no: not equilibrated": Kind(changing(2000, 14, lambda time: 0.03 + 0.2 * (time < 0.1))),
    "no: unlike replicas": Kind(hops(1500, 14, 0.05, size_A=0.25), scales=(1.0, 1.5, 2.0)),
}
CARRIER = Carrier("Li", 800.0)


def paths(name: str, seed: int) -> list[np.ndarray]:
    kind, random = KINDS[name], np.random.default_rng([zlib.crc32(name.encode()), seed])
    return [factor * kind.make(random) for factor in kind.scales]


def analysed(replicas: list[np.ndarray]) -> ConductivityResult:
    cell = 12.0 * np.eye(3)
    made = [Trajectory(("Li",) * one.shape[1], one, cell, INTERVAL_FS) for one in replicas]
    return analyse_conductivity(made, CARRIER).result


def scale_diffusivities(replicas: list[np.ndarray], collective: bool) -> np.ndarray:
    """The slope of every scale over 6."""
    ions = replicas[0].shape[1]
    used = [np.sqrt(ions) * one.mean(axis=1, keepdims=True) for one in replicas] if collective else replicas
    lags = scale_lags(min(map(len, used)))
    squares = tuple(squared_displacements(one, lags, atoms=np.arange(one.shape[1])) for one in used)
    return ScaleSlopes(squares, 1).slopes / 6.0


def best_scatter(slopes: np.ndarray, truth: float) -> float:
    """The scatter of the best scale's slope over the repeats [n_repeats, n_scales]."""
    scatter, bias = slopes.std(axis=0), np.abs(slopes.mean(axis=0) - truth)
    fair = bias < LARGEST_BIAS * scatter + 2.0 * scatter / np.sqrt(len(slopes))
    return float(scatter[fair].min()) if fair.any() else np.nan


@dataclass(frozen=True)
class Row:
    """One line of the table; widths are over the truth."""

    name: str
    estimator: str
    coverage: float
    width_over_ideal: float
    width: float
    reliable: float


def measure(name: str, seeds: int) -> list[Row]:
    kind = KINDS[name]
    runs = [paths(name, seed) for seed in range(seeds)] if kind.diffusivity is None else []
    if kind.diffusivity is None:
        reliable = np.mean([analysed(run).reliable for run in runs])
        return [Row(name, "", np.nan, np.nan, np.nan, float(reliable))]
    results, slopes = [], {"tracer": [], "collective": []}
    for seed in range(seeds):
        run = paths(name, seed)
        results.append(analysed(run))
        for estimator, found in slopes.items():
            found.append(scale_diffusivities(run, estimator == "collective"))
    reliable = float(np.mean([one.reliable for one in results]))
    truths = {"tracer": kind.diffusivity, "collective": kind.diffusivity / kind.haven, "Haven": kind.haven}
    rows = []
    for estimator, truth in truths.items():
        field = {"tracer": "diffusivity_A2_per_ps", "collective": "collective_diffusivity_A2_per_ps"}.get(estimator)
        estimates = [getattr(one, field or "haven_ratio") for one in results]
        # What is called unreliable has no Haven ratio, and bounds instead of widths.
        known = [one for one, result in zip(estimates, results, strict=True) if one is not None and result.reliable]
        held = np.mean([one.contains(truth) for one in (known if field is None else estimates)])
        width = float(np.median([one.high - one.low for one in known]))
        ideal = NORMAL_WIDTH * best_scatter(np.array(slopes[estimator]), truth) if field else np.nan
        rows.append(Row(name, estimator, float(held), width / ideal, width / truth, reliable))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=200)
    parser.add_argument("names", nargs="*", metavar="NAME")
    arguments = parser.parse_args()
    print("| kind | estimator | coverage, % | width/truth | width/ideal | reliable, % |")
    print("|---|---|---|---|---|---|")
    for name in KINDS:
        if arguments.names and not any(part in name for part in arguments.names):
            continue
        for row in measure(name, arguments.seeds):
            numbers = (100 * row.coverage, row.width, row.width_over_ideal)
            cells = [
                "" if np.isnan(one) else f"{one:.{digits}f}" for one, digits in zip(numbers, (0, 2, 2), strict=True)
            ]
            print(f"| {row.name} | {row.estimator} | {' | '.join(cells)} | {100 * row.reliable:.0f} |", flush=True)


if __name__ == "__main__":
    main()
