"""Two models compared by one figure a fold: the paired t test, and its correction for shared training cases."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64
from scipy.stats import t as student

from dgccl.errors import StatsError
from dgccl.stats._inputs import Values, check_confidence, check_sample, check_scores


@dataclass(frozen=True)
class FoldComparison:
    """Mean difference of two models over folds.

    Attributes:
        difference: mean over the folds of a minus b.
        ci_low: lower end of the interval of the difference.
        ci_high: upper end of the interval of the difference.
        t: difference over its standard error.
        df: folds less one.
        p: two-sided.
        method: `paired_t_over_folds` or `corrected_resampled_t`.
        n: number of folds.
        confidence: nominal coverage of the interval.
    """

    difference: float
    ci_low: float
    ci_high: float
    t: float
    df: float
    p: float
    method: str
    n: int
    confidence: float = 0.95


def paired_t_over_folds(a: Values, b: Values, *, confidence: float = 0.95) -> FoldComparison:
    """Student's paired t test of one figure a fold, as papers often give it.

    It takes folds as independent. Those of a cross-validation share most training cases and those of repeated splits
    test cases too, so it rejects too often, far too often for repeated splits
    (`benchmarks/results/comparison_size.md`); give `corrected_resampled_t` beside it.

    Args:
        a: figure of the first model in each fold, e.g. its AUROC, shape (folds,).
        b: figure of the second model in the same folds, shape (folds,).
        confidence: nominal coverage.

    Raises:
        StatsError: `no_cases`, `too_few_folds`, `lengths_differ`, `scores_nan`, `scores_infinite`; `no_variance` if
            the difference is the same in every fold.

    Source: Student, Biometrika 6 (1908) 1-25.

    Example:
        >>> a, b = np.array([0.907, 0.919, 0.923, 0.915, 0.918]), np.array([0.879, 0.882, 0.891, 0.883, 0.890])
        >>> found = paired_t_over_folds(a, b)
        >>> round(found.t, 2), f"{found.p:.1e}"
        (18.9, '4.6e-05')
    """
    differences = _differences(a, b)
    factor = 1.0 / len(differences)
    return _t_test(differences, factor, method="paired_t_over_folds", confidence=confidence)


def corrected_resampled_t(
    a: Values, b: Values, *, test_fraction: float, confidence: float = 0.95
) -> FoldComparison:
    """Paired t test of one figure a fold, with a variance that allows for training cases shared between folds.

    The variance of the mean is the variance between folds times 1 / folds + n_test / n_train, in the place of
    1 / folds alone. It is made for random splits that may overlap; for k folds it is cautious.

    Args:
        a: figure of the first model in each fold, shape (folds,).
        b: figure of the second model in the same folds, shape (folds,).
        test_fraction: test cases of a fold over its test and training cases (validation cases left out), in (0, 1);
            1 / k for plain k-fold cross-validation.
        confidence: nominal coverage.

    Raises:
        StatsError: as `paired_t_over_folds`; `fraction_out_of_range`.

    Source: Nadeau and Bengio, Mach Learn 52 (2003) 239-281; for k folds: Bouckaert and Frank, PAKDD (2004) 3-12.

    Example:
        >>> a, b = np.array([0.907, 0.919, 0.923, 0.915, 0.918]), np.array([0.879, 0.882, 0.891, 0.883, 0.890])
        >>> found = corrected_resampled_t(a, b, test_fraction=1 / 5)
        >>> round(found.t, 2), f"{found.p:.1e}"
        (12.6, '2.3e-04')
    """
    if not 0.0 < test_fraction < 1.0:
        raise StatsError(
            "fraction_out_of_range",
            f"The share of test cases must lie between 0 and 1, found {test_fraction}.",
            remedy="Use 0.2 for five folds: n_test / (n_train + n_test).",
        )
    differences = _differences(a, b)
    factor = 1.0 / len(differences) + test_fraction / (1.0 - test_fraction)
    return _t_test(differences, factor, method="corrected_resampled_t", confidence=confidence)


def _differences(a: Values, b: Values) -> Float64[np.ndarray, "folds"]:
    first = check_sample(a, name="a")
    second = check_scores(b, cases=len(first), name="b")
    if np.isinf(first).any() or np.isinf(second).any():
        raise StatsError(
            "scores_infinite", "A mean over folds needs finite figures; infinite ones were found."
        )
    if len(first) < 2:
        raise StatsError(
            "too_few_folds", f"A test over folds needs two of them at least, found {len(first)}."
        )
    differences = first - second
    # Figures that differ by a constant leave rounding in their differences, not variance.
    largest = float(max(np.abs(first).max(), np.abs(second).max()))
    if float(np.ptp(differences)) <= 1e-12 * largest:
        raise StatsError(
            "no_variance",
            f"The difference is {float(differences[0]):.4g} in every fold: no test over folds is defined.",
            remedy="Compare the models on the cases instead, with delong_paired.",
        )
    return differences


def _t_test(
    differences: Float64[np.ndarray, "folds"], factor: float, *, method: str, confidence: float
) -> FoldComparison:
    check_confidence(confidence)
    folds = len(differences)
    df, mean = folds - 1.0, float(differences.mean())
    error = float(np.sqrt(factor * differences.var(ddof=1)))
    half, t = float(student.isf((1.0 - confidence) / 2.0, df)) * error, mean / error
    p = float(2.0 * student.sf(abs(t), df))
    return FoldComparison(mean, mean - half, mean + half, t, df, p, method, folds, confidence)
