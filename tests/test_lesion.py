"""Lesions: outlines that belong together, measures against closed forms, one box for both modalities."""

import numpy as np
import pytest

from dgccl.errors import RoiError
from dgccl.lesion import SUV_PEAK_RADIUS_MM, BoxSettings, crop_lesion, group_lesions, lesion_name, measure
from dgccl.roi import Roi, sphere_mask
from dgccl.study import PetImage, Study
from dgccl.volume import Volume, box_grid

CENTER = np.array([10.0, -20.0, 30.0])
CT_GRID = box_grid(CENTER, box_mm=100.0, spacing_mm=1.0)
PET_GRID = box_grid(CENTER + 1.3, box_mm=160.0, spacing_mm=4.0)


def distance_from_center(grid) -> np.ndarray:
    index = np.argwhere(np.ones(grid.shape, bool)).astype(float)
    return np.linalg.norm(grid.to_patient(index) - CENTER, axis=1).reshape(grid.shape)


def roi(name: str, diameter_mm: float, drawn_on: str | None) -> Roi:
    grid = PET_GRID if drawn_on == "pet" else CT_GRID
    return Roi(name, sphere_mask(CENTER, diameter_mm, grid), drawn_on)  # type: ignore[arg-type]


@pytest.fixture
def pet() -> PetImage:
    """Uptake 8 at the center that falls by 0.1 g/mL a millimeter."""
    values = np.maximum(8.0 - 0.1 * distance_from_center(PET_GRID), 0.0)
    return PetImage(Volume(values.astype(np.float32), PET_GRID.affine))


def test_outlines_of_both_modalities_are_one_lesion() -> None:
    lesions = group_lesions(
        [roi("GTV_Mass_CT", 20.0, "ct"), roi("GTV_Mass_PET", 22.0, "pet"), roi("node", 9.0, None)]
    )
    assert [lesion.name for lesion in lesions] == ["GTV_Mass", "node"]
    assert lesions[0].outline("pet").name == "GTV_Mass_PET"
    assert lesions[1].outline("pet").name == "node"


def test_names_are_fit_for_files() -> None:
    assert lesion_name("Lésion 1 / PT (old)") == "L_sion_1_old"
    assert lesion_name("CT") == "lesion"


@pytest.mark.parametrize(
    ("rois", "pattern", "code"),
    [
        ([], "", "no_outline"),
        ([("Body", "ct")], "lesion|gtv", "no_outline"),
        ([("GTV_CT", "ct"), ("GTV", "ct")], "", "duplicate_lesion_id"),
    ],
)
def test_outlines_that_are_no_lesions_are_refused(rois: list, pattern: str, code: str) -> None:
    with pytest.raises(RoiError) as caught:
        group_lesions([roi(name, 10.0, drawn_on) for name, drawn_on in rois], pattern=pattern)
    assert caught.value.code == code


@pytest.mark.parametrize("drawn_on", ["pet", "ct"])
def test_uptake_is_measured_on_the_grid_of_the_pet(pet: PetImage, drawn_on: str) -> None:
    lesion = group_lesions([roi("L", 40.0, drawn_on)])[0]
    found = measure(lesion, pet)
    near = distance_from_center(PET_GRID)
    assert found.suv_max == pytest.approx(float(pet.suv_bw.array[near <= 20].max()), rel=1e-5)
    # Mean of 8 - 0.1 r over a ball: 8 - 0.075 R.
    assert found.suv_peak == pytest.approx(8.0 - 0.075 * SUV_PEAK_RADIUS_MM, abs=0.06)
    volume_ml = np.pi / 6 * 40.0**3 / 1000.0
    assert found.mtv_ml == pytest.approx(volume_ml, rel=0.08)
    assert found.tlg == pytest.approx(volume_ml * (8.0 - 0.075 * 20.0), rel=0.08)
    assert found.diameter_mm == pytest.approx(40.0, abs=3.0)


def test_mtv_leaves_out_what_is_below_41_percent() -> None:
    hot = np.where(distance_from_center(PET_GRID) < 10, 10.0, 4.0).astype(np.float32)
    found = measure(group_lesions([roi("L", 40.0, "pet")])[0], PetImage(Volume(hot, PET_GRID.affine)))
    assert found.mtv_ml == pytest.approx((hot == 10).sum() * 0.064)
    assert found.tlg == pytest.approx(found.mtv_ml * 10.0)


def test_a_lesion_smaller_than_a_pet_voxel_still_has_uptake(pet: PetImage) -> None:
    found = measure(group_lesions([roi("L", 2.0, "ct")])[0], pet)
    assert found.suv_max > 7.0
    assert found.mtv_ml == pytest.approx(0.064)


