"""Reading campaign files: every problem at once, and never anything but a campaign or a list of problems."""

from __future__ import annotations

import json
import string
from pathlib import Path
from typing import Any

import pytest
from ase.build import bulk
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ionloop.workflows.campaign import starter
from ionloop.workflows.campaign.problems import CampaignFileError, Problem
from ionloop.workflows.campaign.schema import field_entries
from ionloop.workflows.campaign.settings import Campaign
from ionloop.workflows.submission.campaign_file import load_structures, read_campaign

HEAD = "name: demo\nstructure: li7p3s11\n"
TEMPLATE = Path(starter.__file__).with_name("templates") / "demo.yaml"
DEMO = "".join(line for line in TEMPLATE.read_text().splitlines(keepends=True) if not line.startswith("#"))

fuzzing = settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    # The folder is the same for all examples; every one of them writes its own file over the last.
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def problems_in(folder: Path, content: str | bytes) -> tuple[Problem, ...]:
    path = folder / "campaign.yaml"
    path.write_bytes(content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content)
    try:
        outcome: Campaign | CampaignFileError = read_campaign(path)
    except CampaignFileError as error:
        outcome = error
    if isinstance(outcome, Campaign):
        return ()
    assert outcome.exit_status == 2
    assert outcome.problems
    assert str(path) in str(outcome)
    return outcome.problems


def only_problem(folder: Path, content: str | bytes) -> Problem:
    problems = problems_in(folder, content)
    assert len(problems) == 1, problems
    return problems[0]


def test_the_shortest_campaign(tmp_path: Path) -> None:
    assert problems_in(tmp_path, HEAD) == ()


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        (f"{HEAD}mobile: Li\u00a0\n", 3, "no-break space"),
        (f"{HEAD}seed: 7\u00a0\n", 3, "no-break space"),
        (f"{HEAD}seed\u2009: 7\n", 3, "thin space"),
        (f"{HEAD}seed: 7\n\u00a0\n", 4, "no-break space"),
        ("name: 2024\nstructure: li7p3s11\n", 1, "write it in quotes"),
        ("name: true\nstructure: li7p3s11\n", 1, "write it in quotes"),
    ],
)
def test_what_looks_right_and_is_not_is_named(tmp_path: Path, text: str, line: int, message: str) -> None:
    problem = only_problem(tmp_path, text)
    assert problem.line == line
    assert message in problem.message


def test_every_problem_is_told_at_once_with_its_line(tmp_path: Path) -> None:
    text = """name: "my campaign"
structure: li7p3s11
supercell: [2, 1, "a"]
mobil: Li
seed: 1
seed: 3
models: [gap, es-gab]
sampling: {temprature_K: 800, length_ps: "5", replicas: true}
stop:
  patience: 1.5
reference: {engine: gfn1-xtb, max_iteration: 3}
analyses: {localty: {}}
"""
    found = {(p.line, p.render().split()[2].rstrip(":")): p.suggestion for p in problems_in(tmp_path, text)}
    assert found == {
        (1, "name"): None,
        (3, "supercell[2]"): None,
        (4, "mobil"): "mobile",
        (6, "seed"): None,
        (7, "models[1]"): "es-gap",
        (8, "sampling.temprature_K"): "temperature_K",
        (8, "sampling.length_ps"): None,
        (8, "sampling.replicas"): None,
        (10, "stop.patience"): None,
        (11, "reference.max_iteration"): "max_iterations",
        (12, "analyses.localty"): "locality",
    }


