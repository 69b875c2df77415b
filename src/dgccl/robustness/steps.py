"""The figures of one step of a dial, and the bootstrap behind its tolerance."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float64

from dgccl.evaluation import areas
from dgccl.evaluation.figure import Figure
from dgccl.evaluation.recalibrated import probabilities, tempered
from dgccl.evaluation.trust import calibration_figures
from dgccl.robustness.results import Step


def step_of(
    amount: float,
    draws: Sequence[pd.DataFrame],
    base: pd.DataFrame,
    *,
    what: str,
    columns: list[str],
    modalities: Sequence[str],
    temperatures: Sequence[float | None],
    limits: Sequence[float | None],
    warnings: list[str],
) -> Step:
    """Every figure at one amount.

    Args:
        amount: of the dial.
        draws: predictions at this amount; several where chance decides which lesions are changed.
        base: predictions with nothing changed, in the same order.
        what: model and dial, for warnings.
        columns: of the scores.
        modalities: of the run.
        temperatures: of the folds, fitted on validation lesions.
        limits: thresholds of the folds, chosen on validation lesions; empty with more than two classes.
        warnings: gets what is not defined, and why.
    """
    areas_found = [areas.auroc(rows, columns, what, warnings) for rows in draws]
    changes = [_change(rows, base, columns, what, warnings) for rows in draws]
    trust = [
        calibration_figures(rows, _calibrated(rows, columns, temperatures), what, warnings) for rows in draws
    ]
    return Step(
        amount=amount,
        auroc=_mean(areas_found),
        change=_mean(changes),
        slope=_mean([found.slope for found in trust]),
        in_the_large=_mean([found.in_the_large for found in trust]),
        brier=_mean([found.brier for found in trust]),
        gate_weights=_gate_weights(draws, modalities),
        calls_changed=_calls_changed(draws, base, columns, limits),
    )


def _change(
    rows: pd.DataFrame, base: pd.DataFrame, columns: list[str], what: str, warnings: list[str]
) -> Figure:
    if all((rows[name].to_numpy() == base[name].to_numpy()).all() for name in columns):
        return Figure(0.0, 0.0, 0.0, "unchanged", len(rows))  # whichever lesions had been drawn
    both = base.assign(**{f"{name}_shown": rows[name].to_numpy() for name in columns})
    lost = areas.drop(both, columns, what, warnings)

    def negative(value: float | None) -> float | None:
        return None if value is None else 0.0 - value  # no minus zero

    ends = negative(lost.ci_high), negative(lost.ci_low)
    return Figure(negative(lost.estimate), *ends, lost.method, lost.n)


def _calibrated(
    rows: pd.DataFrame, columns: list[str], temperatures: Sequence[float | None]
) -> Float64[np.ndarray, "n classes"]:
    matrix = probabilities(rows, columns)
    for fold, temperature in enumerate(temperatures):
        chosen = (rows["fold"] == fold).to_numpy()
        if temperature is not None and chosen.any():
            matrix[chosen] = tempered(matrix[chosen], temperature)
    return matrix


def _mean(found: Sequence[Figure]) -> Figure:
    """Mean over the draws; the mean of their intervals, since draws of the same lesions lean on each other."""
    if len(found) == 1 or any(figure.estimate is None for figure in found):
        return next((figure for figure in found if figure.estimate is None), found[0])

    def mean(values: list[float | None]) -> float | None:
        known = [value for value in values if value is not None]
        return float(np.mean(known)) if len(known) == len(values) else None

    return Figure(
        mean([figure.estimate for figure in found]),
        mean([figure.ci_low for figure in found]),
        mean([figure.ci_high for figure in found]),
        f"mean_of_{len(found)}_draws_{found[0].method}",
        found[0].n,
    )


def _gate_weights(draws: Sequence[pd.DataFrame], modalities: Sequence[str]) -> dict[str, float]:
    """Median weight of every modality where it is shown; nothing for a model without a gate."""
    found = {}
    for name in modalities:
        weights = [rows[f"gate_{name}"].dropna() for rows in draws if f"gate_{name}" in rows]
        medians = [float(values.median()) for values in weights if len(values)]
        if medians:
            found[name] = float(np.mean(medians))
    return found


def _calls_changed(
    draws: Sequence[pd.DataFrame], base: pd.DataFrame, columns: list[str], limits: Sequence[float | None]
) -> float | None:
    if len(columns) > 1:
        return None
    limit = base["fold"].map(dict(enumerate(limits))).to_numpy(np.float64, na_value=np.nan)
    known = ~np.isnan(limit)
    if not known.any():
        return None
    before = base[columns[0]].to_numpy()[known] >= limit[known]
    return float(np.mean([(rows[columns[0]].to_numpy()[known] >= limit[known]) != before for rows in draws]))


def bootstrap_weights(
    base: pd.DataFrame, *, replicates: int, seed: int
) -> Float64[np.ndarray, "replicate n"]:
    """How often each row counts in each sample of the patients, (replicate, n); the same for every amount."""
    patients, place = np.unique(base["patient_id"].to_numpy().astype(str), return_inverse=True)
    rng = np.random.default_rng(seed)
    counts = rng.multinomial(len(patients), np.full(len(patients), 1.0 / len(patients)), size=replicates)
    return counts[:, place].astype(np.float64)


def weighted_auroc(
    rows: pd.DataFrame, columns: list[str], weights: Float64[np.ndarray, "replicate n"]
) -> Float64[np.ndarray, "replicate"]:
    """AUROC within folds of weighted rows; the mean over the classes of several columns. NaN without a pair.

    As `stats.auroc_delong` with folds as strata: of all pairs of one fold and two classes, the share ranked rightly.
    """
    y_true, fold = rows["y_true"].to_numpy(), rows["fold"].to_numpy()
    areas_of_classes = []
    for index, column in enumerate(columns):
        positive = y_true == (index if len(columns) > 1 else 1)
        score = rows[column].to_numpy(np.float64)
        right = pairs = np.zeros(len(weights))
        for one in np.unique(fold):
            up, down = np.flatnonzero((fold == one) & positive), np.flatnonzero((fold == one) & ~positive)
            ranked = (score[up][:, None] > score[down]) + 0.5 * (score[up][:, None] == score[down])
            right = right + ((weights[:, up] @ ranked) * weights[:, down]).sum(axis=1)
            pairs = pairs + weights[:, up].sum(axis=1) * weights[:, down].sum(axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            areas_of_classes.append(right / pairs)
    return np.asarray(np.mean(areas_of_classes, axis=0))
