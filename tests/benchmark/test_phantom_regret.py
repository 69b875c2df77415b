"""The page that holds every method against the lower bound, made from two committed results."""

import copy
import importlib.util
import json
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SPEC = importlib.util.spec_from_file_location("phantom_regret", ROOT / "benchmarks" / "phantom_regret.py")
assert SPEC is not None
assert SPEC.loader is not None
phantom_regret = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(phantom_regret)

FOUND, BOUND = (
    json.loads((phantom_regret.RESULTS / name).read_text(encoding="utf-8"))
    for name in ("phantom.json", "lower_bound/phantom.json")
)


def test_the_committed_page_is_what_the_script_writes() -> None:
    assert phantom_regret.PAGE.read_text(encoding="utf-8") == phantom_regret.page()


def test_regret_of_the_recommended_method_is_what_its_own_run_computed() -> None:
    [own] = [row for row in BOUND["rows"] if (row["method"], row["pattern"]) == ("recommended", "ct+pet")]
    regret = own["regret_lower"]
    words = f"{regret['estimate']:+.4f} ({regret['ci_low']:+.4f} to {regret['ci_high']:+.4f})"
    rows = {row[0]: row for row in phantom_regret.regrets(FOUND, BOUND, "ct+pet")}
    assert rows["DG-CCL recommended"][3] == words


def test_results_of_other_lesions_are_refused() -> None:
    other = copy.deepcopy(BOUND)
    other["meta"]["seeds"] = [1]
    with pytest.raises(ValueError, match="seeds differs"):
        phantom_regret.check_same_lesions(FOUND, other)
    other = copy.deepcopy(BOUND)
    other["rows"][0]["auroc"]["estimate"] += 1e-6
    with pytest.raises(ValueError, match="AUC with ct\\+pet differs"):
        phantom_regret.check_same_lesions(FOUND, other)


def test_an_interval_along_two_differences_is_wider_than_along_one() -> None:
    rows = {row[0]: row[3] for row in phantom_regret.regrets(FOUND, BOUND, "ct+pet")}
    widths = []
    for name in ("DG-CCL recommended", "DG-CCL as published"):
        low, high = rows[name].partition("(")[2].rstrip(")").split(" to ")
        widths.append(float(high) - float(low))
    assert widths == sorted(widths)
    assert len(set(widths)) == 2


def test_scores_of_one_pose_are_listed_apart_and_have_no_interval() -> None:
    rows = phantom_regret.regrets(FOUND, BOUND, "ct+pet")
    poses = [int(row[1]) for row in rows]
    assert poses == sorted(poses, reverse=True)
    assert set(poses) == {1, 4}
    assert all("(" not in row[3] for row, number in zip(rows, poses, strict=True) if number == 1)
