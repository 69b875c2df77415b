"""Reading anyone's predictions: what is lacking or ambiguous is an error with its code, whatever the file's kind."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dgccl.errors import CohortError
from dgccl.evaluation.scores.table import ScoreTable, read_score_table

TABLE = pd.DataFrame(
    {
        "patient": ["P1", "P1", "P2", "P3", "P4"],
        "hospital": ["north", "north", "south", "south", "north"],
        "y": [0, 1, 1, 0, 1],
        "a": [0.1, 0.8, 0.7, 0.4, 0.9],
        "b": [-3.0, 2.5, 1e-3, 0.0, np.inf],
        "outcome": ["benign", "malignant", "malignant", "benign", "malignant"],
    }
)


def write(table: pd.DataFrame, folder: Path, kind: str) -> Path:
    path = folder / f"table.{kind}"
    if kind == "parquet":
        table.to_parquet(path, index=False)
    else:
        table.to_csv(
            path, index=False, sep=";" if kind == "txt" else ",", decimal="," if kind == "txt" else "."
        )
    return path


def read(path: Path, **options: object) -> ScoreTable:
    return read_score_table(path, **({"label": "y", "scores": ["a"]} | options))  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["csv", "parquet", "txt"])
def test_every_kind_of_file_gives_the_same(tmp_path: Path, kind: str) -> None:
    found = read(write(TABLE, tmp_path, kind), scores=["a", "b"], cluster="patient", site="hospital")
    assert found.y_true.tolist() == [0, 1, 1, 0, 1]
    assert list(found.scores) == ["a", "b"]
    np.testing.assert_array_equal(found.scores["b"], TABLE["b"])
    assert found.cluster is not None
    assert found.cluster[0] == "patient"
    assert found.cluster[1].tolist() == TABLE["patient"].tolist()
    assert found.site is not None
    assert found.site[1].tolist() == TABLE["hospital"].tolist()
    assert (found.dropped, found.positive, len(found.sha256)) == (0, "1", 64)


def test_labels_in_words(tmp_path: Path) -> None:
    path = write(TABLE, tmp_path, "csv")
    assert read(path, label="outcome", positive="malignant").y_true.tolist() == [0, 1, 1, 0, 1]
    assert read(path, label="y", positive="0").y_true.tolist() == [1, 0, 0, 1, 0]
    for positive in ("cancer", None):
        with pytest.raises(CohortError) as caught:
            read(path, label="outcome", positive=positive)
        assert caught.value.code == "labels_not_binary"
        assert "'malignant'" in caught.value.message


def test_numbers_as_patients_are_the_same_patients_with_gaps_elsewhere(tmp_path: Path) -> None:
    table = TABLE.assign(patient=[1.0, 1.0, 2.0, 3.0, 4.0])
    found = read(write(table, tmp_path, "parquet"), cluster="patient")
    assert found.cluster is not None
    assert found.cluster[1].tolist() == ["1", "1", "2", "3", "4"]


LONG = ["110101199003070000", "110101199003070001", "007", "7", "1_1"]
ODD = ["11", "0e0", "0e9", "1.10", "1.1"]


@pytest.mark.parametrize("kind", ["csv", "txt", "parquet"])
@pytest.mark.parametrize("ids", [LONG, ODD, ["1,1", "1.1", "Inf", "inf", "+1"]])
def test_ids_that_look_like_numbers_stay_apart(tmp_path: Path, kind: str, ids: list[str]) -> None:
    found = read(
        write(TABLE.assign(patient=ids, hospital=ids), tmp_path, kind), cluster="patient", site="hospital"
    )
    assert found.cluster is not None
    assert found.site is not None
    assert found.cluster[1].tolist() == ids
    assert found.site[1].tolist() == ids


def test_long_whole_numbers_are_ids_with_or_without_gaps(tmp_path: Path) -> None:
    """A gap makes pandas read whole numbers as floats, which have 15 digits."""
    ids = [110101199003070000 + step for step in range(5)]
    for gap in (False, True):
        patient = pd.array([None if gap and step == 0 else ids[step] for step in range(5)], dtype="Int64")
        table = TABLE.assign(patient=patient, a=[np.nan, 0.8, 0.7, 0.4, 0.9])
        found = read(write(table, tmp_path, "parquet"), cluster="patient", drop_missing=True)
        assert found.cluster is not None
        assert found.cluster[1].tolist() == [str(number) for number in ids[1:]]


def test_ids_that_were_stored_as_rounded_numbers_are_refused(tmp_path: Path) -> None:
    floats = [110101199003070000.0 + step for step in range(5)]
    for values in (floats, np.array([2**24, 3, 4, 5, 6], dtype=np.float32)):
        with pytest.raises(CohortError) as caught:
            read(write(TABLE.assign(patient=values), tmp_path, "parquet"), cluster="patient")
        assert caught.value.code == "cluster_rounded"


def test_labels_are_told_apart_as_they_stand_but_for_a_point_and_zeros(tmp_path: Path) -> None:
    path = write(TABLE.assign(y=["0", "1.0", "1", "0.00", "1"]), tmp_path, "csv")
    for positive in ("1", "1.0"):
        assert read(path, positive=positive).y_true.tolist() == [0, 1, 1, 0, 1]
    words = write(TABLE.assign(y=["1_0", "10", "10", "1_0", "10"]), tmp_path, "csv")
    assert read(words, positive="10").y_true.tolist() == [0, 1, 1, 0, 1]


def test_columns_that_differ_in_letter_case_only(tmp_path: Path) -> None:
    path = write(TABLE.assign(A=[5.0, 4.0, 3.0, 2.0, 1.0]), tmp_path, "csv")
    assert read(path).scores["a"].tolist() == TABLE["a"].tolist()
    assert read(path, scores=["A"]).scores["A"].tolist() == [5.0, 4.0, 3.0, 2.0, 1.0]
    assert list(read(path, scores=["A", "a"]).scores) == ["A", "a"]
    # Where none is spelled so, any letter case counts.
    renamed = write(TABLE.rename(columns={"a": "A", "y": "LABEL"}), tmp_path, "csv")
    assert read(renamed, label="Label").scores["a"].tolist() == TABLE["a"].tolist()


def test_two_columns_for_one_name_are_refused(tmp_path: Path) -> None:
    table = TABLE.rename(columns={"a": "Score", "b": "SCORE"})
    with pytest.raises(CohortError) as caught:
        read(write(table, tmp_path, "csv"), scores=["score"])
    assert caught.value.code == "column_repeated"


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_missing_values_are_refused_or_dropped_and_counted(tmp_path: Path, kind: str) -> None:
    table = TABLE.assign(a=[np.nan, 0.8, 0.7, 0.4, 0.9], y=[0.0, 1.0, np.nan, 0.0, 1.0])
    path = write(table, tmp_path, kind)
    with pytest.raises(CohortError) as caught:
        read(path, scores=["a", "b"])
    assert caught.value.code == "value_missing"
    assert "2 of 5" in caught.value.message
    assert "y (1)" in caught.value.message
    assert "a (1)" in caught.value.message
    found = read(path, scores=["a", "b"], drop_missing=True)
    assert (found.dropped, found.y_true.tolist(), len(found.scores["a"])) == (2, [1, 0, 1], 3)


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_truth_in_every_spelling(tmp_path: Path, kind: str) -> None:
    for labels in (TABLE["y"].astype(bool), TABLE["y"].astype(float), TABLE["y"].astype(str)):
        path = write(TABLE.assign(y=labels), tmp_path, kind)
        assert read(path).y_true.tolist() == [0, 1, 1, 0, 1]
        if labels.dtype != bool:
            assert read(path, positive="1").y_true.tolist() == [0, 1, 1, 0, 1]


def test_dates_are_no_scores(tmp_path: Path) -> None:
    path = write(TABLE.assign(a=pd.to_datetime(["2026-01-01"] * 5)), tmp_path, "parquet")
    with pytest.raises(CohortError) as caught:
        read(path)
    assert caught.value.code == "score_not_number"


BAD = {
    "column_missing": (TABLE, {"scores": ["c"]}),
    "score_repeated": (TABLE, {"scores": ["a", "a"]}),
    "no_score": (TABLE, {"scores": []}),
    "labels_not_binary": (TABLE.assign(y=[0, 1, 2, 0, 1]), {}),
    "score_not_number": (TABLE.assign(a=["0.1", "high", "0.2", "0.3", "0.4"]), {}),
    "cluster_missing": (TABLE.assign(patient=["P1", None, "P2", "P3", "P4"]), {"cluster": "patient"}),
    "site_missing": (TABLE.assign(hospital=["n", None, "n", "s", "s"]), {"site": "hospital"}),
    "no_cases": (TABLE.assign(a=np.nan), {"drop_missing": True}),
}


@pytest.mark.parametrize("kind", ["csv", "parquet"])
@pytest.mark.parametrize("code", BAD)
def test_bad_tables(tmp_path: Path, code: str, kind: str) -> None:
    table, options = BAD[code]
    with pytest.raises(CohortError) as caught:
        read(write(table, tmp_path, kind), **options)
    assert caught.value.code == code


def test_files_that_are_no_tables(tmp_path: Path) -> None:
    (tmp_path / "damaged.parquet").write_bytes(b"PAR1 and then nothing")
    for name, code in (
        ("damaged.parquet", "table_unreadable"),
        ("none.parquet", "table_not_found"),
        ("none.csv", "table_not_found"),
    ):
        with pytest.raises(CohortError) as caught:
            read(tmp_path / name)
        assert caught.value.code == code
