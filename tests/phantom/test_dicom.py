import json
from pathlib import Path

import numpy as np
import pandas as pd
import pydicom
import pytest

from dgccl.dicom.suv import suv_factors
from dgccl.errors import CohortError
from dgccl.phantom import dicom as phantom_dicom
from dgccl.phantom.dicom import ROI_NAME, draw_patient, sample_cohort, write_phantom
from dgccl.phantom.law import VIEWS, LesionLaw, log_likelihood_ratio
from dgccl.phantom.outline import outline_contours, outline_mask, reader_outline

PATIENTS, SEED = 2, 11


@pytest.fixture(scope="module")
def phantom(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_phantom(tmp_path_factory.mktemp("phantom") / "out", patients=PATIENTS, seed=SEED, workers=1)


def _bytes(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def _series(folder: Path) -> list[pydicom.Dataset]:
    headers = [pydicom.dcmread(path) for path in folder.glob("*.dcm")]
    return sorted(headers, key=lambda h: float(h.ImagePositionPatient[2]))


def test_folder_holds_what_a_hospital_delivers(phantom: Path) -> None:
    labels = pd.read_csv(phantom / "labels.csv")
    assert list(labels["patient_id"]) == ["PHANTOM-0001", "PHANTOM-0002"]
    assert set(labels["label"]) <= {0, 1}
    assert set(labels["lesion"]) == {ROI_NAME}
    for name in labels["patient_id"]:
        assert len(list((phantom / name / "CT").glob("*.dcm"))) > 70
        assert len(list((phantom / name / "PET").glob("*.dcm"))) == 40
        assert len(list((phantom / name).rglob("outline.dcm"))) == 1
    mark = json.loads((phantom / "phantom.json").read_text())
    assert mark["data_kind"] == "phantom"
    assert mark["seed"] == SEED


def test_truth_holds_the_ideal_observer(phantom: Path) -> None:
    truth = pd.read_csv(phantom / "truth.csv")
    for view in VIEWS:
        np.testing.assert_allclose(truth[f"llr_{view}"], log_likelihood_ratio(truth, view), rtol=1e-9)
    np.testing.assert_array_equal(truth["label"], pd.read_csv(phantom / "labels.csv")["label"])


def test_files_hold_what_is_drawn_in_memory(phantom: Path) -> None:
    rows = sample_cohort(PATIENTS, SEED).to_dict("records")
    for index, row in enumerate(rows):
        drawn, _, _ = draw_patient(row, SEED, index)
        ct = _series(phantom / row["patient_id"] / "CT")
        hu = np.stack([h.pixel_array * float(h.RescaleSlope) + float(h.RescaleIntercept) for h in ct])
        np.testing.assert_array_equal(hu, np.rint(drawn.ct.array))
        pet = _series(phantom / row["patient_id"] / "PET")
        factor = suv_factors(pet).suv_bw_factor
        suv = np.stack([h.pixel_array * float(h.RescaleSlope) for h in pet]) * factor
        np.testing.assert_allclose(suv, drawn.pet.array, atol=drawn.pet.array.max() / 32767)
        assert ct[0].FrameOfReferenceUID == pet[0].FrameOfReferenceUID
        assert float(ct[0].SliceThickness) <= 1.0


def test_workers_and_repeats_change_no_byte(
    phantom: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(phantom_dicom, "MIN_JOBS_A_WORKER", 1)
    steps: list[tuple[str, int, int]] = []
    again = write_phantom(
        tmp_path / "out", patients=PATIENTS, seed=SEED, workers=2, progress=lambda *step: steps.append(step)
    )
    assert _bytes(again) == _bytes(phantom)
    assert steps == [("phantom", 1, 2), ("phantom", 2, 2)]


def test_complete_phantom_is_kept_and_damaged_one_mended(tmp_path: Path) -> None:
    steps: list[int] = []

    def write() -> None:
        write_phantom(
            tmp_path, patients=1, seed=2, workers=1, progress=lambda _, done, __: steps.append(done)
        )

    write()
    before = _bytes(tmp_path)
    write()
    assert steps == [1]
    (tmp_path / "PHANTOM-0001" / "CT" / "00005.dcm").unlink()
    write()
    assert steps == [1, 1]
    assert _bytes(tmp_path) == before


def test_other_files_and_other_settings_are_left_alone(tmp_path: Path) -> None:
    precious = tmp_path / "thesis.txt"
    precious.write_text("do not touch")
    with pytest.raises(CohortError) as no_phantom:
        write_phantom(tmp_path, patients=1, seed=0, workers=1)
    assert no_phantom.value.code == "phantom_folder_not_empty"
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.txt"]
    out = write_phantom(tmp_path / "a", patients=1, seed=0, workers=1)
    before = _bytes(out)
    for changed in ({"seed": 1}, {"patients": 3}, {"law": LesionLaw(prevalence=0.3)}):
        with pytest.raises(CohortError, match="other settings"):
            write_phantom(out, **({"patients": 1, "seed": 0, "workers": 1} | changed))
    assert _bytes(out) == before


def test_no_patients_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CohortError, match="at least 1"):
        write_phantom(tmp_path / "out", patients=0, seed=0)
    assert not (tmp_path / "out").exists()


def test_reader_outlines_lie_near_the_truth() -> None:
    row = sample_cohort(5, 3).to_dict("records")[2] | {"diameter_mm": 18.0}
    drawn, center, rng = draw_patient(row, 3, 2)
    truth = drawn.lesion.array
    overlaps = []
    for _ in range(6):
        mask = outline_mask(reader_outline(drawn.anatomy, rng), drawn.ct.grid, center)
        overlaps.append(2 * (mask & truth).sum() / (mask.sum() + truth.sum()))
    assert min(overlaps) > 0.8
    assert max(overlaps) < 0.999  # readers differ


def test_contours_enclose_the_mask() -> None:
    row = sample_cohort(5, 3).to_dict("records")[1] | {"diameter_mm": 20.0}
    drawn, center, rng = draw_patient(row, 3, 1)
    outline = reader_outline(drawn.anatomy, rng)
    mask = outline_mask(outline, drawn.ct.grid, center)
    contours = outline_contours(outline, drawn.ct.grid, center)
    dz = drawn.ct.grid.spacing_mm[0]
    # Shoelace formula, contour by contour.
    area = 0.0
    for points in contours:
        assert np.ptp(points[:, 2]) == 0.0
        x, y = points[:, 0], points[:, 1]
        area += abs((x * np.roll(y, -1) - y * np.roll(x, -1)).sum()) / 2
    assert area * dz / 1000 == pytest.approx(mask.sum() * drawn.ct.grid.voxel_ml, rel=0.04)
