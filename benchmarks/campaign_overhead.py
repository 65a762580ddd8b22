"""Print where the wall time of a campaign went: labels, sampling, fits, analyses, and the engine's own overhead.

    python benchmarks/campaign_overhead.py demo/ionloop.db [NAME]

The overhead is the part of the wall time, from the start of the first job to the end of the last, in which no
worker was labelling, sampling or fitting, for the loop or for an analysis. Time in which the campaign was stopped
(no job running for longer than a minute) does not count.
"""

from __future__ import annotations

import argparse
from collections import Counter
from typing import Any

from rich.console import Console
from rich.table import Table

from ionloop.store.campaigns import find_campaign
from ionloop.store.connection import Store, open_store
from ionloop.store.records import as_utc

STOPPED_S = 60.0
BESIDE = ("assess", "cross-check", "select", "variance")
"""What jobs do between labels, samples, fits and analyses."""


def intervals(store: Store, campaign: str) -> tuple[list[tuple[float, float]], list[dict[str, Any]]]:
    """Return the jobs' intervals and their payload (kind, start, end), seconds since the epoch."""
    identifiers = [job["fw_id"] for job in store.database.fireworks.find({"spec.campaign": campaign}, {"fw_id": 1})]
    jobs, payload = [], []
    for launch in store.database.launches.find({"fw_id": {"$in": identifiers}, "state": "COMPLETED"}):
        history = {entry["state"]: entry for entry in launch["state_history"]}
        jobs.append(
            (
                as_utc(history["RUNNING"]["created_on"]).timestamp(),
                as_utc(history["COMPLETED"]["created_on"]).timestamp(),
            )
        )
        payload.extend((launch["action"]["stored_data"] or {}).get("payload", []))
    return sorted(jobs), payload


def covered_seconds(spans: list[tuple[float, float]]) -> float:
    """Return the length of the union of intervals."""
    total, end = 0.0, float("-inf")
    for start, stop in sorted(spans):
        total += max(0.0, stop - max(start, end))
        end = max(end, stop)
    return total


def stopped_seconds(jobs: list[tuple[float, float]]) -> float:
    """Return the time between jobs in which the campaign was stopped."""
    total, end = 0.0, jobs[0][0]
    for start, stop in jobs:
        if start - end > STOPPED_S:
            total += start - end
        end = max(end, stop)
    return total


def overhead(jobs: list[tuple[float, float]], payload: list[dict[str, Any]]) -> tuple[float, float]:
    """Return a campaign's wall time (s) and the part of it in which no worker did what the campaign is for."""
    wall = max(stop for _, stop in jobs) - jobs[0][0] - stopped_seconds(jobs)
    busy = covered_seconds([(entry["start"], entry["end"]) for entry in payload if entry["kind"] not in BESIDE])
    return wall, wall - busy


def main() -> None:
    """Print the split."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store")
    parser.add_argument("name", nargs="?")
    arguments = parser.parse_args()
    store = open_store(arguments.store, must_exist=True)
    campaign = find_campaign(store, arguments.name).id
    jobs, payload = intervals(store, campaign)
    wall, idle = overhead(jobs, payload)
    by_kind: Counter[str] = Counter()
    for entry in payload:
        by_kind[entry["kind"]] += entry["end"] - entry["start"]
    in_jobs = sum(stop - start for start, stop in jobs)

    table = Table(title=f"{campaign}: {len(jobs)} jobs in {wall:.0f} s", box=None)
    for column in ("", "worker seconds", "of all jobs"):
        table.add_column(column, justify="right" if column else "left")
    for kind, seconds in by_kind.most_common():
        table.add_row(kind, f"{seconds:.1f}", f"{seconds / in_jobs:.1%}")
    rest = in_jobs - sum(by_kind.values())
    table.add_row("records, graph, states", f"{rest:.1f}", f"{rest / in_jobs:.1%}")
    console = Console()
    console.print(table)
    console.print(f"wall time without any label, sampling, fit or analysis: {idle:.1f} s, {idle / wall:.1%}")
    store.close()


if __name__ == "__main__":
    main()
