"""Probabilities of the test lesions, recalibrated on each fold's validation lesions and on nothing else."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float64

from dgccl.errors import StatsError
from dgccl.evaluation.areas import scores
from dgccl.evaluation.run_tables import RunTables
from dgccl.stats import fit_temperature

SMALLEST_PROBABILITY = 1e-6
"""Probabilities are kept this far from 0 and 1, which have no log odds and which no outcome can bear out."""
UNFIT = ("one_class", "no_cases", "separation", "no_positive_temperature")
"""Codes of validation lesions on which no temperature can be fitted."""


@dataclass(frozen=True, eq=False)
class Recalibrated:
    """Test lesions of one model and pattern.

    Attributes:
        rows: their predictions, in the order of the probabilities.
        raw: probability of every class as the network gave it, (n, C).
        calibrated: the same with each fold's logits divided by that fold's temperature, (n, C); of a published model as
            published.
        temperature_by_fold: one a fold; None where the validation lesions allow none and the probabilities stay as they
            are.
    """

    rows: pd.DataFrame
    raw: Float64[np.ndarray, "n classes"]
    calibrated: Float64[np.ndarray, "n classes"]
    temperature_by_fold: list[float | None]


def recalibrate(
    tables: RunTables, model: str, pattern: str, *, split: str = "test", warnings: list[str]
) -> Recalibrated:
    """Recalibrate one model's probabilities by one temperature a fold, fitted on the fold's validation lesions.

    Args:
        tables: the run.
        model: name of the model.
        pattern: modalities shown, in validation as in test.
        split: which lesions to give back.
        warnings: gets the folds without a temperature.

    Source: Guo, Pleiss, Sun and Weinberger, ICML (2017) 1321-1330.
    """
    rows = tables.rows(model, split=split, pattern=pattern)
    validation = tables.rows(model, split="validation", pattern=pattern)
    raw = probabilities(rows, tables.score_columns)
    if model in tables.comparators:  # nobody who uses a published model fits it to his own patients first
        return Recalibrated(rows, raw, raw, [None] * tables.folds)
    calibrated, temperatures = raw.copy(), []
    for fold in range(tables.folds):
        own = validation.loc[validation["fold"] == fold]
        temperature = _temperature(own, tables.score_columns)
        temperatures.append(temperature)
        chosen = (rows["fold"] == fold).to_numpy()
        if temperature is not None and chosen.any():
            calibrated[chosen] = tempered(raw[chosen], temperature)
    without = [str(fold) for fold, temperature in enumerate(temperatures) if temperature is None]
    if without:
        shown = "" if pattern == tables.full_pattern else f" with {pattern} only"
        warnings.append(
            f"{model}{shown}: the validation lesions of fold {', '.join(without)} allow no temperature (one class, "
            "told apart without error, or ranked the wrong way round); its probabilities stay as the network gave them."
        )
    return Recalibrated(rows, raw, calibrated, temperatures)


def tempered(
    matrix: Float64[np.ndarray, "n classes"], temperature: float
) -> Float64[np.ndarray, "n classes"]:
    """Probabilities with their logits divided by a temperature, (n, C).

    Args:
        matrix: probabilities away from 0 and 1, (n, C).
        temperature: above 0; 1 changes nothing.
    """
    logits = np.log(matrix) / temperature
    return _inside(np.exp(logits - logits.max(axis=1, keepdims=True)))


def probabilities(rows: pd.DataFrame, columns: list[str]) -> Float64[np.ndarray, "n classes"]:
    """Probability of every class, (n, C), away from 0 and 1."""
    values = scores(rows, columns)
    matrix = np.column_stack([1.0 - values, values]) if values.ndim == 1 else values
    return _inside(matrix)


def _inside(weights: Float64[np.ndarray, "n classes"]) -> Float64[np.ndarray, "n classes"]:
    """Weights as probabilities of sum 1, none of them 0 or 1."""
    clipped = (weights / weights.sum(axis=1, keepdims=True)).clip(SMALLEST_PROBABILITY)
    return np.asarray(clipped / clipped.sum(axis=1, keepdims=True))


def _temperature(validation: pd.DataFrame, columns: list[str]) -> float | None:
    if validation.empty:
        return None
    matrix = probabilities(validation, columns)
    logits = np.log(matrix)
    values = logits[:, 1] - logits[:, 0] if len(columns) == 1 else logits
    try:
        return fit_temperature(validation["y_true"].to_numpy(), values).temperature
    except StatsError as error:
        if error.code not in UNFIT:
            raise
        return None
