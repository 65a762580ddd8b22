"""Steps and times beside structures, as programs and people write them."""

from __future__ import annotations

import pytest

from ionloop.analysis.trajectories.frame_times import frame_time


@pytest.mark.parametrize(
    ("pairs", "text", "expected"),
    [
        ({"Time": "200.0"}, "", (None, 200.0, False)),  # GPUMD
        ({"i": "4,", "time": "2.000,", "E": "-1.5"}, "", (4.0, 2.0, False)),  # CP2K
        ({"Step": "4", "Time": "2.0", "Energy": "-1"}, "", (4.0, 2.0, False)),  # CP2K, extended
        ({"Timestep": "50", "Time": "0.1"}, "", (50.0, 0.1, True)),  # LAMMPS, in a unit that it does not name
        ({"time": "10.18"}, "", (None, 10.18, True)),
        ({"md_time": "3.0"}, "", (None, 3.0, True)),
        ({"time_fs": 3.0, "step": 2}, "", (2.0, 3.0, False)),
        ({"simulation_time_ps": "0.3"}, "", (None, 300.0, False)),
        ({"time[fs]": "3.0"}, "", (None, 3.0, False)),
        ({"Time (ps)": "0.3"}, "", (None, 300.0, False)),
        ({"time": "0.3 ps"}, "", (None, 300.0, False)),
        ({"time": 0.3, "time_unit": "ps"}, "", (None, 300.0, False)),
        ({"t": "3.0fs"}, "", (None, 3.0, False)),
        ({"T": "300.0"}, "", (None, None, False)),  # a temperature
        ({"t": "300.0"}, "", (None, None, False)),
        ({"time_step": "2.0", "walltime": "55"}, "", (None, None, False)),
        ({}, "Atoms. Timestep: 50", (50.0, None, False)),
        ({}, "# CELL(abcABC): 1 1 1 90 90 90 Step:  7  Bead: 0", (7.0, None, False)),
        ({}, "MD time: 12.5 fs, frame 3", (3.0, 12.5, False)),
        ({}, "made with a step 0.5 fs", (None, None, False)),
    ],
)
def test_step_and_time(pairs, text, expected):
    step, time, unknown = frame_time(pairs, text)
    assert step == expected[0]
    assert time == (None if expected[1] is None else pytest.approx(expected[1]))
    assert unknown is expected[2]
