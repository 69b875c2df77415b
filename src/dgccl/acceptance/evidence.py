"""What a run leaves for the gates to judge, each piece opened once, or the reason why it is lacking.

Evaluation refuses a run whose tables contradict each other. The gates must still say which ones it fails, so here a
piece that cannot be had is no error until a gate asks for it; that gate then fails with the reason.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd

from dgccl.cohort import Cohort, open_cohort
from dgccl.errors import CohortError, ConfigError, DgcclError, StatsError, TrainingError
from dgccl.evaluation import areas
from dgccl.evaluation.figure import Figure
from dgccl.evaluation.run_tables import RunTables, read_tables
from dgccl.table_cohort import is_table, open_table_cohort

SPLITS = ("train", "validation", "test")
RUN_FILES = ("run.json", "config.json", "folds.csv", "predictions.parquet")
"""Files that the verdicts rest on; their hashes stand in `acceptance.json`."""

Found = TypeVar("Found")


@dataclass(frozen=True, eq=False)
class Evidence:
    """A finished run with its cohort, as far as they can be had.

    Attributes:
        run_dir: folder of the run.
        facts: content of `run.json`.
        wanted_model: the model to judge; None for the first of the run.
        cohort_or_error: the very cohort that was trained on, or why there is none.
    """

    run_dir: Path
    facts: dict[str, Any]
    wanted_model: str | None
    cohort_or_error: Cohort | DgcclError

    @property
    def cohort(self) -> Cohort:
        """The cohort; raises what keeps it from being had."""
        return _or_raise(self.cohort_or_error)

    @cached_property
    def tables_or_error(self) -> RunTables | DgcclError:
        """The run as evaluation reads it, or why evaluation refuses it."""
        return _attempt(lambda: read_tables(self.run_dir))

    @property
    def tables(self) -> RunTables:
        """The run as evaluation reads it; raises what evaluation raises."""
        return _or_raise(self.tables_or_error)

    @cached_property
    def folds(self) -> pd.DataFrame:
        """`folds.csv` as it stands: lesion_id, patient_id, fold, split.

        Raises:
            TrainingError: `run_file_damaged`.
        """
        try:
            table = pd.read_csv(self.run_dir / "folds.csv", dtype="str", keep_default_na=False)
            table = table[["lesion_id", "patient_id", "fold", "split"]].astype({"fold": "int64"})
            strange = sorted(set(table["split"]) - set(SPLITS))
            if strange or table.empty:
                raise ValueError(f"split {strange[0]!r} is unknown" if strange else "it has no rows")
            return table
        except (OSError, ValueError, KeyError) as error:
            raise _damaged("folds.csv", error) from error

    @cached_property
    def raw_predictions(self) -> pd.DataFrame:
        """`predictions.parquet` as it stands.

        Raises:
            TrainingError: `run_file_damaged`.
        """
        columns = ["lesion_id", "patient_id", "fold", "split", "y_true"]
        try:
            return pd.read_parquet(self.run_dir / "predictions.parquet", columns=columns)
        except (OSError, ValueError, KeyError) as error:  # pyarrow's own errors are ValueErrors and KeyErrors
            raise _damaged("predictions.parquet", error) from error

    @property
    def model(self) -> str:
        """The model that is judged.

        Raises:
            ConfigError: `unknown_model`.
        """
        known = self.tables.models
        if self.wanted_model is not None and self.wanted_model not in known:
            raise ConfigError(
                "unknown_model",
                f"The run has no model {self.wanted_model!r}; it has {', '.join(known)}.",
                remedy="Name one of them in the file of gates.",
            )
        return self.wanted_model or areas.first_model(self.tables)

    @cached_property
    def test_rows(self) -> pd.DataFrame:
        """Predictions of the judged model for its test lesions, shown all that they have."""
        return self.tables.rows(self.model, split="test", pattern=self.tables.full_pattern)

    def with_column(self, rows: pd.DataFrame, column: str) -> pd.DataFrame:
        """Predictions with a column of the cohort's lesion table beside them.

        Raises:
            CohortError: `lesions_not_in_cohort`.
        """
        lesions = self.cohort.lesions.set_index("lesion_id")
        strange = int((~rows["lesion_id"].isin(lesions.index)).sum())
        if strange:
            raise CohortError(
                "lesions_not_in_cohort",
                f"{strange} of the {len(rows)} predicted lesions are not in the cohort.",
                remedy="Give the cohort that the run was trained on with --cohort, or train again.",
            )
        return rows.assign(**{column: rows["lesion_id"].map(lesions[column])})

    def auroc(self, rows: pd.DataFrame, what: str) -> Figure:
        """The headline AUC of some predictions: within folds, by patient.

        Raises:
            StatsError: `not_defined`, in words.
        """
        if rows.empty:
            raise StatsError("not_defined", f"{what} has no lesions.")
        warnings: list[str] = []
        figure = areas.auroc(rows, self.tables.score_columns, what, warnings)
        if figure.estimate is None:
            raise StatsError("not_defined", " ".join(warnings))
        return figure


def open_evidence(run_dir: Path, *, model: str | None, cohort_dir: Path | None) -> Evidence:
    """Open a finished run, and its cohort where it can be had.

    Args:
        run_dir: folder that `dgccl train` finished.
        model: the model to judge; None for the first.
        cohort_dir: where the cohort lies, if it has moved since training; it must then be the right one.

    Raises:
        TrainingError: `not_a_run`, `run_unfinished`, `run_file_damaged`; `cohort_changed` for a cohort that was named.
        CohortError: the cohort that was named is none.
    """
    facts = _read_facts(run_dir)
    if cohort_dir is not None:
        return Evidence(run_dir, facts, model, _open_cohort(cohort_dir, facts))
    return Evidence(run_dir, facts, model, _attempt(lambda: _open_recorded(facts)))


def hashes_of(run_dir: Path) -> dict[str, str | None]:
    """SHA-256 of the files that the verdicts rest on; null for one that is absent."""
    paths = {name: run_dir / name for name in RUN_FILES}
    return {
        name: hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None
        for name, path in paths.items()
    }


def patient_keys(ids: pd.Series) -> pd.Series:
    """Patients' ids in one spelling, so that `P01` and `p01 ` are one patient."""
    return ids.astype("str").str.strip().str.casefold()


