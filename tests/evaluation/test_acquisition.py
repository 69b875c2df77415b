"""What a missing image would add: expected from validation lesions, held against what it did add."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dgccl.evaluation import evaluate, load_results

MakeRun = Callable[..., Path]


def ideal(lesions: pd.DataFrame, pattern: str) -> np.ndarray:
    """The right probability of two independent normal measurements, 1 (CT) and 2 (PET) standard deviations apart."""
    rng = np.random.default_rng(21)
    odds = np.zeros(len(lesions))
    for name, apart in (("ct", 1.0), ("pet", 2.0)):
        value = (
            rng.normal(size=1000)[lesions["lesion_id"].str[1:].astype(int)]
            + apart * lesions["y_true"].to_numpy()
        )
        if name in pattern:
            odds += apart * (value - apart / 2)
    return 1.0 / (1.0 + np.exp(-odds))


def test_what_is_expected_comes_true(make_run: MakeRun) -> None:
    run = make_run(malignant=500, benign=500, scores={"dgccl": ideal})
    results = evaluate(run)
    found = {entry.missing: entry for entry in results.models["dgccl"].acquisition}
    assert {name: entry.shown for name, entry in found.items()} == {"ct": "pet", "pet": "ct"}
    for entry in found.values():
        assert entry.n == 1000
        assert entry.expected_change == pytest.approx(entry.observed_change, rel=0.1)
        assert entry.within_interval.estimate == pytest.approx(0.8, abs=0.03)
        for acting in entry.acting:
            assert acting.expected_changes == pytest.approx(acting.observed_changes.estimate, abs=0.04)
            assert acting.observed_benefit.ci_low is not None
            assert acting.observed_benefit.ci_high is not None
            assert acting.observed_benefit.ci_low - 0.01 < acting.expected_benefit
            assert acting.expected_benefit < acting.observed_benefit.ci_high + 0.01
    # PET tells more than CT, so that acquiring it is worth more
    assert found["pet"].acting[3].expected_benefit > 2 * found["ct"].acting[3].expected_benefit > 0.0
    assert load_results(run) == results


def test_lesions_that_lack_the_image_have_an_outlook_too(make_run: MakeRun) -> None:
    def without_pet(lesions: pd.DataFrame) -> None:
        lesions["has_pet"] = lesions.index % 5 > 0

    run = make_run(malignant=200, benign=200, edit=without_pet, scores={"dgccl": ideal})
    results = evaluate(run)
    table = pd.read_csv(run / "acquisition.csv")
    lacking = table.loc[(table["missing"] == "pet") & table["p_complete"].isna()]
    assert len(lacking) == 80
    assert (lacking["p_low"] < lacking["p_high"]).all()
    assert lacking["p_expected"].between(0.0, 1.0, inclusive="neither").all()
    assert (lacking["benefit_at_0.5"] >= -1e-12).all()
    pet = next(entry for entry in results.models["dgccl"].acquisition if entry.missing == "pet")
    assert pet.n == 320


def test_a_fold_that_says_too_little_is_told(make_run: MakeRun) -> None:
    run = make_run(malignant=10, benign=10)
    results = evaluate(run)
    assert results.models["dgccl"].acquisition == []
    assert any("too few to say what pet would add to ct" in warning for warning in results.warnings)
    assert not (run / "acquisition.csv").exists()


def test_a_fold_of_few_patients_is_told_however_many_lesions_they_have(make_run: MakeRun) -> None:
    run = make_run(malignant=60, benign=60, per_patient=10, folds=4)
    results = evaluate(run)
    assert results.models["dgccl"].acquisition == []
    assert any("of fewer than 10 patients" in warning for warning in results.warnings)
