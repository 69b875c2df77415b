"""The user's tables: what is read, and what is refused with the row that is wrong."""

from pathlib import Path

import pytest

from dgccl.errors import CohortError
from dgccl.labels import read_labels, read_points


def write(folder: Path, text: str) -> Path:
    path = folder / "table.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_patient_labels_hold_for_every_lesion(tmp_path: Path) -> None:
    labels = read_labels(write(tmp_path, "patient_id,lung_metastasis\nA,0\nB,1\n"))
    assert labels["B"].label_of("any") == 1
    assert labels["A"].study_code == "A"


def test_lesion_labels_and_codes(tmp_path: Path) -> None:
    text = "\ufeffpatient_id,lesion,label,study_code,site\n12345,upper,1,S-1,North\n12345,lower,0,S-1,North\n"
    entry = read_labels(write(tmp_path, text))["12345"]
    assert (entry.study_code, entry.site) == ("S-1", "North")
    assert (entry.label_of("upper"), entry.label_of("lower")) == (1, 0)
    with pytest.raises(CohortError) as caught:
        entry.label_of("middle")
    assert caught.value.code == "lesion_without_label"


@pytest.mark.parametrize(
    ("text", "code", "named"),
    [
        ("", "table_unreadable", "table.csv"),
        ("patient_id,label\n", "labels_empty", "table.csv"),
        ("id,label\nA,0\n", "column_missing", "patient_id"),
        ("patient_id,a,b\nA,0,1\n", "label_column_unclear", "a, b"),
        ("patient_id,label\nA,0\nB,maybe\n", "label_not_a_class", "row 3"),
        ("patient_id,label\nA,0.5\n", "label_not_a_class", "row 2"),
        ("patient_id,label\nA,-1\n", "label_not_a_class", "row 2"),
        ("patient_id,label\nA,0\nA,1\n", "duplicate_lesion_id", "row 3"),
        ("patient_id,label,study_code\nA,0,S\nB,1,S\n", "study_code_not_unique", "one to one"),
        ("patient_id,label\nDoe^John,0\n", "study_code_not_a_name", "row 2"),
        ("patient_id,label\n../up,0\n", "study_code_not_a_name", "row 2"),
        ("patient_id,label\nA,1e30\n", "label_not_a_class", "row 2"),
        ("patient_id,label\n\n,\nA,0\nB,x\n", "label_not_a_class", "row 5"),
        ("patient_id,label\nA,0,1,2\n", "row_too_long", "row 2"),
        ("patient_id,label\nA\n", "label_not_a_class", "row 2"),
        ("patient_id,label,label\nA,0,1\n", "column_repeated", "label"),
        ("patient_id,label,study_code\nA,0,s1\nB,1,S1\n", "study_code_not_unique", "one to one"),
        ("patient_id,lesion,label\nA,Mass 1,0\nA,mass_1,1\n", "duplicate_lesion_id", "row 3"),
        ("\0\1\2", "table_unreadable", "table.csv"),
    ],
)
def test_bad_label_tables_are_refused(tmp_path: Path, text: str, code: str, named: str) -> None:
    with pytest.raises(CohortError) as caught:
        read_labels(write(tmp_path, text))
    assert caught.value.code == code
    assert named in str(caught.value)
    assert "Doe" not in str(caught.value)


@pytest.mark.parametrize(
    "data",
    [
        b"patient_id,label,site\r\nA,0,X\r\nB,1,Y\r\n",
        b"\xef\xbb\xbfpatient_id;label;site\r\nA;0;X\r\nB;1;Y\r\n;;\r\n",
        b"patient_id\tlabel\tsite\nA\t0\tX\n\nB\t1\tY",
        "patient_id\tlabel\tsite\r\nA\t0\tX\r\nB\t1\tY\r\n".encode("utf-16"),
        b'sep=;\npatient_id;label;site\n"A";"0";"X"\n"B";"1.0";"Y"\n',
        b"Patient_ID,Label,SITE,\nA,0,X,\nB,1,Y,\n,,,\n",
    ],
    ids=["windows", "semicolons", "tabs", "utf-16", "sep line", "empty cells"],
)
def test_tables_as_spreadsheets_write_them(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "table.csv"
    path.write_bytes(data)
    found = {name: (entry.label_of("any"), entry.site) for name, entry in read_labels(path).items()}
    assert found == {"A": (0, "X"), "B": (1, "Y")}


def test_a_lesion_may_be_named_as_its_outline_is(tmp_path: Path) -> None:
    entry = read_labels(write(tmp_path, "patient_id,lesion,label\nA,Lesion 1 (CT),1\nA,Lesion 2,0\n"))["A"]
    assert (entry.label_of("Lesion_1"), entry.label_of("lesion_2")) == (1, 0)


def test_points_with_decimal_commas(tmp_path: Path) -> None:
    text = "patient_id;x_mm;y_mm;z_mm;diameter_mm\nA;1,5;-2;3,25;10\n"
    (point,) = read_points(write(tmp_path, text))["A"]
    assert point.center_mm.tolist() == [1.5, -2.0, 3.25]


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CohortError, match=r"labels\.csv"):
        read_labels(tmp_path / "labels.csv")


def test_points_are_numbered_where_they_have_no_name(tmp_path: Path) -> None:
    text = "patient_id,x_mm,y_mm,z_mm,diameter_mm\nA,1,2,3,10\nA,4,5,6,8\n"
    first, second = read_points(write(tmp_path, text))["A"]
    assert (first.name, second.name) == ("lesion_1", "lesion_2")
    assert first.center_mm.tolist() == [1.0, 2.0, 3.0]
    assert second.diameter_mm == 8.0


@pytest.mark.parametrize("row", ["A,1,2,x,10", "A,1,2,nan,10", "A,1,2,3,0", "A,1,2,3,inf"])
def test_bad_points_are_refused(tmp_path: Path, row: str) -> None:
    with pytest.raises(CohortError) as caught:
        read_points(write(tmp_path, f"patient_id,x_mm,y_mm,z_mm,diameter_mm\n{row}\n"))
    assert caught.value.code == "bad_point"