def test_without_pet_uptake_is_unknown() -> None:
    found = measure(group_lesions([roi("L", 12.0, "ct")])[0], None)
    assert np.isnan(found.suv_max)
    assert found.volume_ml == pytest.approx(np.pi / 6 * 12**3 / 1000, rel=0.03)


def test_both_modalities_come_out_in_one_box(pet: PetImage) -> None:
    ct = Volume(np.where(distance_from_center(CT_GRID) < 10, 40.0, -850.0).astype(np.float32), CT_GRID.affine)
    study = Study("P", ct, pet, (roi("L", 20.0, "ct"),))
    lesion = group_lesions(study.rois)[0]
    arrays, warnings = crop_lesion(study, lesion, BoxSettings())
    assert warnings == ()
    assert arrays.ct_hu is not None
    assert arrays.suv_bw is not None
    assert arrays.mask_ct is not None
    assert arrays.mask_pet is not None
    assert arrays.ct_hu.shape == (64, 64, 64)
    assert arrays.suv_bw.shape == (16, 16, 16)
    assert ((arrays.ct_hu > -400) == arrays.mask_ct).mean() > 0.999
    assert arrays.mask_pet.sum() * 0.064 == pytest.approx(arrays.mask_ct.sum() * 0.001, rel=0.2)

    assert {int(i) for i in np.unravel_index(arrays.suv_bw.argmax(), (16, 16, 16))} <= {7, 8}


def test_what_lies_outside_is_air_and_is_told(pet: PetImage) -> None:
    part = Volume(np.full((20, 100, 100), -850.0, np.float32), CT_GRID.affine)
    study = Study("P", part, pet, ())
    near_edge = Roi("L", sphere_mask(CENTER - np.array([0, 0, 45.0]), 6.0, CT_GRID), "ct")
    arrays, warnings = crop_lesion(study, group_lesions([near_edge])[0], BoxSettings())
    assert "box_leaves_ct" in warnings
    assert arrays.ct_hu is not None
    assert arrays.ct_hu.min() == -1000
    big = group_lesions([roi("L", 90.0, "ct")])[0]
    assert "lesion_exceeds_box" in crop_lesion(study, big, BoxSettings())[1]


def test_a_missing_modality_has_no_arrays(pet: PetImage) -> None:
    study = Study("P", None, pet, ())
    arrays, _ = crop_lesion(study, group_lesions([roi("L", 20.0, "pet")])[0], BoxSettings())
    assert arrays.ct_hu is None
    assert arrays.mask_ct is None
    assert arrays.suv_bw is not None


def test_names_that_differ_in_letter_case_only_are_one() -> None:
    (lesion,) = group_lesions([roi("Mass CT", 10.0, "ct"), roi("mass_pet", 10.0, "pet")])
    assert (lesion.name, lesion.on_pet is None) == ("Mass", False)
    with pytest.raises(RoiError) as caught:
        group_lesions([roi("Mass", 10.0, "ct"), roi("MASS", 10.0, "ct")])
    assert caught.value.code == "duplicate_lesion_id"


def test_a_lesion_that_is_tall_but_narrow_exceeds_the_box_too(pet: PetImage) -> None:
    tall = sphere_mask(CENTER, 80.0, CT_GRID)
    tall.array[:, :38] = False
    tall.array[:, 42:] = False
    tall.array[:, :, :38] = False
    tall.array[:, :, 42:] = False
    lesion = group_lesions([Roi("L", tall, "ct")])[0]
    assert measure(lesion, pet).diameter_mm < 10
    assert "lesion_exceeds_box" in crop_lesion(Study("P", None, pet, ()), lesion, BoxSettings())[1]


@pytest.mark.parametrize(("value", "warned"), [(-3.0, True), (0.0, True), (2.0, False), (1e30, True)])
def test_implausible_uptake_is_told(value: float, warned: bool) -> None:
    image = PetImage(Volume(np.full(PET_GRID.shape, value, np.float32), PET_GRID.affine))
    lesion = group_lesions([roi("L", 20.0, "ct")])[0]
    _, warnings = crop_lesion(Study("P", None, image, ()), lesion, BoxSettings())
    assert ("suv_implausible" in warnings) == warned
    found = measure(lesion, image)
    assert found.suv_max == pytest.approx(value)
    assert found.tlg == pytest.approx(max(value, 0.0) * found.mtv_ml, rel=1e-5)


@pytest.mark.parametrize(("value", "warned"), [(-1e9, True), (-700.0, False), (60.0, False), (1e9, True)])
def test_implausible_density_is_told(value: float, warned: bool) -> None:
    ct = Volume(np.full(CT_GRID.shape, value, np.float32), CT_GRID.affine)
    lesion = group_lesions([roi("L", 20.0, "ct")])[0]
    _, warnings = crop_lesion(Study("P", ct, None, ()), lesion, BoxSettings())
    assert ("hu_implausible" in warnings) == warned
