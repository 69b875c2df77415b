"""Would PET change this: one lesion's outlook is the row that `evaluate` writes, in words and in numbers."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from dgccl.errors import StatsError
from dgccl.evaluation import evaluate
from dgccl.evaluation.case_outlook import case_outlook
from dgccl.evaluation.run_tables import RunTables, read_tables
from dgccl.report.case_outlook import outlook_in_words

from .test_acquisition import ideal

MakeRun = Callable[..., Path]


def without_pet(lesions: pd.DataFrame) -> None:
    lesions["has_pet"] = lesions.index % 5 > 0


def lesion(table: pd.DataFrame, *, has_pet: bool) -> pd.Series:
    chosen = (table["missing"] == "pet") & (table["p_complete"].notna() == has_pet)
    return table.loc[chosen].iloc[0]


@pytest.fixture
def made(make_run: MakeRun) -> tuple[RunTables, pd.DataFrame]:
    run = make_run(malignant=100, benign=100, edit=without_pet, scores={"dgccl": ideal})
    evaluate(run)
    return read_tables(run), pd.read_csv(run / "acquisition.csv", dtype={"lesion_id": "str"})


@pytest.mark.parametrize("has_pet", [False, True])
def test_the_numbers_are_those_of_evaluate(made: tuple[RunTables, pd.DataFrame], has_pet: bool) -> None:
    tables, written = made
    row = lesion(written, has_pet=has_pet)
    found = case_outlook(tables, "dgccl", row["lesion_id"], "pet")
    for key in ("p_now", "p_expected", "p_median", "p_low", "p_high", "expected_change", "n_validation"):
        assert getattr(found, key) == pytest.approx(row[key], rel=1e-5)
    for at in found.acting:
        assert at.expected_changes == pytest.approx(row[f"changes_at_{at.threshold:g}"], rel=1e-5)
        assert at.expected_benefit == pytest.approx(row[f"benefit_at_{at.threshold:g}"], rel=1e-4, abs=1e-12)
        assert at.expected_benefit > -1e-12
    assert found.p_low <= found.p_median <= found.p_high
    assert found.call_changes is not None
    assert 0.0 <= found.call_changes <= 1.0
    assert (found.p_complete is not None) == has_pet
    words = outlook_in_words(found.to_json(), class_name="malignant")
    assert ("did bring" in words) == has_pet
    assert f"{found.n_validation} validation lesions" in words


def test_the_calls_are_those_of_the_raw_scores(made: tuple[RunTables, pd.DataFrame]) -> None:
    tables, written = made
    limits = evaluate_thresholds(tables)
    for name in written.query("missing == 'pet' and p_complete.notna()")["lesion_id"].head(20):
        found = case_outlook(tables, "dgccl", name, "pet")
        raw = {
            pattern: tables.rows("dgccl", split="test", pattern=pattern).set_index("lesion_id").loc[name]
            for pattern in ("ct", "ct+pet")
        }
        assert found.called_now == (raw["ct"]["y_score"] >= limits[found.fold])
        assert found.called_complete == (raw["ct+pet"]["y_score"] >= limits[found.fold])


def evaluate_thresholds(tables: RunTables) -> list[float | None]:
    from dgccl.evaluation.calls import thresholds

    return thresholds(tables, "dgccl", [])


def test_what_cannot_be_said_is_refused(made: tuple[RunTables, pd.DataFrame]) -> None:
    tables, written = made
    for name, missing in (("nobody", "pet"), (written["lesion_id"].iloc[0], "mr")):
        with pytest.raises(StatsError) as caught:
            case_outlook(tables, "dgccl", name, missing)
        assert caught.value.code == "no_outlook"
