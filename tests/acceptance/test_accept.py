"""The verdict over a run: what it writes, how it ends, and that nothing passes because it could not be looked at."""

import hashlib
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from dgccl import __version__, cli
from dgccl.acceptance import ACCEPTANCE_FILE, accept, read_acceptance
from dgccl.errors import CohortError, TrainingError

from .conftest import MakeRun

GATES = """
name = "mine"
[[gates]]
rule = "no_patient_in_two_splits"
[[gates]]
rule = "no_duplicate_images"
[[gates]]
rule = "label_not_implied"
max_auroc = 0.7
columns = ["site", "scanner"]
[[gates]]
rule = "auroc_floor"
floor = 0.7
[[gates]]
rule = "missing_modality_drop"
[[gates]]
rule = "non_inferiority"
comparator = "old"
margin = 0.1
[[gates]]
rule = "calibration_slope"
low = 0.3
high = 3.0
[[gates]]
rule = "subgroup_floor"
by = "sex"
floor = 0.5
"""
KEYS = {
    "rule", "title", "settings", "figure_name", "figure", "ci_low", "ci_high", "method", "n", "passed", "assessed",
    "reason", "parts", "details",
}  # fmt: skip

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def gates(tmp_path: Path) -> Path:
    path = tmp_path / "mine.toml"
    path.write_text(GATES, encoding="utf-8")
    return path


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    def run(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["dgccl", *map(str, words)])
        with pytest.raises(SystemExit) as left:
            cli.main()
        told = capsys.readouterr()
        return int(left.value.code or 0), told.out, told.err

    return run


def test_a_sound_run_passes_and_everything_is_on_record(make_run: MakeRun, gates: Path, call: Call) -> None:
    run = make_run()
    status, out, _ = call("accept", run, "--gates", gates, "--json")
    told = json.loads(out)
    assert (status, told["verdict"], told["failed"]) == (0, "pass", [])
    assert told == json.loads((run / ACCEPTANCE_FILE).read_text(encoding="utf-8"))
    assert (told["data_kind"], told["model"], told["dgccl_version"]) == ("phantom", "new", __version__)
    assert told["notice"].startswith("PHANTOM")
    assert told["gates_file"] == {
        "name": "mine",
        "file": "mine.toml",
        "content": GATES,
        "sha256": hashlib.sha256(GATES.encode()).hexdigest(),
    }
    assert told["command"] == f"dgccl accept {run} --gates {gates} --json"
    lesions = run.parent / "cohort" / "lesions.csv"
    assert told["cohort_sha256"] == hashlib.sha256(lesions.read_bytes()).hexdigest()
    for name, sha256 in told["run"]["files_sha256"].items():
        assert sha256 == hashlib.sha256((run / name).read_bytes()).hexdigest()
    assert [gate["rule"] for gate in told["gates"]] == [
        line.split('"')[1] for line in GATES.splitlines() if line.startswith("rule")
    ]
    for gate in told["gates"]:
        assert set(gate) == KEYS
        assert gate["passed"] is True
        assert gate["assessed"] is True
        assert gate["reason"]
        assert gate["n"] > 0
        assert (gate["ci_low"] is None) == (gate["method"] == "count")
    assert told["gates"][4]["settings"] == {"max_drop": 0.05, "missing": "all"}


def test_a_failed_gate_ends_with_its_own_status(make_run: MakeRun, gates: Path, call: Call) -> None:
    run = make_run()
    gates.write_text(GATES.replace("floor = 0.7", "floor = 0.95"), encoding="utf-8")
    status, out, err = call("accept", run, "--gates", gates)
    assert (status, err) == (4, "")
    assert "PHANTOM" in out
    assert "FAIL: 7 of 8 gates passed" in out
    status, out, _ = call("accept", run, "--gates", gates, "--json")
    assert (status, json.loads(out)["failed"]) == (4, ["auroc_floor"])


def test_a_real_cohort_bears_no_notice(make_run: MakeRun, gates: Path) -> None:
    found = accept(make_run(data_kind="real"), gates)
    assert (found.data_kind, found.notice, found.verdict) == ("real", "", "pass")


def test_a_phantom_stays_one_whatever_the_run_calls_it(make_run: MakeRun, gates: Path) -> None:
    found = accept(make_run(facts={"data_kind": "real"}), gates)
    assert found.data_kind == "phantom"
    assert found.notice.startswith("PHANTOM")
    assert "the cohort calls them phantom" in found.warnings[0]


def test_without_its_cohort_the_gates_that_need_it_fail(make_run: MakeRun, gates: Path) -> None:
    run = make_run()
    shutil.move(run.parent / "cohort", run.parent / "moved")
    found = accept(run, gates)
    assert found.failed == [
        "no_patient_in_two_splits",
        "no_duplicate_images",
        "label_not_implied",
        "subgroup_floor by sex",
    ]
    lost = [gate for gate in found.gates if not gate.passed]
    assert not any(gate.assessed for gate in lost)
    assert all("[not_a_cohort]" in gate.reason for gate in lost)
    assert accept(run, gates, cohort_dir=run.parent / "moved").passed


def test_another_cohort_is_no_evidence(make_run: MakeRun, gates: Path) -> None:
    run = make_run()
    lesions = run.parent / "cohort" / "lesions.csv"
    lesions.write_text(lesions.read_text().replace("north", "south"))
    found = accept(run, gates)
    assert "no_duplicate_images" in found.failed
    assert any("[cohort_changed]" in gate.reason for gate in found.gates)
    with pytest.raises(TrainingError) as caught:
        accept(run, gates, cohort_dir=lesions.parent)
    assert caught.value.code == "cohort_changed"


