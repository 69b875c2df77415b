"""Would the missing image change the answer? What acquiring it is expected to do, and how far that came true."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float64
from scipy.special import expit, logit

from dgccl import stats
from dgccl.errors import StatsError
from dgccl.evaluation.areas import CONFIDENCE, UNDEFINED_ON_DATA, figure_of
from dgccl.evaluation.figure import Figure
from dgccl.evaluation.recalibrated import recalibrate
from dgccl.evaluation.run_tables import RunTables
from dgccl.evaluation.trust_results import Acquisition, ActingAt

THRESHOLDS = (0.1, 0.2, 0.3, 0.5)
"""Probabilities at which one might act."""
FEWEST = 10
"""A fold with fewer complete validation lesions than this says too little of what an image would add."""
INTERVAL = 0.8
"""Share of lesions whose probability with everything is to lie within its predicted interval."""


@dataclass(frozen=True, eq=False)
class Outlook:
    """What the probability of class 1 may become once a missing modality is there.

    Attributes:
        intercept: of the line from log odds without it to log odds with it.
        slope: of that line.
        residuals: what validation lesions were off the line, log odds, (k,).
    """

    intercept: float
    slope: float
    residuals: Float64[np.ndarray, "k"]

    def probabilities(self, now: Float64[np.ndarray, "n"]) -> Float64[np.ndarray, "n k"]:
        """What each probability may become, every outcome being equally likely.

        Args:
            now: probability without the modality, inside (0, 1), (n,).
        """
        line = self.intercept + self.slope * logit(now)
        return np.asarray(expit(line[:, None] + self.residuals))


def fit_outlook(without: Float64[np.ndarray, "n"], complete: Float64[np.ndarray, "n"]) -> Outlook:
    """The line from log odds without a modality to log odds with it, by least squares, and the spread around it.

    Args:
        without: probabilities without the modality of validation lesions that have it, inside (0, 1), (n,).
        complete: their probabilities with everything, (n,).
    """
    x, y = logit(without), logit(complete)
    spread = float(((x - x.mean()) ** 2).sum())
    slope = float(((x - x.mean()) * (y - y.mean())).sum() / spread) if spread > 0.0 else 0.0
    intercept = float(y.mean() - slope * x.mean())
    return Outlook(intercept, slope, y - intercept - slope * x)


def benefit_of_acting(
    probability: Float64[np.ndarray, "*shape"], threshold: float
) -> Float64[np.ndarray, "*shape"]:
    """Expected net benefit of acting where the probability is at least the threshold, and of not acting elsewhere."""
    odds = threshold / (1.0 - threshold)
    return np.maximum(probability - (1.0 - probability) * odds, 0.0)


def acquisitions(
    tables: RunTables, model: str, warnings: list[str]
) -> tuple[list[Acquisition], pd.DataFrame]:
    """For every pattern that lacks one modality: what that one is expected to change, and what it did change.

    The expectation is fitted in each fold on its validation lesions that have everything, from the model's own
    answers without and with the modality, recalibrated. It is held against the fold's test lesions that have
    everything. One threshold is where a false alarm weighs threshold / (1 - threshold) of a missed case; the
    benefit of acquiring is that of deciding afterwards less that of deciding now (the value of information).

    Args:
        tables: the run, of two classes.
        model: name of the model.
        warnings: gets the folds that say too little.

    Returns:
        The figures, and one row a test lesion, with every modality or not, of what it would be worth there.

    Source: expected value of sample information, Raiffa and Schlaifer, Applied Statistical Decision Theory (1961).
    """
    found, rows = [], []
    for pattern in tables.withheld_patterns(model):
        missing = [name for name in tables.modalities if name not in pattern.split("+")]
        if len(missing) != 1 or len(tables.class_names) > 2:
            continue
        lesions = expected(tables, model, pattern, missing[0], warnings)
        if lesions.empty:
            continue
        rows.append(lesions)
        known = lesions.loc[lesions["p_complete"].notna()]
        if len(known):
            found.append(_measured(known, pattern, missing[0], warnings))
    return found, pd.concat(rows, ignore_index=True) if rows else pd.DataFrame()


def expected(tables: RunTables, model: str, pattern: str, missing: str, warnings: list[str]) -> pd.DataFrame:
    """One row a test lesion that can be judged without the modality: what it is expected to become."""
    known = both_ways(tables, model, pattern, split="validation")
    tested = both_ways(tables, model, pattern, split="test", keep_incomplete=True)
    parts, few = [], []
    for fold in range(tables.folds):
        own = known.loc[known["fold"] == fold]
        if len(own) < FEWEST:
            few.append(str(fold))
            continue
        outlook = fit_outlook(own["p_now"].to_numpy(), own["p_complete"].to_numpy())
        part = tested.loc[tested["fold"] == fold].reset_index(drop=True)
        if part.empty:
            continue
        now, later = part["p_now"].to_numpy(), outlook.probabilities(part["p_now"].to_numpy())
        part["n_validation"] = len(own)
        part["p_expected"] = later.mean(axis=1)
        part["p_median"] = np.median(later, axis=1)
        part["expected_change"] = np.abs(later - now[:, None]).mean(axis=1)
        tail = 100.0 * (1.0 - INTERVAL) / 2.0
        part["p_low"], part["p_high"] = np.percentile(later, [tail, 100.0 - tail], axis=1)
        for limit in THRESHOLDS:
            part[f"changes_at_{limit:g}"] = ((later >= limit) != (now >= limit)[:, None]).mean(axis=1)
            gain = benefit_of_acting(later, limit).mean(axis=1) - benefit_of_acting(later.mean(axis=1), limit)
            part[f"benefit_at_{limit:g}"] = gain
        parts.append(part)
    if few:
        warnings.append(
            f"{model}: fold {', '.join(few)} has fewer than {FEWEST} complete validation lesions, too few to say what "
            f"{missing} would add to {pattern}."
        )
    table = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()
    if len(table):
        table.insert(0, "missing", missing)
        table.insert(0, "shown", pattern)
        table.insert(0, "model", model)
    return table


def both_ways(
    tables: RunTables, model: str, pattern: str, *, split: str, keep_incomplete: bool = False
) -> pd.DataFrame:
    """Lesions with their recalibrated probability without a modality, and with everything where they have it."""
    parts = {}
    for column, shown in (("p_now", pattern), ("p_complete", tables.full_pattern)):
        found = recalibrate(tables, model, shown, split=split, warnings=[])
        rows = found.rows[["lesion_id", "patient_id", "fold", "y_true", "modalities_shown"]]
        parts[column] = rows.assign(**{column: found.calibrated[:, 1]})
    complete = parts["p_complete"].query("modalities_shown == @tables.full_pattern")
    keys = ["lesion_id", "fold"]
    return (
        parts["p_now"]
        .drop(columns="modalities_shown")
        .merge(complete[[*keys, "p_complete"]], on=keys, how="left" if keep_incomplete else "inner")
    )


def _measured(known: pd.DataFrame, pattern: str, missing: str, warnings: list[str]) -> Acquisition:
    """What was expected of the lesions that have everything, and what came true."""
    now, complete = known["p_now"].to_numpy(), known["p_complete"].to_numpy()
    y_true, patient = known["y_true"].to_numpy(), known["patient_id"].to_numpy().astype(str)
    within = int(((complete >= known["p_low"]) & (complete <= known["p_high"])).sum())
    acting = []
    for limit in THRESHOLDS:
        changed = int(((complete >= limit) != (now >= limit)).sum())
        acting.append(
            ActingAt(
                limit,
                float(known[f"changes_at_{limit:g}"].mean()),
                figure_of(stats.wilson_interval(changed, len(known), confidence=CONFIDENCE)),
                float(known[f"benefit_at_{limit:g}"].mean()),
                _gain(y_true, complete, now, patient, limit, f"{missing} added to {pattern}", warnings),
            )
        )
    return Acquisition(
        missing=missing,
        shown=pattern,
        n=len(known),
        expected_change=float(known["expected_change"].mean()),
        observed_change=float(np.abs(complete - now).mean()),
        interval=INTERVAL,
        within_interval=figure_of(stats.wilson_interval(within, len(known), confidence=CONFIDENCE)),
        acting=acting,
    )


def _gain(
    y_true: np.ndarray,
    complete: np.ndarray,
    now: np.ndarray,
    patient: np.ndarray,
    limit: float,
    what: str,
    warnings: list[str],
) -> Figure:
    try:
        test = stats.net_benefit_difference(
            y_true, complete, now, threshold=limit, confidence=CONFIDENCE, patient=patient
        )
    except StatsError as error:
        if error.code not in UNDEFINED_ON_DATA:
            raise
        warnings.append(f"The benefit of {what} is not fully defined: {error.message}")
        return Figure(None, None, None, "not_defined", len(y_true))
    return Figure(test.difference, test.ci_low, test.ci_high, test.method, test.n)
