"""Ingestion: what comes out, what is refused and why, and that a second call picks up where the first stopped."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dgccl.cohort import LESION_COLUMNS, open_cohort
from dgccl.errors import CohortError, DgcclError
from dgccl.ingest import IngestSettings, ingest
from dgccl.lesion import BoxSettings
from dgccl.nifti import write_nifti
from dgccl.phantom.dicom import write_phantom
from dgccl.volume import Volume, box_grid

CENTER = np.array([5.0, -8.0, 12.0])
SMALL = IngestSettings(box=BoxSettings(32.0, 1.0, 4.0))


def ball(spacing_mm: float, inside: float, outside: float, *, radius_mm: float = 8.0) -> Volume:
    grid = box_grid(CENTER, box_mm=48.0, spacing_mm=spacing_mm)
    index = np.argwhere(np.ones(grid.shape, bool)).astype(float)
    near = np.linalg.norm(grid.to_patient(index) - CENTER, axis=1).reshape(grid.shape) <= radius_mm
    return Volume(np.where(near, inside, outside).astype(np.float32), grid.affine)


def add_patient(root: Path, name: str, *, mask: Volume | None = None) -> None:
    folder = root / name
    folder.mkdir(parents=True)
    write_nifti(ball(1.0, 40.0, -850.0), folder / "ct.nii.gz")
    write_nifti(ball(4.0, 6.0, 0.5), folder / "pet.nii.gz")
    write_nifti(mask or ball(1.0, 1.0, 0.0), folder / "lesion.nii.gz")


@pytest.fixture
def images(tmp_path: Path) -> Path:
    root = tmp_path / "images"
    for name in ("A", "B", "C"):
        add_patient(root, name)
    return root


@pytest.fixture
def labels(tmp_path: Path) -> Callable[[str], Path]:
    def write(text: str) -> Path:
        path = tmp_path / "labels.csv"
        path.write_text(text, encoding="utf-8")
        return path

    return write


ABC = "patient_id,label\nA,0\nB,1\nC,0\n"


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_a_cohort_has_its_table_arrays_and_manifest(images: Path, labels: Callable, tmp_path: Path) -> None:
    summary = ingest(images, tmp_path / "cohort", labels_csv=labels(ABC), settings=SMALL)
    assert (summary.lesions, summary.patients, summary.refused) == (3, 3, {})
    cohort = open_cohort(tmp_path / "cohort")
    assert tuple(cohort.lesions.columns) == LESION_COLUMNS
    assert cohort.lesions["lesion_id"].tolist() == ["A-lesion", "B-lesion", "C-lesion"]
    assert cohort.lesions["label"].tolist() == [0, 1, 0]
    row = cohort.lesions.iloc[0]
    assert row["suv_max"] == pytest.approx(6.0)
    assert row["volume_ml"] == pytest.approx(4 / 3 * np.pi * 8**3 / 1000, rel=0.03)
    assert row["diameter_mm"] == pytest.approx(16.0, abs=1.0)
    assert np.isnan(row["uptake_time_min"])
    assert row["qc"] == "no_headers"
    arrays = cohort.arrays("A-lesion")
    assert arrays.ct_hu is not None
    assert arrays.suv_bw is not None
    assert (arrays.ct_hu.shape, arrays.suv_bw.shape) == ((32, 32, 32), (8, 8, 8))
    assert arrays.ct_hu[16, 16, 16] == 40
    assert cohort.data_kind == "real"
    assert set(cohort.manifest["inputs_sha256"]) == {"A", "B", "C"}
    assert cohort.qc["status"].tolist() == ["accepted"] * 3


def test_a_second_call_keeps_what_is_done(images: Path, labels: Callable, tmp_path: Path) -> None:
    table, cohort = labels(ABC), tmp_path / "cohort"
    ingest(images, cohort, labels_csv=table, settings=SMALL)
    before = files_of(cohort)
    # What a kill before the end leaves: patients done, one not, no tables.
    (cohort / ".ingest" / "B.json").unlink()
    for name in ("lesions.csv", "qc.csv", "manifest.json"):
        (cohort / name).unlink()
    assert ingest(images, cohort, labels_csv=table, settings=SMALL).up_to_date == 2
    after = files_of(cohort)
    assert {k: v for k, v in after.items() if k != "manifest.json"} == {
        k: v for k, v in before.items() if k != "manifest.json"
    }


def test_changed_inputs_are_read_again(images: Path, labels: Callable, tmp_path: Path) -> None:
    cohort = tmp_path / "cohort"
    ingest(images, cohort, labels_csv=labels(ABC), settings=SMALL)
    summary = ingest(
        images, cohort, labels_csv=labels(ABC.replace("B,1", "B,0").replace("C,0", "C,1")), settings=SMALL
    )
    assert summary.up_to_date == 1
    assert open_cohort(cohort).lesions["label"].tolist() == [0, 0, 1]


def test_workers_change_nothing(images: Path, labels: Callable, tmp_path: Path) -> None:
    table = labels(ABC)
    for workers in (1, 2):
        ingest(images, tmp_path / str(workers), labels_csv=table, settings=SMALL, workers=workers)
    one, two = files_of(tmp_path / "1"), files_of(tmp_path / "2")
    assert {k: v for k, v in one.items() if k != "manifest.json"} == {
        k: v for k, v in two.items() if k != "manifest.json"
    }


def test_one_bad_patient_does_not_stop_the_rest(images: Path, labels: Callable, tmp_path: Path) -> None:
    holed = ball(1.0, 1.0, 0.0)
    holed.array[3, 3, 3] = np.nan
    add_patient(images, "D", mask=holed)
    (images / "E").mkdir()
    (images / "E" / "ct.nii.gz").write_bytes(b"not an image")
    write_nifti(ball(4.0, 6.0, 0.5), images / "E" / "pet.nii.gz")
    summary = ingest(images, tmp_path / "cohort", labels_csv=labels(ABC + "D,1\nE,1\n"), settings=SMALL)
    assert summary.lesions == 3
    assert summary.refused["nan_in_mask"] == 1
    qc = open_cohort(tmp_path / "cohort").qc.set_index("study_code")
    assert qc.loc["D", "status"] == qc.loc["E", "status"] == "refused"
    assert "unexpected_error" not in set(qc["code"])


def test_a_missing_modality_is_kept_only_when_asked(images: Path, labels: Callable, tmp_path: Path) -> None:
    (images / "C" / "pet.nii.gz").unlink()
    table = labels(ABC)
    assert ingest(images, tmp_path / "strict", labels_csv=table, settings=SMALL).refused == {"no_pet": 1}
    lenient = IngestSettings(box=SMALL.box, allow_missing_modality=True)
    ingest(images, tmp_path / "lenient", labels_csv=table, settings=lenient)
    cohort = open_cohort(tmp_path / "lenient")
    assert cohort.lesions["has_pet"].tolist() == [True, True, False]
    assert cohort.arrays("C-lesion").suv_bw is None
    assert np.isnan(cohort.lesions["suv_max"].iloc[2])


def test_points_stand_in_for_outlines(images: Path, labels: Callable, tmp_path: Path) -> None:
    for name in ("A", "B", "C"):
        (images / name / "lesion.nii.gz").unlink()
    points = tmp_path / "points.csv"
    rows = "".join(f"{name},5,-8,12,16,nodule\n" for name in ("A", "B", "C"))
    points.write_text(f"patient_id,x_mm,y_mm,z_mm,diameter_mm,lesion\n{rows}")
    ingest(images, tmp_path / "cohort", labels_csv=labels(ABC), points_csv=points, settings=SMALL)
    lesions = open_cohort(tmp_path / "cohort").lesions
    assert lesions["lesion_id"].tolist() == ["A-nodule", "B-nodule", "C-nodule"]
    assert lesions["diameter_mm"].to_numpy() == pytest.approx(16.0, abs=1.0)


def test_labels_without_images_stop_the_run(images: Path, labels: Callable, tmp_path: Path) -> None:
    table = labels(ABC + "Z,1\n")
    with pytest.raises(CohortError) as caught:
        ingest(images, tmp_path / "cohort", labels_csv=table, settings=SMALL)
    assert caught.value.code == "labels_without_images"
    assert "Z" in str(caught.value)
    assert not (tmp_path / "cohort" / "lesions.csv").exists()
    ingest(images, tmp_path / "cohort", labels_csv=table, settings=SMALL, skip_absent_patients=True)
    qc = open_cohort(tmp_path / "cohort").qc.set_index("study_code")
    assert qc.loc["Z", "code"] == "no_images"


def test_images_without_label_are_told_without_their_identity(
    images: Path, labels: Callable, tmp_path: Path
) -> None:
    add_patient(images, "MUELLER-4711")
    ingest(images, tmp_path / "cohort", labels_csv=labels(ABC), settings=SMALL)
    qc = open_cohort(tmp_path / "cohort").qc
    assert qc.loc[qc["code"] == "no_label", "study_code"].tolist() == ["unlisted-1"]
    assert not [
        name
        for name, data in files_of(tmp_path / "cohort").items()
        if b"MUELLER" in data or "MUELLER" in name
    ]


def test_only_the_study_code_leaves(images: Path, labels: Callable, tmp_path: Path) -> None:
    (images / "A").rename(images / "12345-Smith")
    table = labels("patient_id,label,study_code\n12345-Smith,0,S1\nB,1,S2\nC,0,S3\n")
    ingest(images, tmp_path / "cohort", labels_csv=table, settings=SMALL)
    for name, data in files_of(tmp_path / "cohort").items():
        assert b"Smith" not in data
        assert b"12345" not in data or name.endswith(".safetensors")
        assert "Smith" not in name
    assert open_cohort(tmp_path / "cohort").lesions["patient_id"].tolist() == ["S1", "S2", "S3"]


def test_folders_that_are_not_ours_or_differ_are_left_alone(
    images: Path, labels: Callable, tmp_path: Path
) -> None:
    table, cohort = labels(ABC), tmp_path / "cohort"
    ingest(images, cohort, labels_csv=table, settings=SMALL)
    before = files_of(cohort)
    with pytest.raises(CohortError) as caught:
        ingest(images, cohort, labels_csv=table, settings=IngestSettings(box=BoxSettings(48.0, 1.0, 4.0)))
    assert caught.value.code == "cohort_dir_mismatch"
    assert files_of(cohort) == before
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "thesis.txt").write_text("mine")
    with pytest.raises(CohortError) as caught:
        ingest(images, foreign, labels_csv=table, settings=SMALL)
    assert caught.value.code == "cohort_dir_not_empty"
    assert files_of(foreign) == {"thesis.txt": b"mine"}


def test_a_folder_without_images_is_refused(labels: Callable, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    (empty / "notes.txt").write_text("nothing here")
    with pytest.raises(CohortError) as caught:
        ingest(empty, tmp_path / "cohort", labels_csv=labels(ABC), settings=SMALL)
    assert caught.value.code == "no_images"


def test_if_nobody_can_be_ingested_the_reasons_are_told(
    images: Path, labels: Callable, tmp_path: Path
) -> None:
    for name in ("A", "B", "C"):
        (images / name / "pet.nii.gz").unlink()
    with pytest.raises(CohortError) as caught:
        ingest(images, tmp_path / "cohort", labels_csv=labels(ABC), settings=SMALL)
    assert caught.value.code == "nothing_ingested"
    assert "no_pet (3)" in str(caught.value)
    assert len(pd.read_csv(tmp_path / "cohort" / "qc.csv")) == 3
    assert not (tmp_path / "cohort" / "manifest.json").exists()


def test_changed_arrays_are_noticed(images: Path, labels: Callable, tmp_path: Path) -> None:
    ingest(images, tmp_path / "cohort", labels_csv=labels(ABC), settings=SMALL)
    path = tmp_path / "cohort" / "arrays" / "B-lesion.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))
    cohort = open_cohort(tmp_path / "cohort")
    with pytest.raises(CohortError) as caught:
        cohort.arrays("B-lesion")
    assert caught.value.code == "array_changed"
    with pytest.raises(CohortError) as caught:
        cohort.arrays("X-lesion")
    assert caught.value.code == "unknown_lesion"


@pytest.mark.real
def test_real_patients_are_ingested(real_data: Path, tmp_path: Path) -> None:
    """Two outlines of one lesion, drawn on CT and on PET, in DICOM as it came from the archive."""
    source = tmp_path / "dicom"
    source.mkdir()
    for name in ("STS_002", "STS_014"):
        (source / name).symlink_to(real_data / "sts" / name)
    labels_csv = tmp_path / "labels.csv"
    labels_csv.write_text("patient_id,lung_metastasis\nSTS_002,0\nSTS_014,1\n")
    ingest(source, tmp_path / "cohort", labels_csv=labels_csv)
    cohort = open_cohort(tmp_path / "cohort")
    assert cohort.lesions["lesion_id"].tolist() == ["STS_002-GTV_Mass", "STS_014-GTV_Mass"]
    assert (cohort.lesions["suv_max"] > cohort.lesions["suv_peak"]).all()
    assert cohort.lesions["uptake_time_min"].between(45, 180).all()
    record = json.loads((tmp_path / "cohort" / ".ingest" / "STS_002.json").read_text())
    assert [d["code"] for d in record["decisions"]] == ["selected", "selected", "ok"]


def test_outlines_named_after_the_patient_lose_the_name(
    images: Path, labels: Callable, tmp_path: Path
) -> None:
    (images / "A").rename(images / "Smith_John 4711")
    folder = images / "Smith_John 4711"
    (folder / "lesion.nii.gz").rename(folder / "smith-left.nii.gz")
    write_nifti(ball(1.0, 1.0, 0.0), folder / "4711 right.nii.gz")
    table = "patient_id,lesion,label,study_code\nB,,1,S2\nC,,0,S3\n"
    table += "Smith_John 4711,Smith left,1,S1\nSmith_John 4711,4711_right,0,S1\n"
    ingest(images, tmp_path / "cohort", labels_csv=labels(table), settings=SMALL)
    for name, data in files_of(tmp_path / "cohort").items():
        told = (name + ("" if name.endswith(".safetensors") else data.decode())).lower()
        assert not [word for word in ("smith", "4711") if word in told], name
    lesions = open_cohort(tmp_path / "cohort").lesions.set_index("lesion_id")["label"]
    assert lesions[lesions.index.str.startswith("S1")].to_dict() == {
        "S1-redacted_left": 1,
        "S1-redacted_right": 0,
    }
    assert ingest(images, tmp_path / "cohort", labels_csv=labels(table), settings=SMALL).up_to_date == 3


@pytest.mark.parametrize(
    ("settings", "code"),
    [
        (IngestSettings(box=BoxSettings(5.0, 1.0, 9.0)), "box_not_multiple_of_spacing"),
        (IngestSettings(box=SMALL.box, roi_pattern="GTV["), "bad_roi_pattern"),
    ],
)
def test_settings_are_refused_before_any_image_is_read(
    labels: Callable, tmp_path: Path, settings: IngestSettings, code: str
) -> None:
    with pytest.raises(DgcclError) as caught:
        ingest(tmp_path / "absent", tmp_path / "cohort", labels_csv=labels(ABC), settings=settings)
    assert caught.value.code == code


def test_a_call_that_fails_before_work_leaves_no_folder(
    images: Path, labels: Callable, tmp_path: Path
) -> None:
    with pytest.raises(CohortError):
        ingest(images, tmp_path / "cohort", labels_csv=labels(ABC + "Z,1\n"), settings=SMALL)
    assert not (tmp_path / "cohort").exists()


def test_a_call_that_brings_nothing_leaves_earlier_tables(
    images: Path, labels: Callable, tmp_path: Path
) -> None:
    table, cohort = labels(ABC), tmp_path / "cohort"
    ingest(images, cohort, labels_csv=table, settings=SMALL)
    before = {name: data for name, data in files_of(cohort).items() if not name.startswith(".ingest")}
    for name in ("A", "B", "C"):
        (images / name / "pet.nii.gz").write_bytes(b"damaged")
    with pytest.raises(CohortError) as caught:
        ingest(images, cohort, labels_csv=table, settings=SMALL)
    assert caught.value.code == "nothing_ingested"
    assert "First: A: pet.nii.gz" in str(caught.value)
    assert "qc_failed.csv" in str(caught.value)
    after = files_of(cohort)
    assert {name: after[name] for name in before} == before
    assert open_cohort(cohort).lesions["lesion_id"].tolist() == ["A-lesion", "B-lesion", "C-lesion"]


def test_a_file_that_vanishes_costs_its_patient_only(
    images: Path, labels: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Path.read_bytes

    def fails_for_b(path: Path) -> bytes:
        if path.parent.name == "B" and path.name == "ct.nii.gz":
            raise OSError(5, "Input/output error", str(path))
        return whole(path)

    monkeypatch.setattr(Path, "read_bytes", fails_for_b)
    summary = ingest(images, tmp_path / "cohort", labels_csv=labels(ABC), settings=SMALL)
    assert (summary.lesions, summary.refused) == (2, {"unreadable_file": 1})


def test_an_outline_of_a_series_that_is_gone_is_told_from_no_outline(
    labels: Callable, tmp_path: Path
) -> None:
    write_phantom(tmp_path / "dicom", patients=1, seed=3)
    shutil.rmtree(tmp_path / "dicom" / "PHANTOM-0001" / "CT")
    table = labels("patient_id,label\nPHANTOM-0001,0\n")
    lenient = IngestSettings(box=SMALL.box, allow_missing_modality=True)
    with pytest.raises(CohortError) as caught:
        ingest(tmp_path / "dicom", tmp_path / "cohort", labels_csv=table, settings=lenient)
    assert "outline_of_another_image (1)" in str(caught.value)


def test_the_summary_names_each_refused_patient_and_counts_files(
    images: Path, labels: Callable, tmp_path: Path
) -> None:
    (images / "B" / "pet.nii.gz").unlink()
    (images / "note.dcm").write_text("this is no image")
    summary = ingest(images, tmp_path / "cohort", labels_csv=labels(ABC), settings=SMALL)
    (refusal,) = summary.refusals
    assert (refusal.study_code, refusal.code) == ("B", "no_pet")
    assert "--allow-missing-modality" in refusal.message
    assert summary.rejected_files == {"not_dicom": 1}
