"""How often 95 % intervals hold the truth, how wide they are, and what is called no diffusion.

``python benchmarks/diffusion_coverage.py [--seeds 200] [--first-seed 0] [NAME ...]``

Synthetic paths of known diffusivity, one row per kind of dynamics and estimator: coverage, the median width over the
truth and over that of the best unbiased estimator, and the part that is called reliable. That estimator is the slope
of the one scale (a pair of lags) that over all repeats is off by less than 0.3 of its scatter and scatters least: it
needs to know the truth; for hops without vibrations it is the count of hops. For the Haven ratio it is the ratio of
tracer and collective slope of one such scale. Kinds that do not diffuse (their names begin with "no:") only have the
last column, which should be 0. The last rows are activation energies and diffusivities at 300 K from four
temperatures. NAMEs choose the kinds whose names contain them.
"""

from __future__ import annotations

import argparse
import zlib
from collections.abc import Callable
from dataclasses import dataclass

import numba
import numpy as np
from ase.units import kB
from scipy.signal import lfilter
from scipy.stats import norm

from ionloop.analysis.conductivity.arrhenius import FEWEST_TEMPERATURES, fit_arrhenius
from ionloop.analysis.conductivity.diffusion import Estimate
from ionloop.analysis.conductivity.displacement_scales import ScaleSlopes, scale_lags, squared_displacements
from ionloop.analysis.conductivity.transport import Carrier, ConductivityResult, analyse_conductivity
from ionloop.analysis.trajectories.reading import Trajectory

HOP_A = 3.0
INTERVAL_FS = 1000.0
LARGEST_BIAS = 0.3
NORMAL_WIDTH = 3.92
EXACT = 1e-3  # where ions never hop in the same frame, the Haven ratio of single frames has no scatter
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


@numba.njit(cache=True)
def lennard_jones(places, velocities, box: float, temperatures, steps: int, timestep: float, noise):
    """Langevin dynamics (BAOAB) in reduced units, unwrapped positions [frames, atoms, 3] at a temperature per frame.

    The pair potential is cut and shifted at half the box. Leimkuhler, Matthews, Appl. Math. Res. Express 2013, 34,
    10.1093/amrx/abs010.
    """
    atoms, damping = len(places), np.exp(-timestep)  # friction 1
    path, forces = np.zeros((len(temperatures), atoms, 3)), np.zeros((atoms, 3))
    for frame in range(len(temperatures)):
        kick = np.sqrt((1.0 - damping**2) * temperatures[frame])
        for _ in range(steps):
            velocities += 0.5 * timestep * forces
            places += 0.5 * timestep * velocities
            for atom in range(atoms):
                for axis in range(3):
                    velocities[atom, axis] = damping * velocities[atom, axis] + kick * noise.normal()
            places += 0.5 * timestep * velocities
            forces[:] = 0.0
            for first in range(atoms):
                for second in range(first):
                    x = places[first, 0] - places[second, 0]
                    y = places[first, 1] - places[second, 1]
                    z = places[first, 2] - places[second, 2]
                    x, y, z = x - box * np.rint(x / box), y - box * np.rint(y / box), z - box * np.rint(z / box)
                    square = x * x + y * y + z * z
                    if square < 0.25 * box**2:
                        power = 1.0 / square**3
                        size = 24.0 * power * (2.0 * power - 1.0) / square
                        for axis, along in enumerate((x, y, z)):
                            forces[first, axis] += size * along
                            forces[second, axis] -= size * along
            velocities += 0.5 * timestep * forces
        path[frame] = places
    return path