def test_a_problem_names_file_key_value_and_what_is_allowed(tmp_path: Path) -> None:
    path = tmp_path / "campaign.yaml"
    path.write_text(HEAD + "stop: {patience: 0}\n")
    with pytest.raises(CampaignFileError) as caught:
        read_campaign(path)
    assert str(caught.value).splitlines() == [
        f"{path}: 1 problem",
        "  line 3    stop.patience = 0: must be greater than or equal to 1",
        "            allowed: a whole number from 1 to 100",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("# nothing\n", "is empty"),
        ("null\n", "is empty"),
        ("just words\n", "single value"),
        ("- a\n- b\n", "a list"),
        ("\tname: x\n", "not valid YAML"),
        ("name: [1, 2\n", "not valid YAML"),
        (HEAD + "a: &x [1]\n", "anchors"),
        (HEAD + "a: *x\n", "aliases"),
        (HEAD + "supercell: !!python/tuple [1, 1, 1]\n", "tags"),
        (HEAD + "name: other\n", "given twice"),
        (HEAD + "seed: .nan\n", "finite"),
        (HEAD + "seed: -.inf\n", "finite"),
        (HEAD + "seed: 1e400\n", "too large"),
        (HEAD + f"seed: {'9' * 5000}\n", "characters"),
        (HEAD + "---\nname: b\n", "second document"),
        (HEAD + "? [1]\n: 2\n", "plain word"),
        (HEAD + "mobile: " + "[" * 50 + "]" * 50 + "\n", "nested too deeply"),
        (HEAD + 'mobile: "\\ud800"\n', "surrogate"),
        (HEAD + "initial:\n", "is empty"),
        (HEAD + 'seed: "1"\n', "without quotes"),
        (HEAD + "seed: true\n", "whole number"),
        (HEAD + "reference: gfn1-xtb\n", "mapping"),
        (HEAD + "reference: {}\n", "required"),
        (HEAD + "baseline: {charges: fitted}\n", "fit | formal"),
        (HEAD + "baseline: {charges: {fit: forces}}\n", "locality | error"),
        (HEAD + "baseline: {charges: {fit: error, Li: 1.0}}\n", "baseline.charges.Li"),
        (HEAD + "supercell: [2, 1]\n", "too short"),
        (HEAD + "mobile: Na\n", "does not occur"),
        (HEAD + "supercell: [20, 20, 20]\n", "336,000 atoms"),
        (HEAD + "baseline: {charges: {Li: 0.3, P: 1.5}}\n", "no charge for S"),
        (HEAD + "baseline: {charges: {Li: 0.3, P: 1.5, S: -0.5}}\n", "+2.2 e"),
        (HEAD + "baseline: {charges: {Li: 0.3, P: 1.5, S: -0.6, O: 0}}\n", "not in the structure"),
        (HEAD + "gap: {regularisation: {force_by_element_eV_per_A: {Li: 0.01, O: 0.1}}}\n", "Li | P | S"),
        (
            HEAD + "gap: {regularisation_by_config_type: {md: {force_by_element_eV_per_A: {Cl: 0.1}}}}\n",
            "not in the structure",
        ),
        ("name: x\nstructure: li7p3s12\n", "li7p3s11"),
        ("name: x\nstructure: no/such.cif\n", "does not exist"),
        (f"name: x\nstructure: {'y' * 1000}\n", "cannot be used"),
    ],
)
def test_one_mistake_is_one_problem(tmp_path: Path, text: str, message: str) -> None:
    problem = only_problem(tmp_path, text)
    assert message in problem.render()


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"\x00\x01\x02", b"name: \xc3\x28", bytes(range(256))])
def test_a_binary_file_is_one_problem(tmp_path: Path, content: bytes) -> None:
    only_problem(tmp_path, content)


def test_a_bomb_does_not_go_off(tmp_path: Path) -> None:
    levels = [f"l{i}: &l{i} [{', '.join([f'*l{i - 1}'] * 10)}]" for i in range(1, 10)]
    problems = problems_in(tmp_path, HEAD + "l0: &l0 [1]\n" + "\n".join(levels) + "\n")
    assert all("anchors" in p.message or "aliases" in p.message for p in problems)


def test_what_is_no_readable_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "campaign.yaml").write_text(HEAD)
    dangling = tmp_path / "dangling.yaml"
    dangling.symlink_to("/no/such.yaml")
    cases = {
        tmp_path: "is a folder",
        tmp_path / "campain.yaml": "did you mean campaign.yaml?",
        tmp_path / "no" / "such.yaml": "does not exist",
        dangling: "is a link to /no/such.yaml, which does not exist",
        tmp_path / ("x" * 5000): "cannot be read",
        Path("\0"): "does not exist",
    }
    for path, message in cases.items():
        with pytest.raises(CampaignFileError, match=message.replace("?", r"\?")):
            read_campaign(path)


