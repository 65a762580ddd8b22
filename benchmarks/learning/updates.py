"""What it takes to let a label join a model in place: kernel rows, points, algebra, the state on the disk.

Cells of Li7P3S11 with 84 atoms, displaced at random; the labels are numbers, as only time is measured.

    OMP_NUM_THREADS=1 python benchmarks/learning/updates.py [--configurations N] [--points N] [--displacement X]
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from ionloop.fitting.data_sets import DataSet, LabelledConfiguration
from ionloop.fitting.native.sparse_fit.design import Descriptors
from ionloop.fitting.native.sparse_fit.sparse_points import SparseLayer, SparsePoints
from ionloop.fitting.online.driver import load_driver
from ionloop.fitting.online.in_place import InPlaceModel
from ionloop.fitting.online.novelty import environments_of
from ionloop.fitting.settings import GapSettings, SoapSettings, TwoBodySettings
from ionloop.sampling.structures.crystals import build_crystal

ISOLATED_EV = {"Li": 0.0, "P": 0.0, "S": 0.0}


def labelled(number: int, displacement_A: float) -> LabelledConfiguration:
    """Return a displaced cell with numbers for labels."""
    random = np.random.default_rng(number)
    atoms = build_crystal("li7p3s11").repeat((2, 1, 1))
    atoms.positions += random.normal(0.0, displacement_A, atoms.positions.shape)
    forces = random.normal(0.0, 0.5, atoms.positions.shape)
    return LabelledConfiguration(atoms, random.normal(), forces, random.normal(0, 0.01, 6), f"cell-{number}")


def timed(what: str, function: Callable[[], object]) -> object:
    """Call, and print the processor's and the wall time."""
    wall_s, processor_s = time.perf_counter(), time.process_time()
    found = function()
    print(f"{what:58s} {time.process_time() - processor_s:8.2f} {time.perf_counter() - wall_s:8.2f}", flush=True)
    return found


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--configurations", type=int, default=20)
    parser.add_argument("--points", type=int, default=500, help="of each element")
    parser.add_argument("--displacement", type=float, default=0.1)
    options = parser.parse_args()
    settings = GapSettings(two_body=TwoBodySettings(cutoff_A=6.0), soap=SoapSettings(cutoff_A=6.0, n_max=8, l_max=4))
    labels = [labelled(number, options.displacement) for number in range(options.configurations)]
    data = DataSet(tuple(labels), ISOLATED_EV)
    descriptors = Descriptors.of(data.elements, settings)
    others = [labelled(10_000 + n, options.displacement).atoms for n in range(1 + options.points // 12)]
    found = environments_of(descriptors, others).descriptors
    points: dict[tuple[int, ...], np.ndarray] = {(number,): own[: options.points] for number, own in found.items()}
    print(f"{'':58s} {'cpu s':>8s} {'wall s':>8s}")
    start = SparsePoints((SparseLayer(points),))
    model = timed(
        f"start from {len(labels)} configurations, {start.n_points} points",
        lambda: InPlaceModel.start(data, settings, start),
    )
    assert isinstance(model, InPlaceModel)
    print(f"thresholds: { {symbol: round(value, 3) for symbol, value in model.thresholds.items()} }")
    with tempfile.TemporaryDirectory() as scratch:
        for number, displacement_A in enumerate((options.displacement, 1.3 * options.displacement)):
            new = labelled(20_000 + number, displacement_A)
            joined = timed(f"a label of 84 atoms joins, displaced by {displacement_A:.2f} Å", lambda: model.add([new]))  # noqa: B023
            timed("  weights", lambda: model.calculator())
            print(f"  {joined}")
            folder = Path(scratch) / str(number)
            timed("  save", lambda: model.save(folder))  # noqa: B023
            size_MB = sum(path.stat().st_size for path in folder.iterdir()) / 1e6
            timed(f"  load ({size_MB:.0f} MB)", lambda: InPlaceModel.load(folder))  # noqa: B023
            timed("  load the driver", lambda: load_driver(folder))  # noqa: B023
        calculator = load_driver(folder)
        new.atoms.calc = None
        calculator.get_property("forces", new.atoms)
        for name in ("forces", "novelty"):
            atoms = labelled(30_000, 0.1).atoms
            timed(f"  an evaluation of {name}", lambda: calculator.get_property(name, atoms))  # noqa: B023


if __name__ == "__main__":
    main()