def melting(frames: int, at: float, sigma_A: float = 2.5) -> Callable[[Random], np.ndarray]:
    """A Lennard-Jones crystal (fcc, 108 atoms, density 0.95) that is heated from 0.6 to 2.0 after a part of the run."""

    def make(random: Random) -> np.ndarray:
        edge = (4 / 0.95) ** (1 / 3)
        corners = np.stack(np.meshgrid(*3 * [np.arange(3)], indexing="ij"), axis=-1).reshape(-1, 1, 3)
        basis = np.array([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
        places = edge * (corners + basis).reshape(-1, 3)
        temperatures = np.where(np.arange(frames + 100) < 100 + at * frames, 0.6, 2.0)
        velocities = random.normal(0.0, np.sqrt(0.6), places.shape)
        path = lennard_jones(places, velocities, 3 * edge, temperatures, 10, 0.01, random)[100:]
        # The thermostat lets the whole drift.
        return sigma_A * (path - path.mean(axis=1, keepdims=True))

    return make


@numba.njit(cache=True)
def exclusion(random, frames: int, shape: tuple[int, int, int], ions: int, rate: float, axes: np.ndarray):
    """Hops in units of sites, [frames, ions, 3]: attempts at the rate, in random order, to sites that are free."""
    places = random.permutation(shape[0] * shape[1] * shape[2])[:ions]
    where = np.stack((places // (shape[1] * shape[2]), places // shape[2] % shape[1], places % shape[2]), axis=1)
    taken = np.zeros(shape, np.bool_)
    for at in where:
        taken[at[0], at[1], at[2]] = True
    moved, path = np.zeros((ions, 3)), np.zeros((frames, ions, 3))
    for frame in range(frames):
        for _ in range(random.poisson(rate * ions)):
            ion, axis = random.integers(0, ions), axes[random.integers(0, len(axes))]
            sign = 2 * random.integers(0, 2) - 1
            new = where[ion].copy()
            new[axis] = (new[axis] + sign) % shape[axis]
            if not taken[new[0], new[1], new[2]]:
                taken[where[ion, 0], where[ion, 1], where[ion, 2]] = False
                taken[new[0], new[1], new[2]] = True
                where[ion] = new
                moved[ion, axis] += sign
        path[frame] = moved
    return path


def lattice_gas(
    frames: int, shape: tuple[int, int, int], ions: int, rate: float, chains: int = 1, size_A: float = 0.25
):
    """Ions exclude each other from sites; several systems side by side."""
    axes = np.array([axis for axis in range(3) if shape[axis] > 1])

    def make(random: Random) -> np.ndarray:
        systems = [exclusion(random, frames, shape, ions, rate, axes) for _ in range(chains)]
        path = HOP_A * np.concatenate(systems, axis=1)
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
    "on-off gates": Kind(bursts(6000, 14, 0.02, active=0.5, length=100.0), of_hops(0.02)),
    # Of these the correlation factor was measured over 6 runs of 300,000 frames, lags of 60 to 240: 0.2 % sure.
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
    "no: speeds up": Kind(changing(2000, 14, lambda time: 0.02 + 0.06 * (time > 0.6))),
    "no: crystal melts at 50 %": Kind(melting(600, 0.5)),
    "no: crystal melts at 85 %": Kind(melting(600, 0.85)),
    "no: not equilibrated": Kind(changing(2000, 14, lambda time: 0.03 + 0.2 * (time < 0.1))),
    "no: unlike replicas": Kind(hops(1500, 14, 0.05, size_A=0.25), scales=(1.0, 1.5, 2.0)),
}
ARRHENIUS_K = (600.0, 700.0, 800.0, 1000.0)
ENERGY_EV = 0.25
ROOM_K = 300.0
ARRHENIUS: dict[str, tuple[float, dict[str, float]]] = {
    "E_a: rattling": (0.0, {"size_A": 0.25}),
    "E_a: back-hops 1/7": (1 / 7, {"size_A": 0.25}),
}
CARRIER = Carrier("Li", 800.0)


def seeded(name: str, seed: int) -> Random:
    return np.random.default_rng([zlib.crc32(name.encode()), seed])


def paths(name: str, seed: int) -> list[np.ndarray]:
    kind, random = KINDS[name], seeded(name, seed)
    return [factor * kind.make(random) for factor in kind.scales]


def analysed(replicas: list[np.ndarray], temperature_K: float = 800.0) -> ConductivityResult:
    cell = 12.0 * np.eye(3)
    made = [Trajectory(("Li",) * one.shape[1], one, cell, INTERVAL_FS) for one in replicas]
    return analyse_conductivity(made, Carrier("Li", temperature_K), by_axis=False).result


def scale_diffusivities(replicas: list[np.ndarray], collective: bool) -> np.ndarray:
    """The slope of every scale over 6."""
    ions = replicas[0].shape[1]
    used = [np.sqrt(ions) * one.mean(axis=1, keepdims=True) for one in replicas] if collective else replicas
    lags = scale_lags(min(map(len, used)))
    squares = tuple(squared_displacements(one, lags, atoms=np.arange(one.shape[1])) for one in used)
    return ScaleSlopes(squares, 1).slopes / 6.0


def is_fair(slopes: np.ndarray, truth: float) -> np.ndarray:
    """Which scales are free of bias as far as the repeats [n_repeats, n_scales] tell."""
    scatter, bias = slopes.std(axis=0), np.abs(slopes.mean(axis=0) - truth)
    return bias < LARGEST_BIAS * scatter + 2.0 * scatter / np.sqrt(len(slopes))


def best_scatter(slopes: np.ndarray, truth: float) -> float:
    """The scatter of the best scale's slope over the repeats [n_repeats, n_scales]."""
    fair = is_fair(slopes, truth)
    return float(slopes.std(axis=0)[fair].min()) if fair.any() else np.nan


def best_ratio_scatter(tracer: np.ndarray, collective: np.ndarray, diffusivity: float, haven: float) -> float:
    """The scatter (half of the central 68 %) of the best ratio of slopes, of a scale at which the ions diffuse."""
    fair = is_fair(tracer, diffusivity) & is_fair(collective, diffusivity / haven)
    if not fair.any():
        return np.nan
    ratios = tracer[:, fair] / collective[:, fair]
    low, high = np.quantile(ratios, norm.cdf([-1.0, 1.0]), axis=0)
    scatter = float((high - low).min() / 2)
    return scatter if scatter > EXACT * haven else np.nan


@dataclass(frozen=True)
class Row:
    """One line of the table; widths are over the truth."""

    name: str
    estimator: str
    coverage: float
    width_over_ideal: float
    width: float
    reliable: float

    def __str__(self) -> str:
        numbers = (100 * self.coverage, self.width, self.width_over_ideal)
        cells = ["" if np.isnan(one) else f"{one:.{digits}f}" for one, digits in zip(numbers, (1, 2, 2), strict=True)]
        return f"| {self.name} | {self.estimator} | {' | '.join(cells)} | {100 * self.reliable:.1f} |"


def row_of(
    name: str, estimator: str, estimates: list[Estimate], truth: float, ideal: float, reliable: np.ndarray
) -> Row:
    """The row of estimates; what is called unreliable has bounds in place of widths."""
    held = float(np.mean([one.contains(truth) for one in estimates]))
    known = [one for one, sure in zip(estimates, reliable, strict=True) if sure]
    width = float(np.median([one.high - one.low for one in known])) if known else np.nan
    return Row(name, estimator, held, width / ideal, width / truth, float(np.mean(reliable)))


def measure(name: str, seeds: range) -> list[Row]:
    kind = KINDS[name]
    results, slopes = [], {"tracer": [], "collective": []}
    for seed in seeds:
        run = paths(name, seed)
        results.append(analysed(run))
        for estimator, found in slopes.items():
            if kind.diffusivity is not None:
                found.append(scale_diffusivities(run, estimator == "collective"))
    reliable = np.array([one.reliable for one in results])
    if kind.diffusivity is None:
        return [Row(name, "", np.nan, np.nan, np.nan, float(np.mean(reliable)))]
    truths = {"tracer": kind.diffusivity, "collective": kind.diffusivity / kind.haven}
    rows = []
    for estimator, field in (("tracer", "diffusivity_A2_per_ps"), ("collective", "collective_diffusivity_A2_per_ps")):
        ideal = NORMAL_WIDTH * best_scatter(np.array(slopes[estimator]), truths[estimator])
        estimates = [getattr(one, field) for one in results]
        rows.append(row_of(name, estimator, estimates, truths[estimator], ideal, reliable))
    # What is called unreliable has no Haven ratio; that of one ion is 1.
    ratios = [one.haven_ratio for one in results if one.haven_ratio is not None]
    if results[0].ions > 1:
        scatter = best_ratio_scatter(*map(np.array, slopes.values()), kind.diffusivity, kind.haven)
        known = np.ones(len(ratios), dtype=bool)
        rows.append(row_of(name, "Haven", ratios, kind.haven, NORMAL_WIDTH * scatter, known))
    return rows


def measure_arrhenius(name: str, seeds: range) -> list[Row]:
    """Activation energy, and the diffusivity at room temperature, of ions that hop ever more rarely."""
    back, vibration = ARRHENIUS[name]

    def rate(temperature_K: float) -> float:
        return 0.05 * float(np.exp(-ENERGY_EV / kB * (1 / temperature_K - 1 / max(ARRHENIUS_K))))

    energies, at_room = [], []
    for seed in seeds:
        random = seeded(name, seed)
        results = [analysed([hops(2000, 14, rate(one), back, **vibration)(random)], one) for one in ARRHENIUS_K]
        known = [one for one in results if one.reliable]
        if len(known) < FEWEST_TEMPERATURES:
            continue
        values = [one.diffusivity_A2_per_ps for one in known]
        line = fit_arrhenius(
            [one.temperature_K for one in known],
            [one.value for one in values],
            [one.standard_error for one in values],
        )
        energies.append(line.activation_energy_eV)
        at_room.append(line.extrapolated_diffusivity_A2_per_ps)
    fitted = len(energies) / len(seeds)
    truths = (ENERGY_EV, of_hops(rate(ROOM_K), (1 - back) / (1 + back)))
    rows = []
    for estimator, estimates, truth in zip(("eV", "300 K"), (energies, at_room), truths, strict=True):
        width = float(np.median([one.high - one.low for one in estimates])) / truth
        rows.append(
            Row(name, estimator, float(np.mean([one.contains(truth) for one in estimates])), np.nan, width, fitted)
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=200)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("names", nargs="*", metavar="NAME")
    arguments = parser.parse_args()
    seeds = range(arguments.first_seed, arguments.first_seed + arguments.seeds)
    print("| kind | estimator | coverage, % | width/truth | width/ideal | reliable, % |")
    print("|---|---|---|---|---|---|")
    for name in (*KINDS, *ARRHENIUS):
        if not arguments.names or any(part in name for part in arguments.names):
            for row in measure(name, seeds) if name in KINDS else measure_arrhenius(name, seeds):
                print(row, flush=True)


if __name__ == "__main__":
    main()
