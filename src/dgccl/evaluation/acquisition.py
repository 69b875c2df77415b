"""Would the missing image change the answer? What acquiring it is expected to do, and how far that came true."""

import numpy as np
import pandas as pd

from dgccl import stats
from dgccl.errors import StatsError
from dgccl.evaluation.areas import CONFIDENCE, UNDEFINED_ON_DATA, figure_of
from dgccl.evaluation.figure import Figure
from dgccl.evaluation.outlook import Outlook, benefit_of_acting, fit_outlook
from dgccl.evaluation.recalibrated import recalibrate
from dgccl.evaluation.run_tables import RunTables
from dgccl.evaluation.trust_results import Acquisition, ActingAt

THRESHOLDS = (0.1, 0.2, 0.3, 0.5)
"""Probabilities at which one might act."""
FEWEST = 10
"""A fold with complete validation lesions of fewer patients says too little of what an image would add."""
INTERVAL = 0.8
"""Share of lesions whose probability with everything is to lie within its predicted interval; what is proved of it, and
what was measured, stands in `Outlook.interval`."""


def acquisitions(
    tables: RunTables, model: str, warnings: list[str]
) -> tuple[list[Acquisition], pd.DataFrame]:
    """For every pattern that lacks one modality: what that one is expected to change, and what it did change.

    The expectation is fitted in each fold on its validation lesions that have everything, from the model's own
    answers without and with the modality, recalibrated, by a conformal predictive distribution (`Outlook`). It is
    held against the fold's test lesions that have everything. One threshold is where a false alarm weighs
    threshold / (1 - threshold) of a missed case; the benefit of acquiring is that of deciding afterwards less that of
    deciding now (the value of information).

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
        if own["patient_id"].nunique() < FEWEST:
            few.append(str(fold))
            continue
        part = tested.loc[tested["fold"] == fold].reset_index(drop=True)
        if len(part):
            parts.append(_with_outlook(part.assign(n_validation=len(own)), outlook_of(own)))
    if few:
        warnings.append(
            f"{model}: fold {', '.join(few)} has complete validation lesions of fewer than {FEWEST} patients, too few "
            f"to say what {missing} would add to {pattern}."
        )
    table = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()
    if len(table):
        table.insert(0, "missing", missing)
        table.insert(0, "shown", pattern)
        table.insert(0, "model", model)
    return table


def outlook_of(known: pd.DataFrame) -> Outlook:
    """What a fold's complete validation lesions, rows of `both_ways`, let expect."""
    patient = known["patient_id"].to_numpy().astype(str)
    return fit_outlook(known["p_now"].to_numpy(), known["p_complete"].to_numpy(), patient=patient)


def _with_outlook(part: pd.DataFrame, outlook: Outlook) -> pd.DataFrame:
    """Test lesions with what is expected of each."""
    now = part["p_now"].to_numpy()
    later = outlook.probabilities(now)
    mean = outlook.mean(later)
    low, high = outlook.interval(later, share=INTERVAL)
    part = part.assign(
        p_expected=mean,
        p_median=outlook.median(later),
        expected_change=outlook.mean(np.abs(later - now[:, None])),
        p_low=low,
        p_high=high,
    )
    for limit in THRESHOLDS:
        changed = (later >= limit) != (now >= limit)[:, None]
        gain = outlook.mean(benefit_of_acting(later, limit)) - benefit_of_acting(mean, limit)
        part = part.assign(**{f"changes_at_{limit:g}": outlook.mean(changed), f"benefit_at_{limit:g}": gain})
    return part


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
