"""Checks that the tables of a run hold what they must, and that none contradicts another."""

import numpy as np
import pandas as pd

from dgccl.config import SINGLE, score_columns
from dgccl.errors import TrainingError

SUM_TOLERANCE = 1e-3
"""How far the probabilities of a lesion may be from 1 in sum: half precision rounds each by up to 5e-4."""


def damaged(name: str, reason: object) -> TrainingError:
    """The error for a file that is there and cannot be used."""
    return TrainingError(
        "run_file_damaged", f"{name} cannot be used: {reason}.", remedy="Train again into a new folder."
    )


def check_values(predictions: pd.DataFrame, modalities: list[str], *, classes: int) -> None:
    """Scores are probabilities, labels are classes, splits and patterns are known ones."""
    columns = score_columns(classes)
    scores = np.stack([predictions[name].to_numpy(np.float64, na_value=np.nan) for name in columns])
    wrong = int((~((scores >= 0.0) & (scores <= 1.0))).sum())
    if wrong:
        raise damaged("predictions.parquet", f"{wrong} scores are no probabilities (NaN or outside 0 to 1)")
    apart = float(np.abs(scores.sum(axis=0) - 1.0).max()) if classes > 2 else 0.0
    if apart > SUM_TOLERANCE:
        raise damaged(
            "predictions.parquet",
            f"the {classes} probabilities of a lesion differ from 1 by {apart:.3g} in sum",
        )
    if not predictions["y_true"].isin(range(classes)).all():
        raise damaged(
            "predictions.parquet",
            f"y_true holds values other than 0 to {classes - 1}, the configured classes",
        )
    for column, known in (("split", {"validation", "test"}), ("pattern", _patterns(modalities))):
        strange = sorted(set(predictions[column]) - known)
        if strange:
            raise damaged("predictions.parquet", f"{column} {strange[0]!r} is unknown")


def _patterns(modalities: list[str]) -> set[str]:
    choices: list[list[str]] = [[]]
    for name in modalities:
        choices = choices + [[*choice, name] for choice in choices]
    return {"+".join(choice) for choice in choices if choice}


def check_folds(folds: pd.DataFrame, count: int) -> None:
    """Every fold is there, and within a fold no patient stands on two sides."""
    found = sorted(set(folds["fold"]))
    if found != list(range(count)):
        raise damaged("folds.csv", f"it holds folds {found}, and config.json asks for 0 to {count - 1}")
    splits = folds.groupby(["fold", "patient_id"])["split"].nunique()
    shared = int((splits > 1).sum())
    if shared:
        raise TrainingError(
            "patient_in_two_splits",
            f"folds.csv puts {shared} patients into two splits of one fold: test figures would be too good.",
            remedy="Train again with folds that keep each patient's lesions together.",
        )


def judged_modality(model: str, modalities: list[str]) -> str | None:
    """The modality that a model judges by alone; None for a model that reads any."""
    name = model.removeprefix(SINGLE)
    return name if model.startswith(SINGLE) and name in modalities else None


def check_complete(predictions: pd.DataFrame, folds: pd.DataFrame, modalities: list[str]) -> None:
    """Each model scored each test lesion once, in the fold where it was a test lesion, with one truth.

    A model of one modality owes a score only for the lesions of which any model was shown that modality.
    """
    full = "+".join(modalities)
    keys = ["model", "fold", "split", "pattern", "lesion_id"]
    repeated = int(predictions.duplicated(keys).sum())
    if repeated:
        raise inconsistent(f"{repeated} rows repeat a lesion of the same model, fold, split and pattern")
    for column in ("y_true", "patient_id"):
        if (predictions.groupby("lesion_id")[column].nunique() > 1).any():
            raise inconsistent(f"a lesion has two values of {column}")
    expected = {split: set(_pairs(part)) for split, part in folds.groupby("split")}
    if len({lesion for lesion, _ in expected.get("test", set())}) != len(expected.get("test", set())):
        raise inconsistent("folds.csv tests a lesion in two folds")
    complete = predictions.loc[predictions["pattern"] == full]
    for model, rows in complete.groupby("model"):
        alone = judged_modality(str(model), modalities)
        having = None if alone is None else _lesions_with(complete, alone)
        for split in ("validation", "test"):
            found = set(_pairs(rows.loc[rows["split"] == split]))
            wanted = {pair for pair in expected.get(split, set()) if having is None or pair[0] in having}
            if found != wanted:
                raise inconsistent(
                    f"model {model} scored {len(found)} {split} lesions, and folds.csv names "
                    f"{len(wanted)}{f' with {alone}' if alone else ''}; the lesions or their folds differ"
                )
    without = set(predictions["model"]) - set(predictions.loc[predictions["pattern"] == full, "model"])
    if without:
        raise inconsistent(f"model {min(without)} has no rows of pattern {full}")


def _lesions_with(complete: pd.DataFrame, modality: str) -> set[str]:
    """Lesions that have a modality, as any model was shown them; folds.csv does not say it."""
    shown = complete["modalities_shown"].str.split("+")
    return set(complete.loc[[modality in names for names in shown], "lesion_id"])


def _pairs(table: pd.DataFrame) -> list[tuple[str, int]]:
    return list(zip(table["lesion_id"], table["fold"], strict=True))


def inconsistent(reason: str) -> TrainingError:
    """The error for files of a run that contradict one another."""
    return TrainingError(
        "predictions_inconsistent",
        f"The predictions do not fit the run: {reason}.",
        remedy="Train again into a new folder; do not edit a run's tables.",
    )
