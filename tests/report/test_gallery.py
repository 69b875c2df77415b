import base64
import io
from typing import Any

import matplotlib.image
import numpy as np
import pytest

from dgccl.cohort import LesionArrays
from dgccl.report.gallery import Picture, build_gallery, central_index, draw_pictures
from dgccl.report.run_files import read_run
from dgccl.report.style import class_styles


def pixels(picture: Picture) -> np.ndarray:
    data = base64.b64decode(picture.uri.removeprefix("data:image/png;base64,"))
    return matplotlib.image.imread(io.BytesIO(data), format="png")[..., :3]


def make_arrays(*, ct: float = -800.0, with_ct: bool = True, with_pet: bool = True) -> LesionArrays:
    hu = np.full((16, 16, 16), ct, np.int16)
    mask = np.zeros((16, 16, 16), bool)
    mask[10, 2:6, 9:13] = True  # above the middle, to the front (small y), to the patient's left (large x)
    hu[mask] = 3000
    suv = np.zeros((4, 4, 4), np.float32)
    suv[2, 0, 3] = 12.0  # the same place: slice 2 of 4 holds slices 8 to 11 of 16
    return LesionArrays(
        hu if with_ct else None,
        mask if with_ct else None,
        suv if with_pet else None,
        suv > 1 if with_pet else None,
    )


def test_front_is_up_and_the_patients_left_is_right() -> None:
    ct, pet, _ = draw_pictures(make_arrays(), box_mm=64.0, name="L1")
    bright = pixels(ct).min(axis=2) > 0.95
    row, column = np.argwhere(bright).mean(axis=0) / len(bright)
    assert row == pytest.approx(4 / 16, abs=0.02)
    assert column == pytest.approx(11 / 16, abs=0.02)
    uptake = pixels(pet).mean(axis=2)  # inverse gray: hot is black
    row, column = np.unravel_index(uptake.argmin(), uptake.shape)
    assert row < len(uptake) / 4
    assert column > 3 * len(uptake) / 4


def test_window_follows_the_tissue() -> None:
    lung, soft = (draw_pictures(make_arrays(ct=hu), box_mm=64.0, name="L1")[0] for hu in (-800.0, 40.0))
    assert lung.scale == "−1350 to 150 HU"
    assert soft.scale == "−160 to 240 HU"
    assert pixels(lung)[-1, 0, 0] == pytest.approx((-800 + 1350) / 1500, abs=0.01)
    assert pixels(soft)[-1, 0, 0] == pytest.approx(200 / 400, abs=0.01)


def test_suv_scale_holds_the_hottest_voxel_and_never_makes_cold_look_hot() -> None:
    hot = make_arrays()
    assert hot.suv_bw is not None
    assert draw_pictures(hot, box_mm=64.0, name="L1")[1].scale == "SUVbw 0 to 12 g/mL"
    cold = LesionArrays(hot.ct_hu, hot.mask_ct, hot.suv_bw / np.float32(10.0), hot.mask_pet)
    assert draw_pictures(cold, box_mm=64.0, name="L1")[1].scale == "SUVbw 0 to 5 g/mL"


@pytest.mark.parametrize(
    ("with_ct", "with_pet", "statements"),
    [(True, False, ["", "PET not available", "PET not available"]),
     (False, True, ["CT not available", "", "CT not available"]),
     (False, False, ["CT not available", "PET not available", "CT and PET not available"])],
)  # fmt: skip
def test_what_was_not_acquired_is_said(with_ct: bool, with_pet: bool, statements: list[str]) -> None:
    pictures = draw_pictures(make_arrays(with_ct=with_ct, with_pet=with_pet), box_mm=64.0, name="L1")
    assert ["" if picture.uri else picture.alt for picture in pictures] == statements


def test_central_index() -> None:
    mask = np.zeros((9, 4, 4), bool)
    assert central_index(None, 9) == 4
    assert central_index(mask, 9) == 4
    mask[2, :2, :2] = mask[5, :2, :2] = True
    assert central_index(mask, 9) == 5
    mask[2, 3, 3] = True
    assert central_index(mask, 9) == 2


def test_groups_are_the_extremes_of_right_and_wrong(made: Any) -> None:
    run = read_run(made.folder)
    rows = run.test_rows("dgccl")
    thresholds = run.results["models"]["dgccl"]["threshold_by_fold"]
    groups = build_gallery(
        made.cohort,
        rows,
        thresholds,
        modalities=["ct", "pet"],
        classes=class_styles(run.class_names),
        per_group=2,
    )
    called = rows["y_score"] >= np.array(thresholds)[rows["fold"]]
    expected = [
        rows.loc[(rows["y_true"] == 1) & called].nlargest(2, "y_score"),
        rows.loc[(rows["y_true"] == 0) & ~called].nsmallest(2, "y_score"),
        rows.loc[(rows["y_true"] == 1) & ~called].nsmallest(2, "y_score"),
        rows.loc[(rows["y_true"] == 0) & called].nlargest(2, "y_score"),
    ]
    assert [[case.lesion_id for case in group.cases] for group in groups] == [
        list(t["lesion_id"]) for t in expected
    ]
    assert all(bool(group.empty) == (not group.cases) for group in groups)
