"""Everything that can be said of several scores of the same cases: areas, comparisons, sites, calls, calibration."""

import itertools
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from scipy.stats import rankdata

from dgccl import __version__, stats
from dgccl.errors import StatsError
from dgccl.evaluation.scores.calls import compare_calls
from dgccl.evaluation.scores.probabilities import probability_facts
from dgccl.evaluation.scores.results import PairTest, ScoreComparison, SiteRow
from dgccl.evaluation.scores.table import ScoreTable
from dgccl.stats import auprc_interval, benjamini_hochberg

FEW = 10
"""With fewer cases of a class than this, an interval is wide and its coverage a matter of luck."""
DRAWN_POINTS = 801
"""More points of a curve than this cannot be seen, and would make files of many megabytes."""


def compare_scores(
    table: ScoreTable,
    *,
    command: str,
    confidence: float = 0.95,
    thresholds: Mapping[str, float] | None = None,
    prevalence: float | None = None,
) -> ScoreComparison:
    """Compare several scores of the same cases.

    Areas and tests go by cluster where the table has clusters: several lesions of a patient are not several
    patients. Figures *within sites* compare cases of one site only, so that a score cannot gain by telling sites apart.

    Args:
        table: labels and scores.
        command: what was called, to stand beside the figures.
        confidence: nominal coverage of the intervals.
        thresholds: by score, for calls of class 1 at score >= threshold; scores without one make no calls.
        prevalence: share of class 1 where the scores are to be used, for predictive values and decision curves; by
            default that of the cases.

    Raises:
        StatsError: `one_class`, `too_few_cases`, `confidence_out_of_range`, `prevalence_out_of_range`.
    """
    if prevalence is not None and not 0.0 < prevalence < 1.0:
        raise StatsError(
            "prevalence_out_of_range",
            f"The prevalence must lie between 0 and 1, found {prevalence:g}.",
            remedy="Give the share of class 1 as 0.1, not as 10, or leave it out.",
        )
    warnings: list[str] = []
    patient = None if table.cluster is None else table.cluster[1]
    site = None if table.site is None else table.site[1]
    y_true, scores = table.y_true, table.scores

    def areas(method: Literal["delong", "logit"], stratum: np.ndarray | None) -> dict[str, stats.Estimate]:
        return {
            name: stats.auroc_delong(
                y_true, score, confidence=confidence, patient=patient, stratum=stratum, method=method
            )
            for name, score in scores.items()
        }

    auroc = areas("delong", None)
    delong = _pairs(table, patient, None, confidence, warnings)
    within, within_tests, by_site = {}, [], []
    if site is not None:
        by_site = _by_site(table, site, patient, confidence)
        try:
            within = areas("delong", site)
            within_tests = _pairs(table, patient, site, confidence, warnings)
        except StatsError as error:
            if error.code not in ("one_class", "too_few_cases"):
                raise
            warnings.append(f"Nothing can be compared within sites: {error.message}")
    calls = None
    if thresholds:
        calls = compare_calls(table, thresholds, prevalence=prevalence, confidence=confidence)
    likely = [name for name, score in scores.items() if _is_probability(score)]
    probabilities = None
    if likely:
        probabilities = probability_facts(
            table, likely, warnings, prevalence=prevalence, confidence=confidence
        )
    if prevalence is not None and not calls and not probabilities:
        warnings.append(
            f"The prevalence of {prevalence:g} has no effect here: only predictive values, which need a threshold, and "
            "decision curves, which need probabilities, depend on it."
        )
    return ScoreComparison(
        _meta(table, command, confidence, prevalence),
        [*_cautions(table, auroc), *dict.fromkeys(warnings)],
        auroc,
        areas("logit", None),
        {name: auprc_interval(y_true, score, confidence=confidence) for name, score in scores.items()},
        delong,
        within,
        within_tests,
        by_site,
        calls,
        probabilities,
        {name: _curve(y_true, score) for name, score in scores.items()},
    )


def _is_probability(score: np.ndarray) -> bool:
    """Whether a score lies in [0, 1] and is more than a call."""
    return bool(score.min() >= 0.0 and score.max() <= 1.0 and len(np.unique(score)) > 2)


def _meta(table: ScoreTable, command: str, confidence: float, prevalence: float | None) -> dict[str, Any]:
    return {
        "table": table.file,
        "sha256": table.sha256,
        "label": table.label,
        "positive": table.positive,
        "scores": list(table.scores),
        "n": len(table.y_true),
        "n_positive": int(table.y_true.sum()),
        "n_negative": int((table.y_true == 0).sum()),
        "cluster": None if table.cluster is None else table.cluster[0],
        "n_clusters": None if table.cluster is None else len(np.unique(table.cluster[1])),
        "site": None if table.site is None else table.site[0],
        "n_sites": None if table.site is None else len(np.unique(table.site[1])),
        "dropped": table.dropped,
        "confidence": confidence,
        "prevalence": prevalence,
        "command": command,
        "dgccl_version": __version__,
    }


