"""Bootstrap interval of the area under a part of the ROC curve."""

from functools import partial

import numpy as np

from dgccl.stats._inputs import Values, check_both_classes, check_scores
from dgccl.stats.bootstrap import BootstrapEstimate, BootstrapMethod, bootstrap_interval
from dgccl.stats.partial import partial_auroc


def partial_auroc_bootstrap(
    y_true: Values,
    y_score: Values,
    *,
    seed: int,
    specificity: tuple[float, float] | None = None,
    sensitivity: tuple[float, float] | None = None,
    standardized: bool = False,
    confidence: float = 0.95,
    patient: Values | None = None,
    by_class: bool = False,
    method: BootstrapMethod = "percentile",
    replicates: int = 2000,
) -> BootstrapEstimate:
    """Partial AUROC with its bootstrap interval.

    A standardized area is not defined on a replicate below chance; such replicates are left out and counted, and above
    1 % of them the interval is refused: take the plain area then.

    Args:
        y_true: labels 0 or 1, shape (n,).
        y_score: scores, higher for class 1, shape (n,).
        seed: seed of the draws, 0 or more. The interval does not depend on the order of the cases.
        specificity: lower and upper end of a range of specificity, as in `partial_auroc`.
        sensitivity: lower and upper end of a range of sensitivity; give one range, not both.
        standardized: put the area on McClish's scale.
        confidence: nominal coverage.
        patient: id of each case's patient, shape (n,); patients are drawn, each with all its cases.
        by_class: draw positive and negative cases (or patients) by themselves, each class keeping its number.
        method: `percentile`, or `bca`, which corrects for bias and skewness.
        replicates: number of samples that are drawn.

    Raises:
        StatsError: as `partial_auroc` and `bootstrap_interval`; `no_variance` for a perfect score.

    Source: as `partial_auroc` and `bootstrap_interval`; as `ci.auc(method="bootstrap")` of pROC, which draws within
        classes unless told otherwise.

    Example:
        >>> y, s = np.array([0, 0, 0, 0, 1, 1, 1, 1]), np.array([1, 2, 4, 6, 3, 5, 7, 8])
        >>> found = partial_auroc_bootstrap(y, s, specificity=(0.5, 1.0), by_class=True, seed=1)
        >>> found.estimate, found.ci_low, found.ci_high
        (0.3125, 0.125, 0.5)
    """
    labels = check_both_classes(y_true)
    scores = check_scores(y_score, cases=len(labels))
    statistic = partial(
        partial_auroc, specificity=specificity, sensitivity=sensitivity, standardized=standardized
    )
    return bootstrap_interval(
        statistic,
        [labels.astype(np.int64), scores],
        seed=seed,
        confidence=confidence,
        patient=patient,
        by_class=by_class,
        method=method,
        replicates=replicates,
    )