def _read_facts(run_dir: Path) -> dict[str, Any]:
    try:
        facts = json.loads((run_dir / "run.json").read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise TrainingError(
            "not_a_run", f"{run_dir} is no run: run.json is missing.", remedy="Make one with `dgccl train`."
        ) from error
    except ValueError as error:
        raise _damaged("run.json", error) from error
    needed = ("data_kind", "cohort_sha256", "dgccl_version", "command")
    lacking = [name for name in needed if not isinstance(facts, dict) or name not in facts]
    if lacking:
        raise _damaged("run.json", f"it lacks {', '.join(lacking)}")
    if facts.get("finished") is None:
        raise TrainingError(
            "run_unfinished",
            f"The run {run_dir} is not finished: some folds are still to be trained.",
            remedy="Call `dgccl train` with the same arguments again; it goes on where it stopped.",
        )
    return dict(facts)


def _open_recorded(facts: dict[str, Any]) -> Cohort:
    if not facts.get("cohort_dir"):
        raise CohortError(
            "cohort_unknown", "run.json does not say where the cohort lies.", remedy="Name it with --cohort."
        )
    try:
        return _open_cohort(Path(facts["cohort_dir"]), facts)
    except CohortError as error:
        raise CohortError(
            error.code, error.message, remedy="If the cohort has moved, name it with --cohort."
        ) from error


def _open_cohort(path: Path, facts: dict[str, Any]) -> Cohort:
    kind = facts["data_kind"]
    cohort = open_table_cohort(path, data_kind=kind) if is_table(path) else open_cohort(path)
    if cohort.sha256 != facts["cohort_sha256"]:
        raise TrainingError(
            "cohort_changed",
            f"{path} is not the cohort that was trained on: its lesion table differs.",
            remedy="Name the right one with --cohort, or train again.",
        )
    return cohort


def _attempt(make: Callable[[], Found]) -> Found | DgcclError:
    try:
        return make()
    except DgcclError as error:
        return error


def _or_raise(found: Found | DgcclError) -> Found:
    if isinstance(found, DgcclError):
        raise found
    return found


def _damaged(name: str, reason: object) -> TrainingError:
    return TrainingError(
        "run_file_damaged", f"{name} cannot be used: {reason}.", remedy="Train again into a new folder."
    )