def test_a_run_that_evaluation_refuses_fails_every_gate_on_its_figures(
    make_run: MakeRun, gates: Path
) -> None:
    def broken(rows: pd.DataFrame) -> None:
        rows.loc[3, "y_score"] = 1.5

    found = accept(make_run(predictions=broken), gates)
    assert found.verdict == "fail"
    assert found.model is None
    assert "auroc_floor" in found.failed
    assert "no_duplicate_images" not in found.failed
    assert any("Evaluation refuses this run" in warning for warning in found.warnings)


def test_leaks_fail_a_run_whose_figures_pass(make_run: MakeRun, gates: Path) -> None:
    """Copies of training patients among the tested, and a scanner for each class: the better the AUC, the worse."""

    def copies(arrays: dict) -> None:
        for place in range(0, 20, 2):
            arrays[f"L{place + 1:03d}"] = arrays[f"L{place:03d}"]

    def scanner(cohort: pd.DataFrame) -> None:
        cohort["scanner"] = cohort["label"].map({0: "old", 1: "new"})

    found = accept(make_run(arrays=copies, cohort=scanner), gates)
    assert found.failed == ["no_duplicate_images", "label_not_implied"]
    duplicates, implied = (gate for gate in found.gates if not gate.passed)
    assert duplicates.figure == 20
    assert "scanner: implies the class exactly" in implied.reason


def test_a_cohort_of_values_is_judged_by_what_it_has(make_run: MakeRun, gates: Path) -> None:
    run = make_run()
    lesions = pd.read_csv(run.parent / "cohort" / "lesions.csv")
    table = run.parent / "values.csv"
    lesions[["patient_id", "lesion_id", "label", "site", "sex", "scanner"]].to_csv(table, index=False)
    facts = json.loads((run / "run.json").read_text())
    facts |= {"cohort_dir": str(table), "cohort_sha256": hashlib.sha256(table.read_bytes()).hexdigest()}
    (run / "run.json").write_text(json.dumps(facts))
    found = accept(run, gates)
    assert found.failed == ["no_duplicate_images"]
    assert "[no_images]" in found.gates[1].reason


@pytest.mark.parametrize(
    ("harm", "code"),
    [
        (lambda run: (run / "run.json").unlink(), "not_a_run"),
        (lambda run: (run / "run.json").write_text("{"), "run_file_damaged"),
        (lambda run: (run / "run.json").write_text("{}"), "run_file_damaged"),
        (
            lambda run: (run / "run.json").write_text(
                (run / "run.json").read_text().replace('"2026-01-02"', "null")
            ),
            "run_unfinished",
        ),
    ],
)
def test_what_is_no_finished_run_is_an_error(
    make_run: MakeRun, gates: Path, call: Call, harm: Callable[[Path], None], code: str
) -> None:
    run = make_run()
    harm(run)
    status, out, _ = call("accept", run, "--gates", gates, "--json")
    assert (status, json.loads(out)["error"]["code"]) == (1, code)
    assert not (run / ACCEPTANCE_FILE).exists()


def test_a_named_cohort_must_be_one(make_run: MakeRun, gates: Path, tmp_path: Path) -> None:
    with pytest.raises(CohortError) as caught:
        accept(make_run(), gates, cohort_dir=tmp_path)
    assert caught.value.code == "not_a_cohort"


@pytest.mark.parametrize(
    ("words", "status", "code"),
    [
        (["accept", "RUN"], 2, "wrong_command_line"),
        (["accept", "RUN", "--gates", "GATES", "--floor", "1"], 2, "wrong_command_line"),
        (["accept", "RUN", "--gates", "ABSENT"], 1, "gates_not_found"),
        (["accept", "RUN", "--gates", "WRONG"], 1, "gates_invalid"),
        (["accept", "ABSENT", "--gates", "GATES"], 1, "not_a_run"),
        (["accept", "GATES", "--gates", "GATES"], 1, "not_a_run"),
        (["accept", "RUN", "--gates", "GATES", "--cohort", "ABSENT"], 1, "not_a_cohort"),
    ],
)
def test_errors_and_wrong_command_lines_have_other_statuses(
    make_run: MakeRun, gates: Path, call: Call, tmp_path: Path, words: list[str], status: int, code: str
) -> None:
    wrong = tmp_path / "wrong.toml"
    wrong.write_text(GATES.replace("auroc_floor", "auroc_flor"))
    paths = {"RUN": make_run(), "GATES": gates, "ABSENT": tmp_path / "absent", "WRONG": wrong}
    left, out, _ = call(*(paths.get(word, word) for word in words), "--json")
    assert (left, json.loads(out)["error"]["code"]) == (status, code)
    assert not (paths["RUN"] / ACCEPTANCE_FILE).exists()


def test_a_verdict_is_replaced_whole(make_run: MakeRun, gates: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make_run()
    accept(run, gates)
    before = (run / ACCEPTANCE_FILE).read_bytes()

    def full_disk(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full_disk)
    with pytest.raises(OSError, match="No space"):
        accept(run, gates)
    assert (run / ACCEPTANCE_FILE).read_bytes() == before
    assert [path.name for path in run.iterdir() if path.name.startswith(".")] == []


def test_a_verdict_on_a_run_that_has_changed_is_not_shown(make_run: MakeRun, gates: Path) -> None:
    run = make_run()
    assert read_acceptance(run) is None
    found = accept(run, gates)
    assert read_acceptance(run) == json.loads(json.dumps(found.to_json()))
    folds = run / "folds.csv"
    folds.write_text(folds.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    with pytest.raises(TrainingError) as error:
        read_acceptance(run)
    assert error.value.code == "acceptance_outdated"
    (run / ACCEPTANCE_FILE).write_text("{}", encoding="utf-8")
    with pytest.raises(TrainingError) as error:
        read_acceptance(run)
    assert error.value.code == "run_file_damaged"
