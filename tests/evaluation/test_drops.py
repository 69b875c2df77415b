"""What missing modalities cost: one family of tests, with Holm's correction over all of it."""

from collections.abc import Callable
from pathlib import Path

import pytest
from statsmodels.stats.multitest import multipletests

from dgccl.evaluation import evaluate, load_results

MakeRun = Callable[..., Path]


def test_all_models_and_patterns_are_one_family(make_run: MakeRun) -> None:
    run = make_run(scores={"dgccl": 2.0, "late_fusion": 1.0, "single_ct": 1.0})
    results = evaluate(run)
    drops = [
        pattern.drop
        for model in results.models.values()
        for pattern in model.patterns.values()
        if pattern.drop.p is not None
    ]
    assert len(drops) >= 4
    corrected = multipletests([drop.p for drop in drops], method="holm")[1]
    assert [drop.p_holm for drop in drops] == pytest.approx(list(corrected))
    assert load_results(run) == results
