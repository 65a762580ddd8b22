"""Whether a running campaign notices that it is watched: the demo, alone and under 50 viewers, in turn.

    python benchmarks/viewers_overhead.py [--viewers 50] [--repeats 1]

Prints for each run the wall time, the part of it without any label, sampling, fit or analysis (the overhead, as
``campaign_overhead.py`` counts it), the processor time of the dashboard, and what the viewers waited. The viewers run
on the same machine: what they take of it counts against the campaign, which two cores keep busy.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import psutil
from campaign_overhead import intervals, overhead  # the other scripts of this folder
from dashboard import Viewers, served

from ionloop.store.connection import open_store

PAGES = ("/", "/campaign?name=demo", "/configurations", "/models", "/results")


def ionloop(*arguments: str) -> None:
    """Run the command."""
    subprocess.run([sys.executable, "-m", "ionloop.cli", *arguments], check=True, stdout=subprocess.DEVNULL)


def run_demo(folder: Path, viewers: int) -> float:
    """Run the demo, watched or not; print and return its overhead as a part of its wall time."""
    ionloop("init", str(folder), "--template", "demo")
    campaign, path = str(folder / "campaign.yaml"), folder / "ionloop.db"
    if viewers:
        ionloop("submit", campaign, "--store", str(path), "--root", str(folder / "ionloop-files"))
        with served(path) as (port, _, pid), Viewers(port, PAGES, viewers) as found:
            ionloop("run", campaign)
            used = psutil.Process(pid).cpu_times()
        watched = f"; the dashboard took {used.user + used.system:.1f} s of processor time\n  {found.summary()}"
    else:
        ionloop("run", campaign)
        watched = ""
    store = open_store(str(path), must_exist=True)
    wall, idle = overhead(*intervals(store, "demo"))
    store.close()
    print(f"{viewers:>3} viewers: {wall:.0f} s, overhead {idle:.1f} s, {idle / wall:.1%}{watched}", flush=True)
    return idle / wall


def main() -> None:
    """Run the demo both ways in turn."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--viewers", type=int, default=50)
    parser.add_argument("--repeats", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for repeat in range(options.repeats):
            for viewers in (0, options.viewers):
                run_demo(Path(folder) / f"demo-{repeat}-{viewers}", viewers)


if __name__ == "__main__":
    main()
