"""What `dgccl compare` finds, and its form as JSON."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from dgccl import stats
from dgccl.evaluation.scores.calls import Calls
from dgccl.evaluation.scores.probabilities import Probabilities
from dgccl.stats import AuprcEstimate


@dataclass(frozen=True)
class PairTest:
    """One score against another on the same cases.

    Attributes:
        a: name of the first score.
        b: name of the second.
        difference: AUC of a minus AUC of b.
        ci_low: lower end of the interval of the difference.
        ci_high: upper end.
        z: difference over its standard error.
        p: two-sided.
        p_holm: Holm's correction over all pairs, against any false claim.
        p_bh: Benjamini and Hochberg's over all pairs, against a share of false claims.
        method: which test.
        n: cases behind it.
    """

    a: str
    b: str
    difference: float
    ci_low: float
    ci_high: float
    z: float
    p: float
    p_holm: float
    p_bh: float
    method: str
    n: int


@dataclass(frozen=True)
class SiteRow:
    """One site.

    Attributes:
        site: its name.
        n: its cases.
        n_positive: its cases of class 1.
        auroc: of each score; None where the site leaves it undefined.
    """

    site: str
    n: int
    n_positive: int
    auroc: dict[str, stats.Estimate | None]


@dataclass(frozen=True)
class ScoreComparison:
    """What `dgccl compare` found.

    Attributes:
        meta: the table, its hash, its counts, the settings and the command.
        warnings: what a reader must know before the figures.
        auroc: by score, with DeLong's interval (by cluster where there are clusters), as R's pROC gives it.
        auroc_logit: the same with the interval that is symmetric on the logit scale.
        auprc: by score, average precision.
        delong: every pair.
        auroc_within_site: by score, over the pairs of cases of one site; empty without sites.
        delong_within_site: every pair, within sites.
        by_site: one row a site.
        calls: what a threshold makes of the scores; None without one.
        probabilities: calibration and decision curves; None if no score is a probability.
        roc: points of each curve, at most a few hundred.
    """

    meta: dict[str, Any]
    warnings: list[str]
    auroc: dict[str, stats.Estimate]
    auroc_logit: dict[str, stats.Estimate]
    auprc: dict[str, AuprcEstimate]
    delong: list[PairTest]
    auroc_within_site: dict[str, stats.Estimate]
    delong_within_site: list[PairTest]
    by_site: list[SiteRow]
    calls: Calls | None
    probabilities: Probabilities | None
    roc: dict[str, dict[str, list[float]]]

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values; without the curves, which are for drawing."""
        content = {key: value for key, value in asdict(self).items() if key != "roc"}
        return dict(_plain(content))


def _plain(value: Any) -> Any:
    """Nested values as JSON knows them: arrays as lists, an infinite number as a word."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, float) and np.isinf(value):
        return "infinity" if value > 0 else "-infinity"
    return value
