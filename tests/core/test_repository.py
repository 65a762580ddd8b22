"""What stands beside the code says what is true."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from ruamel.yaml import YAML

import ionloop

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
MAKE_TARGETS = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def read(path: str) -> dict:
    return YAML(typ="safe").load(ROOT / path)


def test_the_version_stands_in_one_place_and_the_others_agree() -> None:
    assert PROJECT["project"]["dynamic"] == ["version"]
    assert PROJECT["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "ionloop.__version__"}
    assert read("CITATION.cff")["version"] == ionloop.__version__
    assert f"\n## {ionloop.__version__}\n" in (ROOT / "CHANGELOG.md").read_text()


def test_what_is_cited_and_licensed_agrees() -> None:
    citation = read("CITATION.cff")
    assert {"cff-version", "message", "title", "authors"} <= citation.keys()
    assert citation["license"] == PROJECT["project"]["license"]


def test_hosted_tests_run_what_there_is_on_every_python_that_is_supported() -> None:
    jobs = read(".github/workflows/tests.yml")["jobs"]
    commands = [step["run"] for job in jobs.values() for step in job["steps"] if "run" in step]
    made = {word for one in commands if one.startswith("make ") for word in one.split()[1:]}
    assert made
    assert made <= MAKE_TARGETS
    lowest = PROJECT["project"]["requires-python"].removeprefix(">=")
    assert jobs["test"]["strategy"]["matrix"]["python"][0] == lowest
    assert all(job["timeout-minutes"] for job in jobs.values())


def test_pages_about_the_project_link_to_what_is_there() -> None:
    for name in ("CHANGELOG", "CONTRIBUTING", "SECURITY", "CODE_OF_CONDUCT"):
        text = (ROOT / f"{name}.md").read_text()
        for target in re.findall(r"\]\((?!https?://|#)([^)#]+)", text):
            assert (ROOT / target).exists(), f"{name}.md links to {target}"
        for target in re.findall(r"`make ([\w -]+)`", text):
            assert set(target.split()) <= MAKE_TARGETS, f"{name}.md names make {target}"


def test_every_package_of_the_house_is_in_what_is_published() -> None:
    listed = set(PROJECT["tool"]["setuptools"]["packages"])
    floors = {package.split(".")[1] for package in listed if "." in package}
    there = {
        f"ionloop.{'.'.join(path.parent.relative_to(ROOT).parts)}"
        for floor in floors
        for path in (ROOT / floor).rglob("__init__.py")
    }
    assert there <= listed
