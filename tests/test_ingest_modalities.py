"""Ingestion of what stands beside CT and PET: columns of the label table, and images such as MR."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from dgccl.cohort import LESION_COLUMNS, open_cohort
from dgccl.config import ImageConfig, TableConfig
from dgccl.dataset import choose_quantities, load_images, model_inputs
from dgccl.errors import CohortError, DgcclError
from dgccl.ingest import IngestSettings, ingest
from dgccl.intensity import normalize_intensity
from dgccl.lesion import BoxSettings
from dgccl.nifti import write_nifti
from dgccl.sources import OtherImage
from dgccl.volume import Volume

from .dicom import make
from .test_ingest import ABC, CENTER, SMALL, add_patient, ball, files_of

MR = (OtherImage("mr"),)
BOX = BoxSettings(32.0, 1.0, 4.0, 2.0)
CLINICAL = "patient_id,label,cea_ng_ml,smoking,note\nA,0,1.50,never,x\nB,1,,current,y\nC,0,20,,z\n"


def mr_ball() -> Volume:
    """Tissue of some texture in air, with a bright lesion."""
    image = ball(2.0, 700.0, 0.0)
    z, y, x = np.indices(image.array.shape)
    tissue = 200.0 + 8.0 * ((3 * z + 5 * y + 7 * x) % 11)
    image.array[...] = np.where((image.array == 0) & (x > 3), tissue, image.array)
    return image


@pytest.fixture
def images(tmp_path: Path) -> Path:
    for name in "ABC":
        add_patient(tmp_path / "images", name)
        write_nifti(mr_ball(), tmp_path / "images" / name / "mr.nii.gz")
    return tmp_path / "images"


@pytest.fixture
def labels(tmp_path: Path) -> Callable[[str], Path]:
    def write(text: str) -> Path:
        path = tmp_path / "labels.csv"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_named_columns_are_carried_as_they_stand(images: Path, labels: Callable, tmp_path: Path) -> None:
    for name in "ABC":
        (images / name / "mr.nii.gz").unlink()
    settings = IngestSettings(box=SMALL.box, clinical=("smoking", "cea_ng_ml"))
    ingest(images, tmp_path / "cohort", labels_csv=labels(CLINICAL), settings=settings)
    cohort = open_cohort(tmp_path / "cohort")
    assert tuple(cohort.lesions.columns) == (*LESION_COLUMNS, "smoking", "cea_ng_ml")
    assert cohort.lesions["cea_ng_ml"].tolist() == ["1.50", "", "20"]
    assert cohort.lesions["smoking"].tolist() == ["never", "current", ""]
    assert cohort.manifest["settings"]["clinical"] == ["smoking", "cea_ng_ml"]
    again = labels(CLINICAL.replace("1.50", "1.75"))
    assert ingest(images, tmp_path / "cohort", labels_csv=again, settings=settings).up_to_date == 2
    assert open_cohort(tmp_path / "cohort").lesions["cea_ng_ml"].iloc[0] == "1.75"


def test_from_files_to_inputs(images: Path, labels: Callable, tmp_path: Path) -> None:
    (images / "C" / "mr.nii.gz").unlink()
    (images / "B" / "ct.nii.gz").unlink()
    settings = IngestSettings(
        box=BOX, allow_missing_modality=True, images=MR, clinical=("cea_ng_ml", "smoking")
    )
    ingest(images, tmp_path / "cohort", labels_csv=labels(CLINICAL), settings=settings)
    cohort = open_cohort(tmp_path / "cohort")
    assert cohort.other_images == ("mr",)
    assert cohort.lesions["has_mr"].tolist() == [True, True, False]
    stored = cohort.arrays("A-lesion").others["mr"]
    assert (stored.dtype, stored.shape) == (np.float32, (16, 16, 16))
    expected = normalize_intensity(mr_ball(), name="mr").array
    inner = slice(4, 20)  # the box lies on the voxels of the image, 8 mm inside it
    np.testing.assert_allclose(stored, expected[inner, inner, inner], atol=1e-4)
    modalities = {
        "mr": ImageConfig(
            quantity="intensity", window=(-10.0, 10.0), view="volume", field_mm=32.0, input_px=16
        ),
        "clinical": TableConfig(
            quantity="table", numbers=("cea_ng_ml", "age_years"), categories={"smoking": ("never", "current")}
        ),
        "ct": ImageConfig(quantity="hu", window=(-1000.0, 1000.0), field_mm=32.0, input_px=16),
    }
    loaded = load_images(cohort, modalities, quantities=choose_quantities(cohort.lesions, modalities))
    assert loaded.modality_present.tolist() == [[True, True, True], [True, True, False], [False, True, True]]
    inputs = model_inputs(loaded, torch.tensor([0, 1]), modalities=modalities)
    nan = np.nan
    np.testing.assert_array_equal(inputs["clinical"], [[1.5, nan, 0.0], [nan, nan, 1.0]])
    cube = np.clip((stored + 10.0) / 20.0, 0.0, 1.0)[::-1]  # depth runs from head to feet
    np.testing.assert_allclose(inputs["mr"][0, 0], cube, atol=1e-5)


def test_an_mr_that_is_not_there_is_as_any_missing_modality(
    images: Path, labels: Callable, tmp_path: Path
) -> None:
    (images / "C" / "mr.nii.gz").unlink()
    strict = IngestSettings(box=BOX, images=MR)
    summary = ingest(images, tmp_path / "strict", labels_csv=labels(ABC), settings=strict)
    assert summary.refused == {"no_mr": 1}
    for name in ("ct.nii.gz", "pet.nii.gz"):
        (images / "A" / name).unlink()
    lenient = IngestSettings(box=BOX, images=MR, allow_missing_modality=True)
    ingest(images, tmp_path / "lenient", labels_csv=labels(ABC), settings=lenient)
    lesions = open_cohort(tmp_path / "lenient").lesions
    flags = lesions[["has_ct", "has_pet", "has_mr"]].to_numpy().tolist()
    assert flags == [[False, False, True], [True, True, True], [True, True, False]]
    assert lesions["diameter_mm"].to_numpy() == pytest.approx(16.0, abs=1.0)


def test_an_image_that_nobody_asked_for_is_told_from_a_mask(
    images: Path, labels: Callable, tmp_path: Path
) -> None:
    image = mr_ball()
    image.array[...] += np.arange(image.array.size).reshape(image.array.shape) % 400
    for name in "ABC":
        write_nifti(image, images / name / "mr.nii.gz")
    with pytest.raises(CohortError) as caught:
        ingest(images, tmp_path / "cohort", labels_csv=labels(ABC), settings=SMALL)
    assert "too_many_labels (3)" in str(caught.value)
    assert "--image" in str(caught.value)


def write_dicom_patient(folder: Path) -> None:
    """CT and PET of 24 mm with two MR series in their frame of reference."""
    shape = (12, 12, 12)
    place = {"origin_mm": CENTER - 11.0, "spacing_mm": 2.0}

    def write(kind: str, stored: np.ndarray, **more: object) -> None:
        planes = [
            make.image(
                plane, place["origin_mm"] + [0, 0, 2.0 * k], spacing_mm=(2.0, 2.0), series=kind, **more
            )
            for k, plane in enumerate(stored)
        ]
        make.write_all(planes, folder / kind)

    write("ct", np.full(shape, 1064, "<i2"))
    pet = {
        "Units": "GML", "SUVType": "BW", "CorrectedImage": ["ATTN", "DECY"], "DecayCorrection": "START",
        "PatientWeight": "70", "AcquisitionTime": "100000", "SeriesTime": "100000", "SeriesDate": "20200102",
        "AcquisitionDate": "20200102", "PatientSex": "F",
    }  # fmt: skip
    write("pet", np.full(shape, 3, "<i2"), modality="PT", intercept=0.0, **pet)
    mr = {"modality": "MR", "SOPClassUID": "1.2.840.10008.5.1.4.1.1.4", "intercept": 0.0}
    ramp = (np.arange(12**3) % 97).reshape(shape).astype("<i2")
    write("t1", ramp, SeriesDescription="T1 tra", **mr)
    write("t2", ramp * 3, SeriesDescription="T2 tra", **mr)


def test_dicom_mr_is_chosen_by_its_description(labels: Callable, tmp_path: Path) -> None:
    write_dicom_patient(tmp_path / "dicom")
    points = tmp_path / "points.csv"
    points.write_text("patient_id,x_mm,y_mm,z_mm,diameter_mm\nP1,5,-8,12,8\n")
    table = labels("patient_id,label\nP1,1\n")

    def run(name: str, image: OtherImage) -> Path:
        settings = IngestSettings(box=BoxSettings(16.0, 2.0, 4.0, 2.0), images=(image,))
        ingest(tmp_path / "dicom", tmp_path / name, labels_csv=table, points_csv=points, settings=settings)
        return tmp_path / name

    cohort = open_cohort(run("cohort", OtherImage("mr", "^t2")))
    codes = cohort.qc.loc[cohort.qc["message"].str.startswith("MR series"), "code"].tolist()
    assert sorted(codes) == ["other_description", "selected"]
    assert cohort.arrays("P1-lesion_1").others["mr"].shape == (8, 8, 8)
    assert cohort.lesions["sex"].tolist() == ["F"]
    with pytest.raises(CohortError, match="several_series"):
        run("unclear", OtherImage("mr"))
    with pytest.raises(CohortError, match="no_mr"):
        run("absent", OtherImage("mr", "flair"))


@pytest.mark.parametrize(
    ("column", "settings", "code"),
    [
        ("note", IngestSettings(box=BOX, clinical=("nse",)), "column_missing"),
        ("note", IngestSettings(box=BOX, clinical=("label",)), "clinical_column_clash"),
        ("age_years", IngestSettings(box=BOX, clinical=("age_years",)), "clinical_column_clash"),
        ("note", IngestSettings(box=BOX, clinical=("note", "note")), "clinical_column_clash"),
        ("has_mr", IngestSettings(box=BOX, images=MR, clinical=("has_mr",)), "column_repeated"),
        ("note", IngestSettings(box=BOX, images=MR * 2), "column_repeated"),
        (
            "note",
            IngestSettings(box=BoxSettings(32.0, 1.0, 4.0, 5.0), images=MR),
            "box_not_multiple_of_spacing",
        ),
    ],
)
def test_settings_that_cannot_be_are_refused_at_once(
    labels: Callable, tmp_path: Path, column: str, settings: IngestSettings, code: str
) -> None:
    table = labels(CLINICAL.replace("note", column))
    with pytest.raises(DgcclError) as caught:
        ingest(tmp_path / "absent", tmp_path / "cohort", labels_csv=table, settings=settings)
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("MR", "bad_image_name"),
        ("ct", "bad_image_name"),
        ("suv", "bad_image_name"),
        ("mask_ct", "bad_image_name"),
        ("m r", "bad_image_name"),
        ("", "bad_image_name"),
        ("mr=t2(", "bad_image_pattern"),
    ],
)
def test_names_that_no_image_can_have(text: str, code: str) -> None:
    with pytest.raises(CohortError) as caught:
        OtherImage.parse(text)
    assert caught.value.code == code
    assert OtherImage.parse("mr_t2=^T2=x") == OtherImage("mr_t2", "^T2=x")


def test_a_column_that_tells_who_it_is_is_not_carried(images: Path, labels: Callable, tmp_path: Path) -> None:
    (images / "A").rename(images / "Smith-4711")
    table = "patient_id,label,study_code,initials\nSmith-4711,0,S1,{}\nB,1,S2,b.b.\nC,0,S3,c.c.\n"
    settings = IngestSettings(box=BOX, images=MR, clinical=("initials",))
    with pytest.raises(CohortError) as caught:
        ingest(images, tmp_path / "no", labels_csv=labels(table.format("Smith-4711")), settings=settings)
    assert caught.value.code == "clinical_identifies"
    summary = ingest(
        images, tmp_path / "cohort", labels_csv=labels(table.format("Mrs Smith")), settings=settings
    )
    assert summary.refused == {"clinical_identifies": 1}
    for name, data in files_of(tmp_path / "cohort").items():
        assert b"Smith" not in data, name


def test_lesions_of_a_patient_carry_their_own_rows(images: Path, labels: Callable, tmp_path: Path) -> None:
    write_nifti(ball(1.0, 1.0, 0.0), images / "A" / "second.nii.gz")
    table = "patient_id,lesion,label,grade\nA,lesion,0,low\nA,second,1,high\nB,,1,mid\nC,,0,\n"
    settings = IngestSettings(box=BOX, images=MR, clinical=("grade",))
    ingest(images, tmp_path / "cohort", labels_csv=labels(table), settings=settings)
    grades = open_cohort(tmp_path / "cohort").lesions.set_index("lesion_id")["grade"]
    assert grades.to_dict() == {"A-lesion": "low", "A-second": "high", "B-lesion": "mid", "C-lesion": ""}
