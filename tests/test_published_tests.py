"""The page that recomputes published tests says what the script computes, and scipy agrees."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from scipy import stats as scipy_stats

ROOT = Path(__file__).resolve().parents[1]
SPEC = importlib.util.spec_from_file_location("published_tests", ROOT / "benchmarks" / "published_tests.py")
assert SPEC is not None
assert SPEC.loader is not None
published_tests = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(published_tests)


def test_the_committed_page_is_what_the_script_writes() -> None:
    assert published_tests.PAGE.read_text(encoding="utf-8") == published_tests.page()


def test_scipy_agrees_with_the_page() -> None:
    text = published_tests.page()
    found = scipy_stats.ttest_rel(*published_tests.FOLDS)
    assert f"| paired t-test (`dgccl.stats`) | {found.statistic:.2f} | {found.pvalue:.2g} |" in text
    exact = scipy_stats.binomtest(28, 60).pvalue
    assert f"| exact | {exact:.3f} |" in text


def test_the_width_of_an_interval_by_simulation() -> None:
    """Exponential scores of the two classes, for which Hanley and McNeil's variance is exact."""
    rng = np.random.default_rng(1)
    auc, positives, negatives = 0.916, 200, 300
    rate = auc / (1 - auc)
    areas = []
    for _ in range(3000):
        up = np.sort(rng.exponential(rate, positives))
        down = rng.exponential(1.0, negatives)
        areas.append(1 - np.searchsorted(up, down).mean() / positives)
    assert np.mean(areas) == pytest.approx(auc, abs=0.001)
    half = published_tests.half_width(auc, positives=positives, negatives=negatives)
    assert half == pytest.approx(1.96 * np.std(areas), rel=0.05)
