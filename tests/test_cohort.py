"""Cohorts: folds keep patients together and classes in proportion; damaged folders are refused."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dgccl.cohort import open_cohort
from dgccl.errors import CohortError
from dgccl.folds import split_folds


def table(labels: list[int], *, lesions_each: int = 1) -> pd.DataFrame:
    rows = [(f"P{i:03d}", label) for i, label in enumerate(labels) for _ in range(lesions_each)]
    return pd.DataFrame(rows, columns=["patient_id", "label"])


@settings(deadline=None, max_examples=25)
@given(
    benign=st.integers(6, 60),
    malignant=st.integers(6, 60),
    lesions_each=st.integers(1, 3),
    folds=st.integers(2, 5),
    seed=st.integers(0, 99),
)
def test_folds_partition_patients_and_hold_both_classes(
    benign: int, malignant: int, lesions_each: int, folds: int, seed: int
) -> None:
    lesions = table([0] * benign + [1] * malignant, lesions_each=lesions_each)
    splits = split_folds(lesions, folds=folds, validation_fraction=0.2, seed=seed)
    assert sorted(np.concatenate([split.test for split in splits])) == list(range(len(lesions)))
    for split in splits:
        parts = dict(split.items())
        assert sorted(np.concatenate(list(parts.values()))) == list(range(len(lesions)))
        patients = [set(lesions["patient_id"].iloc[rows]) for rows in parts.values()]
        assert not patients[0] & patients[1] | patients[0] & patients[2] | patients[1] & patients[2]
        assert all(set(lesions["label"].iloc[rows]) == {0, 1} for rows in parts.values())
    sizes = [len(split.test) for split in splits]
    assert max(sizes) - min(sizes) <= 2 * lesions_each


def test_folds_depend_on_the_seed_and_not_on_the_order_of_rows() -> None:
    lesions = table([0, 1] * 20)
    shuffled = lesions.sample(frac=1, random_state=3)

    def test_patients(rows: pd.DataFrame, seed: int) -> list[set[str]]:
        splits = split_folds(rows, folds=4, validation_fraction=0.2, seed=seed)
        return [set(rows["patient_id"].iloc[split.test]) for split in splits]

    assert test_patients(lesions, 1) == test_patients(shuffled, 1)
    assert test_patients(lesions, 1) != test_patients(lesions, 2)


@pytest.mark.parametrize(
    ("labels", "folds", "code"),
    [
        ([0] * 10, 5, "one_class"),
        ([0, 1], 5, "fewer_patients_than_folds"),
        ([0] * 20 + [1] * 4, 5, "class_too_small"),
        ([0] * 20 + [1] * 3, 2, "class_too_small"),
    ],
)
def test_cohorts_that_cannot_be_split_are_refused(labels: list[int], folds: int, code: str) -> None:
    with pytest.raises(CohortError) as caught:
        split_folds(table(labels), folds=folds, validation_fraction=0.2, seed=0)
    assert caught.value.code == code


def test_what_is_no_cohort_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CohortError) as caught:
        open_cohort(tmp_path)
    assert caught.value.code == "not_a_cohort"
    (tmp_path / "manifest.json").write_text(json.dumps({"data_kind": "real"}))
    (tmp_path / "qc.csv").write_text("study_code,status,code,message\n")
    (tmp_path / "lesions.csv").write_text("lesion_id,patient_id\nA,B\n")
    with pytest.raises(CohortError) as caught:
        open_cohort(tmp_path)
    assert caught.value.code == "cohort_damaged"
    assert "label" in caught.value.message
