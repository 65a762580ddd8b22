"""What users do, in a process where QUIP cannot be imported: ``python without_quip.py FOLDER [all]``, for test_quip.py.

Prints one line of JSON: what became of each step.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import json
import pkgutil
import sys
from pathlib import Path

import ionloop
from ionloop.cli import run_command_line
from ionloop.cli.console.environment import check_quip
from ionloop.store.connection import open_store
from ionloop.workflows.graph.plan import load_plan
from ionloop.workflows.loop.generation_loop import generation_graph, initial_graph, label_job

TESTS = Path(__file__).parent
# Tests and what runs programs when it is imported are no modules of the package.
FOREIGN = ("tests", "benchmarks", "examples", "docs", "build", "cli.__main__", "labelling.child", "labelling.contract")


def load(path: Path):
    specification = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def import_everything() -> list[str]:
    """Import every module of the package; return those of QUIP that came along."""
    prefix = f"{ionloop.__name__}."
    for module in pkgutil.walk_packages(ionloop.__path__, prefix):
        name = module.name.removeprefix(prefix)
        if not name.startswith(FOREIGN):
            importlib.import_module(module.name)
    return [name for name in sys.modules if name.partition(".")[0] == "quippy"]


def command(*words: str) -> dict[str, object]:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = run_command_line(list(words))
    return {"status": status, "out": out.getvalue(), "err": err.getvalue()}


def commands(folder: Path) -> dict[str, object]:
    labels = load(TESTS / "cli" / "test_potentials.py")
    labels.write_labels(folder / "train.xyz", range(4))
    (folder / "settings.yaml").write_text(labels.SETTINGS)
    data, model, settings = (str(folder / name) for name in ("train.xyz", "model", "settings.yaml"))
    return {
        "fit": command("fit", data, "--out", model, "--settings", settings),
        "evaluate": command("evaluate", model, data, "--json"),
        "by name": command("evaluate", model, data, "--backend", "quippy"),
    }


def campaign(folder: Path, *, with_report: bool) -> dict[str, object]:
    """Fit a model of a campaign and check it: the jobs that workers run."""
    conftest = load(TESTS / "workflows" / "conftest.py")

    class Campaign(conftest.SmallCampaign):
        def settings(self, **changes):
            reference = {"engine": "command", "calculator": "ase.calculators.emt:EMT"}
            return super().settings(reference=reference, **changes)

    store = open_store(str(folder / "ionloop.db"))
    small = Campaign(store, folder)
    small.submit()
    first = {job.key: job for job in initial_graph(load_plan(store, "small")).jobs}
    for key, job in first.items():
        if "isolated-atom" in key:
            small.run(job)
    for name in small.add_configurations(4):
        small.run(label_job(small.campaign, 0, name))
    assess = next(job for key, job in first.items() if "assess" in key)
    data_set = small.run(assess).pass_on["data_set"]
    jobs = {job.key: job for job in generation_graph(load_plan(store, "small"), 1, data_set).jobs}
    small.run(jobs["generation-1/fit/gap"])
    outcome = small.run(jobs["generation-1/cross-check/gap"])
    (record,) = store.results.find({"kind": "cross-check-skipped"})
    report = folder / "report.html"
    told = (
        command("report", "small", "--store", str(folder / "ionloop.db"), "--output", str(report))
        if with_report
        else {"err": ""}
    )
    return {
        "models": store.models.count(),
        "cross-check": outcome.reason,
        "record": record.values["reason"],
        "report": report.read_text() if report.exists() else told["err"],
    }


def main(folder: Path, how_much: str = "") -> None:
    told = {
        "imported": import_everything() if how_much == "all" else [],
        **commands(folder),
        "campaign": campaign(folder, with_report=how_much == "all"),
        "doctor": check_quip().as_dict(),
        "needed": check_quip(needed=True).as_dict(),
    }
    print(json.dumps(told))


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
