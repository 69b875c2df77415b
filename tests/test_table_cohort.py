"""A CSV file as a cohort: what it gives, and what is refused with the row that is wrong."""

from pathlib import Path

import numpy as np
import pytest

from dgccl.cohort import LESION_COLUMNS
from dgccl.config import ImageConfig, TableConfig
from dgccl.dataset import choose_quantities, load_images, model_inputs
from dgccl.errors import CohortError
from dgccl.table_cohort import open_data, open_table_cohort

GOOD = "patient_id,lesion_id,label,site,age_years,entropy,grade\n"
GOOD += "A,A-1,0,North,60,1.5,low\nA,A-2,1,North,60,,high\nB,B-1,1,South,,2.5,\n"


def write(folder: Path, text: str, name: str = "features.csv") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_a_table_opens_as_a_cohort_without_images(tmp_path: Path) -> None:
    cohort = open_table_cohort(write(tmp_path, GOOD), data_kind="real")
    assert (cohort.data_kind, cohort.is_table) == ("real", True)
    assert tuple(cohort.lesions.columns) == (*LESION_COLUMNS, "entropy", "grade")
    assert cohort.lesions["label"].tolist() == [0, 1, 1]
    assert not cohort.lesions[["has_ct", "has_pet"]].any(axis=None)
    np.testing.assert_array_equal(cohort.lesions["age_years"], [60.0, 60.0, np.nan])
    assert np.isnan(cohort.lesions["suv_max"]).all()
    assert cohort.lesions["grade"].tolist() == ["low", "high", ""]
    arrays = cohort.arrays("A-2")
    assert (arrays.ct_hu, arrays.suv_bw, dict(arrays.others)) == (None, None, {})
    with pytest.raises(CohortError, match="no lesion"):
        cohort.arrays("C-1")


def test_its_columns_are_inputs(tmp_path: Path) -> None:
    cohort = open_table_cohort(write(tmp_path, GOOD), data_kind="real")
    modalities = {
        "radiomics": TableConfig(
            quantity="table", numbers=("entropy",), categories={"grade": ("low", "high")}
        ),
        "clinical": TableConfig(quantity="table", numbers=("age_years",)),
    }
    quantities = choose_quantities(cohort.lesions, modalities)
    assert quantities == {"radiomics": "table", "clinical": "table"}
    images = load_images(cohort, modalities, quantities=quantities)
    assert images.modality_present.tolist() == [[True, True], [True, True], [True, False]]
    assert np.isnan(images.box_mm)
    inputs = model_inputs(images, images.modality_present[:2].long().argmin(dim=1) + 1, modalities=modalities)
    assert list(inputs) == ["radiomics", "clinical"]
    np.testing.assert_array_equal(inputs["radiomics"], [[np.nan, 1.0]] * 2)


def test_an_image_is_absent_from_it(tmp_path: Path) -> None:
    cohort = open_table_cohort(write(tmp_path, GOOD), data_kind="real")
    for quantity in ("hu", "suv", "intensity"):
        modalities = {"image": ImageConfig(quantity=quantity, window=(0.0, 1.0))}
        quantities = choose_quantities(cohort.lesions, modalities)
        with pytest.raises(CohortError) as caught:
            load_images(cohort, modalities, quantities=quantities)
        assert caught.value.code == "modality_absent"


def test_semicolons_and_decimal_commas_are_read(tmp_path: Path) -> None:
    text = "Patient_ID;Label;age_years;entropy\nA;0;60,5;1,5\nB;1;;2,5\n"
    cohort = open_table_cohort(write(tmp_path, text), data_kind="phantom")
    assert cohort.lesions["entropy"].tolist() == ["1.5", "2.5"]
    assert cohort.lesions["age_years"].iloc[0] == 60.5
    assert cohort.lesions["lesion_id"].tolist() == ["A", "B"]


@pytest.mark.parametrize(
    ("text", "code", "told"),
    [
        ("patient_id,entropy\nA,1\n", "column_missing", "label"),
        ("patient_id,label\n", "labels_empty", "features.csv"),
        ("patient_id,label\nA,malignant\n", "label_not_a_class", "row 2"),
        ("patient_id,label\nA,0\n,1\n", "id_missing", "row 3"),
        ("patient_id,lesion_id,label\nA,,0\n", "id_missing", "lesion_id"),
        ("patient_id,label\nA,0\nB,1\nA,1\n", "duplicate_lesion_id", "row 4"),
        ("patient_id,label,suv_max\nA,0,high\n", "not_a_number", "suv_max"),
        ("patient_id,label,suv_max\nA,0,inf\n", "not_a_number", "suv_max"),
        ("patient_id,label,has_ct\nA,0,True\n", "column_of_images", "has_ct"),
        ("patient_id,label,qc,box_mm\nA,0,,64\n", "column_of_images", "qc, box_mm"),
    ],
)
def test_what_is_no_such_table_is_refused(tmp_path: Path, text: str, code: str, told: str) -> None:
    with pytest.raises(CohortError) as caught:
        open_table_cohort(write(tmp_path, text), data_kind="real")
    assert caught.value.code == code
    assert told in str(caught.value)


def test_the_kind_of_data_is_stated_once(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD)
    assert open_data(path, data_kind="phantom").data_kind == "phantom"
    for given, kind, code in (
        (path, None, "data_kind_missing"),
        (tmp_path, "real", "data_kind_stated_twice"),
        (tmp_path, None, "not_a_cohort"),
        (tmp_path / "absent.csv", "real", "table_not_found"),
        (tmp_path / "absent", None, "not_a_cohort"),
    ):
        with pytest.raises(CohortError) as caught:
            open_data(given, data_kind=kind)
        assert caught.value.code == code