def test_a_huge_file_is_not_read(tmp_path: Path) -> None:
    assert "bytes" in only_problem(tmp_path, HEAD + "#" * 1_000_001).message


def test_a_structure_file_is_found_beside_the_campaign(tmp_path: Path) -> None:
    bulk("NaCl", "rocksalt", a=5.64, cubic=True).write(tmp_path / "salt.extxyz")
    path = tmp_path / "campaign.yaml"
    path.write_text("name: salt\nstructure: salt.extxyz\nmobile: Na\n")
    campaign = read_campaign(path)
    assert campaign.structure == "salt.extxyz"
    assert len(load_structures(campaign, tmp_path)[None]) == 8


def test_control_characters_do_not_reach_the_terminal(tmp_path: Path) -> None:
    text = HEAD + 'mobile: "\\e[31mred\\nline 9    seed"\n"\\e]0;title\\a": 1\n'
    rendered = "\n".join(p.render() for p in problems_in(tmp_path, text))
    assert "\x1b" not in rendered
    assert "\nline 9" not in rendered


scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=20),
    st.sampled_from(["gap", "es-gap", "formal", "cur", "command", "Li", "li7p3s11"]),
)
known_words = st.sampled_from(sorted({part for entry in field_entries() for part in entry.key}))
words = st.one_of(known_words, st.text(string.ascii_letters, max_size=8), st.text(max_size=4))
trees = st.recursive(
    scalars,
    lambda children: st.one_of(st.lists(children, max_size=4), st.dictionaries(words, children, max_size=5)),
    max_leaves=12,
)


@fuzzing
@given(st.binary(max_size=200))
def test_bytes_give_a_campaign_or_problems(tmp_path: Path, content: bytes) -> None:
    problems_in(tmp_path, content)


@fuzzing
@given(st.text(st.sampled_from("ab:-?[]{}&*!|>'\"%@`#,\n\t 01.~\\\ud800\u0085\ufeff"), max_size=60))
def test_yaml_punctuation_gives_a_campaign_or_problems(tmp_path: Path, text: str) -> None:
    problems_in(tmp_path, text)
    problems_in(tmp_path, HEAD + text)


@fuzzing
@given(st.dictionaries(words, trees, max_size=6))
def test_trees_give_a_campaign_or_problems(tmp_path: Path, tree: dict[str, Any]) -> None:
    problems_in(tmp_path, json.dumps({"name": "demo", "structure": "li7p3s11", **tree}))


@fuzzing
@given(st.sampled_from(field_entries()), trees)
def test_a_value_out_of_place_gives_a_campaign_or_problems(tmp_path: Path, entry: Any, value: Any) -> None:
    tree: dict[str, Any] = {"name": "demo", "structure": "li7p3s11"}
    section = tree
    for part in entry.key[:-1]:
        section = section.setdefault(part, {})
        if not isinstance(section, dict):
            return
    section[entry.key[-1]] = value
    problems_in(tmp_path, json.dumps(tree))


@fuzzing
@given(st.integers(0, len(DEMO)), st.integers(0, 30), st.text(max_size=10))
def test_a_damaged_file_gives_a_campaign_or_problems(tmp_path: Path, start: int, length: int, patch: str) -> None:
    problems_in(tmp_path, DEMO[:start] + patch + DEMO[start + length :])


@pytest.mark.parametrize("key", ["basis.set", "$where"])
def test_a_key_that_no_document_can_hold_is_told_before_anything_is_stored(tmp_path: Path, key: str) -> None:
    engine = f'reference: {{engine: command, calculator: "ase.calculators.emt:EMT", arguments: {{"{key}": 1}}}}\n'
    problem = only_problem(tmp_path, HEAD + engine)
    assert problem.key == ("reference", "arguments", key)
    assert "no dot" in problem.message
    assert problem.line == 3
