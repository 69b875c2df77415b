"""An unknown word for an option is an error with its code, and not taken as one of the known ones."""

import ast
import inspect
import pkgutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jaxtyping
import numpy as np
import pytest

from dgccl import stats
from dgccl.errors import StatsError
from dgccl.stats.area_variance import area_variance, difference_variance

Y = np.resize([0, 1, 1, 0, 0], 40)
S = np.round(np.random.default_rng(1).normal(size=40) + Y, 1)
T = np.round(np.random.default_rng(2).normal(size=40) + Y, 1)
P = 1 / (1 + np.exp(-S))
MATRIX = np.column_stack([1 - P, P])
PLAN: dict[str, Any] = {"correlation_positive": 0.5, "correlation_negative": 0.5}
COUNTS: dict[str, Any] = {"positives": 20, "negatives": 30}

CALLS: dict[str, Callable[[Any], object]] = {
    "auroc_bootstrap.method": lambda word: stats.auroc_bootstrap(Y, S, seed=1, method=word),
    "auroc_delong.method": lambda word: stats.auroc_delong(Y, S, method=word),
    "auroc_difference_bootstrap.method": lambda word: stats.auroc_difference_bootstrap(
        Y, S, T, seed=1, method=word
    ),
    "auroc_macro_delong.method": lambda word: stats.auroc_macro_delong(Y, MATRIX, method=word),
    "auroc_power.variance": lambda word: stats.auroc_power(0.8, **COUNTS, variance=word),
    "auroc_precision_sample_size.variance": lambda word: stats.auroc_precision_sample_size(
        0.8, half_width=0.1, variance=word
    ),
    "auroc_sample_size.variance": lambda word: stats.auroc_sample_size(0.8, variance=word),
    "bootstrap_interval.method": lambda word: stats.bootstrap_interval(np.mean, [S], seed=1, method=word),
    "brier_score.method": lambda word: stats.brier_score(Y, P, method=word),
    "calibration_curve.strategy": lambda word: stats.calibration_curve(Y, P, strategy=word),
    "calibration_slope_intercept.variance": lambda word: stats.calibration_slope_intercept(
        Y, P, variance=word
    ),
    "diagnostic_measures.method": lambda word: stats.diagnostic_measures(Y, S, threshold=0.5, method=word),
    "diagnostic_measures_by_class.method": lambda word: stats.diagnostic_measures_by_class(
        Y, MATRIX, method=word
    ),
    "expected_calibration_error.strategy": lambda word: stats.expected_calibration_error(
        Y, P, seed=1, bins=4, strategy=word
    ),
    "measured_coverage.method": lambda word: stats.measured_coverage(Y, MATRIX > 0.4, method=word),
    "measures_of_counts.method": lambda word: stats.measures_of_counts(tp=9, fp=2, fn=3, tn=8, method=word),
    "paired_auroc_power.variance": lambda word: stats.paired_auroc_power(
        0.85, 0.8, **PLAN, **COUNTS, variance=word
    ),
    "paired_auroc_sample_size.variance": lambda word: stats.paired_auroc_sample_size(
        0.85, 0.8, **PLAN, variance=word
    ),
    "sensitivity_specificity_at.method": lambda word: stats.sensitivity_specificity_at(
        Y, S, threshold=0.5, method=word
    ),
    "smooth_calibration.variance": lambda word: stats.smooth_calibration(Y, P, knots=3, variance=word),
    "area_variance.variance": lambda word: area_variance(0.8, 20, 30, variance=word),
    "difference_variance.variance": lambda word: difference_variance(0.8, 0.7, 20, 30, **PLAN, variance=word),
}
KNOWN = {
    "area_variance": "empirical",
    "difference_variance": "empirical",
    "brier_score": "normal",
    "calibration_curve": "uniform",
    "expected_calibration_error": "quantile",
    "calibration_slope_intercept": "model",
    "smooth_calibration": "model",
    "auroc_delong": "logit",
    "auroc_macro_delong": "logit",
}


@pytest.fixture
def unchecked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the check of types while the tests run, which would refuse the word before we can."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("word", ["BCa", "Wilson", "logit_delong", "Obuchowski", "foo", "", None, 1])
def test_unknown_words_are_refused(name: str, word: object) -> None:
    with pytest.raises(StatsError) as caught:
        CALLS[name](word)
    option = name.split(".")[1]
    assert caught.value.code == "option_unknown"
    assert f"`{option}` must be one of" in caught.value.message
    assert repr(word) in caught.value.message


@pytest.mark.parametrize("name", CALLS)
def test_known_words_are_taken(name: str) -> None:
    function, option = name.split(".")
    by_option = {"method": "bca" if "bootstrap" in function else "clopper_pearson", "variance": "empirical"}
    CALLS[name](KNOWN.get(function) or by_option[option])


def test_every_option_of_words_is_among_these_tests() -> None:
    """Options are the arguments whose annotation is a Literal or a name that stands for one."""
    found, aliases = set(), set()
    trees = [
        ast.parse((Path(stats.__path__[0]) / f"{module.name}.py").read_text("utf-8"))
        for module in pkgutil.iter_modules(stats.__path__)
    ]
    for tree in trees:
        for node in tree.body:
            if isinstance(node, ast.Assign) and ast.unparse(node.value).startswith("Literal["):
                aliases |= {ast.unparse(target) for target in node.targets}
    assert "BootstrapMethod" in aliases
    for name in stats.__all__:
        function = getattr(stats, name)
        if inspect.isfunction(function):
            source = ast.parse(inspect.getsource(inspect.unwrap(function)))
            arguments = next(node for node in ast.walk(source) if isinstance(node, ast.FunctionDef)).args
            for argument in [*arguments.args, *arguments.kwonlyargs]:
                kind = ast.unparse(argument.annotation) if argument.annotation else ""
                if kind in aliases or "Literal[" in kind:
                    found.add(f"{name}.{argument.arg}")
    assert found <= set(CALLS) | {"partial_auroc_bootstrap.method"}
    assert len(found) >= 20
