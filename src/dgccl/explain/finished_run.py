"""A finished run opened for explanation: which network never saw a lesion, and what it was trained on."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Int64

from dgccl.cohort import Cohort, open_cohort
from dgccl.dataset import LesionImages
from dgccl.errors import CohortError, TrainingError
from dgccl.explain.worth import prior_log_odds
from dgccl.predict import Predictor
from dgccl.run_dir import is_finished, read_run
from dgccl.table_cohort import is_table, open_table_cohort

FOLD_COLUMNS = ("lesion_id", "fold", "split")


@dataclass(frozen=True, eq=False)
class FinishedRun:
    """A run whose folds are all trained, with its cohort.

    Attributes:
        run_dir: folder of the run.
        facts: content of `run.json`.
        cohort: the very cohort it was trained on.
        folds: `folds.csv`: lesion_id, fold, split.
    """

    run_dir: Path
    facts: dict[str, Any]
    cohort: Cohort
    folds: pd.DataFrame

    @property
    def name(self) -> str:
        """Name of the run's folder."""
        return self.run_dir.resolve().name

    def test_fold(self, lesion_id: str) -> int:
        """The fold whose networks were neither trained on a lesion nor chosen by it.

        Raises:
            CohortError: `unknown_lesion`, the run tests no such lesion.
        """
        table = self.folds
        chosen = table.loc[(table["lesion_id"] == lesion_id) & (table["split"] == "test"), "fold"]
        if chosen.empty:
            known = table["lesion_id"].unique()
            raise CohortError(
                "unknown_lesion",
                f"The run {self.name} has no test lesion {lesion_id!r}; it tests {len(known)} lesions, such as "
                f"{', '.join(map(str, known[:3]))}.",
                remedy="Name one of the lesions in the run's folds.csv.",
            )
        return int(chosen.iloc[0])

    def rows(self, fold: int, split: str) -> Int64[np.ndarray, "lesion"]:
        """Rows of the cohort's lesion table in a split of a fold."""
        table = self.folds
        ids = table.loc[(table["fold"] == fold) & (table["split"] == split), "lesion_id"]
        return np.flatnonzero(self.cohort.lesions["lesion_id"].isin(ids).to_numpy()).astype(np.int64)

    def images(self, predictor: Predictor, rows: Int64[np.ndarray, "lesion"]) -> LesionImages:
        """Some lesions in memory, as the networks read them; row i of the result is row rows[i] of the cohort.

        Raises:
            CohortError: an array is absent or changed, or a quantity cannot be given.
        """
        lesions = self.cohort.lesions.iloc[rows]
        return predictor.read((self.cohort.arrays(name) for name in lesions["lesion_id"]), lesions)

    def prior(self, fold: int, *, classes: int, explained_class: int) -> float:
        """Log odds of a class among a fold's training lesions; see `worth.prior_log_odds`.

        Raises:
            ConfigError: `unknown_class`.
        """
        labels = self.cohort.lesions["label"].to_numpy(np.int64)[self.rows(fold, "train")]
        return prior_log_odds(labels, classes=classes, explained_class=explained_class)


def open_finished(run_dir: Path, *, cohort_dir: Path | None = None) -> FinishedRun:
    """Open a finished run and the cohort that it was trained on.

    Args:
        run_dir: folder that `dgccl train` finished.
        cohort_dir: where the cohort (a folder or a CSV file) lies, if it has moved since training.

    Raises:
        TrainingError: `not_a_run`, `run_unfinished`, `run_file_damaged`, `cohort_changed`.
        CohortError: the folder is no cohort.
    """
    facts = read_run(run_dir)
    if not is_finished(run_dir):
        raise TrainingError(
            "run_unfinished",
            f"The run {run_dir} is not finished: some folds are still to be trained.",
            remedy="Call `dgccl train` with the same arguments again; it goes on where it stopped.",
        )
    path = Path(facts["cohort_dir"]) if cohort_dir is None else cohort_dir
    try:
        cohort = (
            open_table_cohort(path, data_kind=facts["data_kind"]) if is_table(path) else open_cohort(path)
        )
    except CohortError as error:
        if cohort_dir is not None:
            raise
        remedy = "The path in run.json is as `train` was given it. If the cohort has moved, name it with --cohort-dir."
        raise CohortError(error.code, error.message, remedy=remedy) from error
    if cohort.sha256 != facts["cohort_sha256"]:
        raise TrainingError(
            "cohort_changed",
            f"{path} is not the cohort that {run_dir} was trained on: its lesion table differs.",
            remedy="Name the right folder with --cohort-dir, or train again.",
        )
    return FinishedRun(run_dir, facts, cohort, _read_folds(run_dir / "folds.csv"))


def _read_folds(path: Path) -> pd.DataFrame:
    try:
        table = pd.read_csv(path, dtype={"lesion_id": "str", "split": "str"}, keep_default_na=False)
        lacking = [name for name in FOLD_COLUMNS if name not in table.columns]
        if lacking:
            raise ValueError(f"it lacks the columns {', '.join(lacking)}")
        return table.astype({"fold": "int64"})
    except (OSError, ValueError) as error:
        raise TrainingError(
            "run_file_damaged", f"{path} cannot be used: {error}.", remedy="Train into a new folder."
        ) from error
