"""Networks that learned nothing, or that saw what they are tested on, are named before any figure."""

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest

from dgccl.evaluation.compute import evaluate

UNTAUGHT = "always answering the classes' shares"


def upside_down(lesions: pd.DataFrame, pattern: str) -> np.ndarray:
    """What a random start gives that happens to call large lesions benign."""
    return 0.55 - 0.1 * lesions["y_true"].to_numpy()


def test_an_untrained_network_is_named(make_run: Any) -> None:
    results = evaluate(make_run(scores={"dgccl": 2.0, "late_fusion": upside_down}))
    said = [warning for warning in results.warnings if UNTAUGHT in warning]
    assert len(said) == 1
    assert said[0].startswith("late_fusion, fold 0, 1, 2, 3:")


def test_one_fold_is_named_alone(make_run: Any) -> None:
    good = lambda lesions: 0.1 + 0.8 * lesions["y_true"].to_numpy()  # noqa: E731
    # The fixture validates fold 2 on the lesions that fold 1 tests.
    mixed = lambda lesions, pattern: np.where(lesions["fold"] == 1, 0.5, good(lesions))  # noqa: E731
    said = [
        warning for warning in evaluate(make_run(scores={"dgccl": mixed})).warnings if UNTAUGHT in warning
    ]
    assert [warning.split(":")[0] for warning in said] == ["dgccl, fold 2"]


@pytest.mark.parametrize(("sure", "named"), [(0.8, False), (1 / 3, True), (0.1, True)])
def test_more_than_two_classes(make_run: Any, sure: float, named: bool) -> None:
    def three(lesions: pd.DataFrame) -> None:
        lesions["y_true"] = np.arange(len(lesions)) % 3

    def score(lesions: pd.DataFrame, pattern: str) -> np.ndarray:
        truth = np.eye(3)[lesions["y_true"].to_numpy()]
        return truth * sure + (1 - truth) * (1 - sure) / 2

    # 96 lesions: every fold of 24 holds 8 of each class, so that a third is what the shares would say.
    run = make_run(edit=three, scores={"dgccl": score}, class_names=("a", "b", "c"), malignant=48, benign=48)
    assert any(UNTAUGHT in warning for warning in evaluate(run).warnings) is named


def test_a_start_that_saw_test_lesions_is_named(make_run: Any) -> None:
    run = make_run()
    assert not any("Transductive" in warning for warning in evaluate(run).warnings)
    record = json.loads((run / "run.json").read_text(encoding="utf-8"))
    told = "Transductive: 3 of the 80 lesions that will be tested were learned from."
    (run / "run.json").write_text(json.dumps(record | {"start": {"warning": told}}), encoding="utf-8")
    assert told in evaluate(run).warnings
    (run / "run.json").write_text(json.dumps(record | {"start": {"warning": None}}), encoding="utf-8")
    assert told not in evaluate(run).warnings
