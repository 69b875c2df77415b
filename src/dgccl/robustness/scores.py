"""Scores of changed images: every test lesion by its own fold's network, as in cross-validation."""

from collections.abc import Sequence
from dataclasses import dataclass
from zlib import crc32

import numpy as np
import pandas as pd

from dgccl.config import score_columns
from dgccl.errors import TrainingError
from dgccl.evaluation.run_tables import RunTables
from dgccl.explain.finished_run import FinishedRun
from dgccl.lesion import LesionArrays
from dgccl.predict import Predictor
from dgccl.robustness.dials import Dial

LARGEST_DIFFERENCE = 5e-3
"""How far a score may be from that of the run's predictions: half precision and another device round differently."""


@dataclass(frozen=True, eq=False)
class TestedModel:
    """A model with the networks of its folds and the test lesions they judge.

    Attributes:
        name: of the model.
        rows: test predictions of the run, with all that each lesion has shown; the order of every score.
        lesion: row of each prediction's lesion in the cohort.
        predictors: one a fold.
    """

    name: str
    rows: pd.DataFrame
    lesion: np.ndarray
    predictors: Sequence[Predictor]


def open_model(run: FinishedRun, tables: RunTables, name: str, *, device: str) -> TestedModel:
    """Load a model's networks and find the lesions that each of them tests.

    Raises:
        TrainingError: the run has no such model.
    """
    rows = tables.rows(name, split="test", pattern=tables.full_pattern)
    if rows.empty:
        raise TrainingError(
            "unknown_model",
            f"The run {run.name} has no test predictions of {name!r}; it has those of {', '.join(tables.models)}.",
        )
    place = pd.Series(np.arange(len(run.cohort.lesions)), index=run.cohort.lesions["lesion_id"])
    predictors = [
        Predictor.load(run.run_dir, model=name, folds=[fold], device=device) for fold in range(tables.folds)
    ]
    return TestedModel(name, rows, place.loc[rows["lesion_id"]].to_numpy(np.int64), predictors)


def changed_arrays(
    run: FinishedRun, dial: Dial, amount: float, *, seed: int, box_mm: float
) -> list[LesionArrays]:
    """The arrays of every lesion of the cohort with a dial turned.

    Each lesion and dial has a random stream of its own, the same for every amount: the shift of 4 mm lies beyond that
    of 2 mm in one direction, and the order of the lesions does not matter.
    """
    changed = []
    for lesion_id in run.cohort.lesions["lesion_id"]:
        rng = np.random.default_rng([seed, crc32(dial.name.encode()), crc32(str(lesion_id).encode())])
        changed.append(dial.change(run.cohort.arrays(lesion_id), amount, box_mm, rng))
    return changed


def score(model: TestedModel, lesions: pd.DataFrame, arrays: Sequence[LesionArrays]) -> pd.DataFrame:
    """The model's test predictions with other arrays: its rows, scores and gate weights exchanged.

    Args:
        model: with the networks of its folds.
        lesions: lesion table of the cohort.
        arrays: one a row of `lesions`.
    """
    rows = model.rows.copy()
    for fold, predictor in enumerate(model.predictors):
        chosen = (rows["fold"] == fold).to_numpy()
        if not chosen.any():
            continue
        places = model.lesion[chosen]
        found = predictor.predict(predictor.read([arrays[place] for place in places], lesions.iloc[places]))
        probability = found.probability.astype(np.float64)
        columns = score_columns(probability.shape[1])
        rows.loc[chosen, list(columns)] = probability[:, -len(columns) :]
        if found.gate_weights is not None:
            for index, name in enumerate(predictor.config.modality_names):
                weights = found.gate_weights[:, index].astype(np.float64)
                absent = rows.loc[chosen, f"gate_{name}"].isna().to_numpy()
                rows.loc[chosen, f"gate_{name}"] = np.where(absent, np.nan, weights)
    return rows


def check_reproduced(model: TestedModel, found: pd.DataFrame, columns: Sequence[str]) -> None:
    """Refuse a run whose networks do not give the scores that its predictions hold.

    Raises:
        TrainingError: `scores_not_reproduced`.
    """
    names = list(columns)
    off = float(np.abs(found[names].to_numpy(np.float64) - model.rows[names].to_numpy(np.float64)).max())
    if off > LARGEST_DIFFERENCE:
        raise TrainingError(
            "scores_not_reproduced",
            f"With nothing changed, a score of {model.name} differs by {off:.4f} from the run's predictions, expected "
            f"at most {LARGEST_DIFFERENCE}.",
            remedy="Check that the cohort's images and the run's weights are those that it was trained with.",
        )


def withheld(
    rows: pd.DataFrame, without: pd.DataFrame, *, rate: float, seed: int, columns: Sequence[str]
) -> pd.DataFrame:
    """The rows with a share of them scored without a modality.

    Args:
        rows: test predictions with all shown.
        without: those of the same lesions without the modality; lesions that they lack keep their row.
        rate: share of the lesions that could lose it and do, 0 to 1.
        seed: of the order in which lesions lose it; a larger rate takes the same lesions and more.
        columns: of scores and gate weights, to be exchanged.
    """
    names = list(columns)
    table = without.set_index(["lesion_id", "fold"])[names]
    keys = pd.MultiIndex.from_frame(rows[["lesion_id", "fold"]])
    can = np.flatnonzero(keys.isin(table.index))
    order = np.random.default_rng(seed).permutation(can)
    lost = np.sort(order[: round(rate * len(can))])
    mixed = rows.copy()
    mixed.loc[mixed.index[lost], names] = table.loc[keys[lost]].to_numpy()
    return mixed
