"""Outlines of one lesion on CT and on PET: figures against closed forms, the flag, and what ingestion tells."""

import json
from pathlib import Path

import numpy as np
import pytest

from dgccl.cohort import open_cohort
from dgccl.ingest import IngestSettings, ingest
from dgccl.lesion import BoxSettings, crop_lesion, group_lesions
from dgccl.nifti import write_nifti
from dgccl.outlines import outline_agreement
from dgccl.roi import Roi, sphere_mask
from dgccl.study import Study
from dgccl.volume import Volume, box_grid

CENTER = np.array([10.0, -20.0, 30.0])
CT_GRID = box_grid(CENTER, box_mm=80.0, spacing_mm=1.0)
PET_GRID = box_grid(CENTER + 1.3, box_mm=120.0, spacing_mm=4.0)


def on_ct(diameter_mm: float, *, off: float = 0.0) -> Roi:
    center = CENTER + np.array([0.0, 0.0, off])
    return Roi("L_CT", sphere_mask(center, diameter_mm, CT_GRID), "ct")


def on_pet(diameter_mm: float, *, off: float = 0.0) -> Roi:
    center = CENTER + np.array([0.0, 0.0, off])
    return Roi("L_PET", sphere_mask(center, diameter_mm, PET_GRID), "pet")


@pytest.mark.parametrize("off", [0.0, 4.0, 9.0])
def test_balls_of_one_size_share_what_geometry_says(off: float) -> None:
    """Two balls of radius r at distance d share (1 - 3d/4r + d^3/16r^3) of their volume, which is their Dice."""
    radius = 12.0
    found = outline_agreement(on_ct(2 * radius), Roi("P", on_ct(2 * radius, off=off).mask, "pet"))
    assert found.distance_mm == pytest.approx(off, abs=0.05)
    assert found.dice == pytest.approx(1 - 0.75 * off / radius + (off / radius) ** 3 / 16, abs=0.01)


def test_the_same_ball_on_both_grids_agrees() -> None:
    found = outline_agreement(on_ct(30.0), on_pet(30.0))
    assert found.dice > 0.85
    assert found.distance_mm < 1.0
    assert not found.disagrees


@pytest.mark.parametrize(
    ("diameter_mm", "off", "disagrees"),
    [(40.0, 6.0, False), (40.0, 10.0, True), (10.0, 6.0, True), (12.0, 200.0, True)],
    ids=["near", "centers far", "half not shared", "apart"],
)
def test_what_is_flagged(diameter_mm: float, off: float, disagrees: bool) -> None:
    first = on_ct(diameter_mm)
    moved = first.mask.affine.copy()
    moved[2, 3] += off
    second = Roi("L_PET", Volume(first.mask.array, moved), "pet")
    assert outline_agreement(first, second).disagrees is disagrees


def test_a_lesion_is_flagged_where_both_outlines_are_drawn() -> None:
    def codes(*rois: Roi) -> tuple[str, ...]:
        study = Study("P", Volume(np.full(CT_GRID.shape, -850.0, np.float32), CT_GRID.affine), None, rois)
        return crop_lesion(study, group_lesions(rois)[0], BoxSettings())[1]

    assert "outlines_disagree" in codes(on_ct(16.0), on_pet(16.0, off=12.0))
    assert "outlines_disagree" not in codes(on_ct(16.0), on_pet(16.0))
    assert "outlines_disagree" not in codes(on_ct(16.0))


def test_ingestion_tells_how_far_apart_they_are(tmp_path: Path) -> None:
    folder = tmp_path / "images" / "A"
    folder.mkdir(parents=True)
    for grid, stem in ((CT_GRID, "ct"), (PET_GRID, "pet")):
        write_nifti(Volume(np.ones(grid.shape, np.float32), grid.affine), folder / f"{stem}.nii.gz")
    for grid, stem, off in ((CT_GRID, "mass_ct", 0.0), (PET_GRID, "mass_pet", 14.0)):
        index = np.argwhere(np.ones(grid.shape, bool)).astype(float)
        away = np.linalg.norm(grid.to_patient(index) - CENTER - np.array([0, 0, off]), axis=1)
        write_nifti(
            Volume((away <= 9).reshape(grid.shape).astype(np.float32), grid.affine), folder / f"{stem}.nii.gz"
        )
    (tmp_path / "labels.csv").write_text("patient_id,label\nA,1\n")
    settings = IngestSettings(box=BoxSettings(32.0, 1.0, 4.0))
    ingest(tmp_path / "images", tmp_path / "cohort", labels_csv=tmp_path / "labels.csv", settings=settings)
    cohort = open_cohort(tmp_path / "cohort")
    assert "outlines_disagree" in cohort.lesions["qc"].iloc[0].split(";")
    [told] = cohort.qc.loc[cohort.qc["code"] == "outlines_disagree"].to_dict("records")
    assert (told["study_code"], told["status"]) == ("A", "kept")
    assert "13.6 mm apart, Dice 0.10 on the CT grid" in told["message"]
    record = json.loads((tmp_path / "cohort" / ".ingest" / "A.json").read_text())
    assert record["registration"] is None