def _cautions(table: ScoreTable, auroc: dict[str, stats.Estimate]) -> list[str]:
    """What the reader must know before the figures."""
    said = []
    if table.dropped:
        total = table.dropped + len(table.y_true)
        said.append(f"{table.dropped} of {total} cases lack the label or a score and were left out.")
    for name, value in (("1", 1), ("0", 0)):
        chosen = table.y_true == value
        if chosen.sum() < FEW:
            said.append(
                f"Only {chosen.sum()} cases are of class {name}: every interval here is a rough guess."
            )
        elif table.cluster is not None and len(np.unique(table.cluster[1][chosen])) < FEW:
            clusters = len(np.unique(table.cluster[1][chosen]))
            said.append(
                f"Cases of class {name} come from only {clusters} clusters: every interval here is a rough guess."
            )
    if table.cluster is not None and len(np.unique(table.cluster[1])) < len(table.y_true):
        said.append(
            "Areas under the ROC curve, their tests, Brier score, slope, smooth curve and net benefit go by cluster. "
            "AUPRC, everything that counts calls, the calibration by tenths and its expected error take cases as "
            "independent: their intervals are too narrow and their p values too small."
        )
    for name, area in auroc.items():
        said += _cautions_of(name, table.scores[name], area)
    return said


def _cautions_of(name: str, score: np.ndarray, area: stats.Estimate) -> list[str]:
    """What must be known of one score."""
    said = []
    if area.ci_high < 0.5:
        said.append(
            f"{name} ranks the classes the wrong way round (AUC {area.estimate:.3f}): is its sign turned?"
        )
    values = len(np.unique(score))
    if values == 1:
        said.append(
            f"{name} is the same in every case and says nothing; a test against it is one against an AUC of 0.5."
        )
    elif area.method == "newcombe_score":
        said.append(f"{name} has no DeLong variance (AUC {area.estimate:.3f}); its interval is Newcombe's.")
    infinite = int(np.isinf(score).sum())
    if infinite:
        said.append(f"{name} is infinite in {infinite} cases: it has a rank there, and no calibration.")
    elif values <= 2 and score.min() >= 0.0 and score.max() <= 1.0:
        said.append(
            f"{name} takes {values} values only and counts as calls, not as probabilities: no calibration."
        )
    return said


def _pairs(
    table: ScoreTable,
    patient: np.ndarray | None,
    site: np.ndarray | None,
    confidence: float,
    warnings: list[str],
) -> list[PairTest]:
    """Every pair of scores, with Holm's correction over those that have a test."""
    found = {}
    for a, b in itertools.combinations(table.scores, 2):
        try:
            found[a, b] = stats.delong_paired(
                table.y_true,
                table.scores[a],
                table.scores[b],
                confidence=confidence,
                patient=patient,
                stratum=site,
            )
        except StatsError as error:
            if error.code != "no_variance":
                raise
            alike = _rank_alike(table.scores[a], table.scores[b])
            warnings.append(
                f"{a} and {b} put these cases in one and the same order, without an error or without a ranking: no "
                "test is defined."
                if alike
                else f"{a} against {b}: {error.message}"
            )
            continue
    p = np.array([test.p for test in found.values()], dtype=np.float64)
    corrected = zip(stats.holm(p), benjamini_hochberg(p), strict=True)
    return [
        PairTest(
            a,
            b,
            test.difference,
            test.ci_low,
            test.ci_high,
            test.z,
            test.p,
            float(p_holm),
            float(p_bh),
            test.method,
            test.n,
        )
        for ((a, b), test), (p_holm, p_bh) in zip(found.items(), corrected, strict=True)
    ]


def _rank_alike(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two scores put all cases in one and the same order, ties included."""
    return bool((rankdata(a) == rankdata(b)).all())


def _by_site(
    table: ScoreTable, site: np.ndarray, patient: np.ndarray | None, confidence: float
) -> list[SiteRow]:
    """One row a site; where a class is lacking or comes from one patient only there is no area."""
    rows = []
    for name in np.unique(site):
        chosen = site == name
        labels = table.y_true[chosen]
        ids = np.arange(len(labels)) if patient is None else patient[chosen]
        sound = min(len(np.unique(ids[labels == c])) for c in (0, 1)) >= 2
        areas = {
            score: stats.auroc_delong(
                labels, values[chosen], confidence=confidence, patient=ids, method="logit"
            )
            if sound
            else None
            for score, values in table.scores.items()
        }
        rows.append(SiteRow(str(name), len(labels), int(labels.sum()), areas))
    return rows


def _curve(y_true: np.ndarray, score: np.ndarray) -> dict[str, list[float]]:
    """The curve's corners; of very many, those next to evenly spaced places along it."""
    curve = stats.roc_curve(y_true, score, corners_only=True)
    fpr, tpr = curve.fpr, curve.tpr
    if len(fpr) > DRAWN_POINTS:
        places = np.linspace(0.0, 2.0, DRAWN_POINTS)
        chosen = np.unique(np.searchsorted(fpr + tpr, places).clip(max=len(fpr) - 1))
        fpr, tpr = fpr[chosen], tpr[chosen]
    return {"fpr": fpr.tolist(), "tpr": tpr.tolist()}
