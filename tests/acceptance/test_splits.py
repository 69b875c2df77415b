"""No patient on two sides of a fold, however the run's tables hide it."""

import pandas as pd
import pytest

from dgccl.acceptance import GateResult

from .conftest import MakeRun, judged

RULE = "no_patient_in_two_splits"


def faults(found: GateResult) -> dict[str, float]:
    return {part.name: part.figure for part in found.parts if part.figure}


def test_a_sound_run_passes(make_run: MakeRun) -> None:
    found = judged(make_run(per_patient=2), RULE)
    assert (found.passed, found.figure, found.method, found.ci_low) == (True, 0, "count", None)
    assert faults(found) == {}
    assert "All 72 patients" in found.reason


def test_a_patient_in_two_splits_is_counted_and_not_an_error(make_run: MakeRun) -> None:
    """The second lesion of a patient trains where the first is tested; evaluation refuses such a run."""

    def leak(folds: pd.DataFrame) -> None:
        tested = folds.loc[(folds["lesion_id"] == "L000") & (folds["split"] == "test"), "fold"].iloc[0]
        second = (folds["lesion_id"] == "L001") & (folds["fold"] == tested)
        folds.loc[second, "split"] = "train"

    run = make_run(per_patient=2, fold_table=leak)
    found = judged(run, RULE)
    assert (found.passed, found.assessed, found.figure) == (False, True, 1)
    assert faults(found) == {
        "patients in two splits of one fold": 1,
        "lesions tested by a network that learned from their patient": 2,
        "lesions that are not tested exactly once": 1,
    }
    assert found.details == {"lesions_of_patients_in_two_splits": ["L000", "L001"]}
    refused = judged(run, "auroc_floor", floor=0.0)
    assert (refused.passed, refused.assessed) == (False, False)
    assert "[patient_in_two_splits]" in refused.reason


def test_a_patient_under_two_ids_of_the_run_is_found_by_the_cohort(make_run: MakeRun) -> None:
    """The run's tables were edited so that the lesions of one patient look like those of two."""

    def rename(table: pd.DataFrame) -> None:
        table.loc[table["lesion_id"] == "L001", "patient_id"] = "P999"

    def leak(folds: pd.DataFrame) -> None:
        rename(folds)
        # Lesion 1 follows the splits of lesion 3, whose patient is tested elsewhere.
        other = folds.loc[folds["lesion_id"] == "L003"].set_index("fold")["split"]
        own = folds["lesion_id"] == "L001"
        folds.loc[own, "split"] = folds.loc[own, "fold"].map(other)

    def follow(rows: pd.DataFrame) -> None:
        rename(rows)
        own, other = rows["lesion_id"] == "L001", rows["lesion_id"] == "L003"
        rows.loc[own, "fold"] = rows.loc[other, "fold"].to_numpy()

    run = make_run(per_patient=2, fold_table=leak, predictions=follow)
    assert judged(run, "auroc_floor", floor=0.5).passed  # evaluation sees no fault
    found = judged(run, RULE)
    assert not found.passed
    assert faults(found) == {
        "patients in two splits of one fold": 1,
        "lesions tested by a network that learned from their patient": 2,
        "lesions of another patient than in the cohort": 1,
    }
    assert "0 by the ids of folds.csv, 1 by those of the cohort" in found.reason


def test_ids_that_differ_by_letter_case_are_one_patient(make_run: MakeRun) -> None:
    def twins(table: pd.DataFrame) -> None:
        table["patient_id"] = table["patient_id"].replace("P001", "p000 ")

    found = judged(make_run(lesions=twins), RULE)
    assert faults(found)["patients in two splits of one fold"] == 1


def test_a_lesion_that_was_left_out_of_the_test_is_counted(make_run: MakeRun) -> None:
    """Hard cases that no fold tests: the tables agree with each other, and the cohort has more."""

    def left_out(table: pd.DataFrame) -> pd.DataFrame:
        return table.loc[~table["lesion_id"].isin(["L005", "L009"])]

    found = judged(make_run(fold_table=left_out, predictions=left_out), RULE)
    assert faults(found) == {"lesions that are not tested exactly once": 2}


def test_a_changed_class_is_counted(make_run: MakeRun) -> None:
    def flatter(rows: pd.DataFrame) -> None:
        rows.loc[rows["lesion_id"] == "L004", "y_true"] = 0

    found = judged(make_run(predictions=flatter), RULE)
    assert faults(found) == {"lesions of another class than in the cohort": 1}


def test_a_lesion_from_elsewhere_is_counted(make_run: MakeRun) -> None:
    def stranger(table: pd.DataFrame) -> None:
        table["lesion_id"] = table["lesion_id"].replace("L004", "X004")

    found = judged(make_run(predictions=stranger, fold_table=stranger), RULE)
    assert faults(found) == {
        "lesions that are not in the cohort": 1,
        "lesions that are not tested exactly once": 1,
    }


def test_a_pretraining_that_saw_test_lesions_fails(make_run: MakeRun) -> None:
    start = {"transductive_lesions": 7, "warning": "Transductive: ..."}
    found = judged(make_run(facts={"start": start}), RULE)
    assert faults(found) == {"tested lesions that a pre-training learned from": 7}


def test_a_pretraining_on_others_passes(make_run: MakeRun) -> None:
    assert judged(make_run(facts={"start": {"transductive_lesions": 0, "warning": None}}), RULE).passed


@pytest.mark.parametrize("damage", ["absent", "text", "columns", "split", "fold", "empty"])
def test_a_damaged_table_fails_and_is_no_pass(make_run: MakeRun, damage: str) -> None:
    run = make_run()
    path = run / "folds.csv"
    folds = pd.read_csv(path)
    if damage == "absent":
        path.unlink()
    elif damage == "text":
        path.write_bytes(b"\xff\xfe\x00 no table")
    else:
        edited = {
            "columns": folds.drop(columns="split"),
            "split": folds.replace({"split": {"test": "tset"}}),
            "fold": folds.assign(fold="first"),
            "empty": folds.iloc[:0],
        }
        edited[damage].to_csv(path, index=False)
    found = judged(run, RULE)
    assert (found.passed, found.assessed) == (False, False)
    assert "[run_file_damaged]" in found.reason


def test_damaged_predictions_fail(make_run: MakeRun) -> None:
    run = make_run()
    (run / "predictions.parquet").write_bytes(b"no parquet")
    found = judged(run, RULE)
    assert (found.passed, found.assessed) == (False, False)
