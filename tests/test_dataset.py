"""Planes hold what lies at their points: against SciPy's interpolation, for any pose; cohorts that do not fit."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from dgccl.augmentation import random_poses
from dgccl.config import AugmentationConfig, ImageConfig
from dgccl.dataset import LesionImages, choose_quantities, load_images, sample_planes, stack_images
from dgccl.errors import CohortError

from .tiny_cohort import BOX_MM, WITHOUT_CT, WITHOUT_PET, tiny_config, write_tiny_cohort

CT = ImageConfig(quantity="hu", window=(-1000.0, 1000.0), field_mm=48.0, input_px=32)
PET = ImageConfig(quantity="suv", window=(0.0, 10.0), field_mm=64.0, input_px=33)
CUBE = ImageConfig(quantity="hu", window=(-1000.0, 1000.0), field_mm=56.0, input_px=17, view="volume")


def images_of(ct: np.ndarray, pet: np.ndarray) -> LesionImages:
    present = torch.ones(len(ct), 2, dtype=torch.bool)
    return LesionImages({"ct": torch.from_numpy(ct), "pet": torch.from_numpy(pet)}, present, BOX_MM)


def points_by_hand(settings_: ImageConfig) -> np.ndarray:
    """(plane, row, column, xyz) of an upright lesion, written out pixel by pixel."""
    px, field = settings_.input_px, settings_.field_mm
    at = [(i + 0.5) * field / px - field / 2 for i in range(px)]
    if settings_.view == "volume":
        return np.array([[[(c, r, -d) for c in at] for r in at] for d in at])
    axial = [[(c, r, 0.0) for c in at] for r in at]
    coronal = [[(c, 0.0, -r) for c in at] for r in at]
    sagittal = [[(0.0, c, -r) for c in at] for r in at]
    return np.array([axial, coronal, sagittal])


def scipy_planes(volume: np.ndarray, settings_: ImageConfig, pose: np.ndarray) -> np.ndarray:
    points = points_by_hand(settings_) @ pose[:, :3].T + pose[:, 3]
    spacing = BOX_MM / volume.shape[0]
    index = (points[..., ::-1] + BOX_MM / 2) / spacing - 0.5  # (z, y, x), voxel centers at whole numbers
    values = ndimage.map_coordinates(
        volume.astype(np.float64), np.moveaxis(index, -1, 0), order=1, mode="nearest"
    )
    low, high = settings_.window
    values[(np.abs(points) > BOX_MM / 2).any(axis=-1)] = low
    return np.clip((values - low) / (high - low), 0.0, 1.0)


@settings(deadline=None, max_examples=15)
@given(seed=st.integers(0, 10_000), rotation_deg=st.sampled_from([0.0, 15.0, 180.0]), flip=st.booleans())
def test_planes_equal_scipy_interpolation_in_any_pose(seed: int, rotation_deg: float, flip: bool) -> None:
    rng = np.random.default_rng(seed)
    ct = rng.integers(-1500, 1500, (3, 16, 16, 16)).astype(np.int16)
    pet = rng.gamma(2.0, 3.0, (3, 8, 8, 8)).astype(np.float32)
    pose = random_poses(
        2,
        config=AugmentationConfig(rotation_deg=rotation_deg, flip=flip, translation_fraction=0.3),
        field_mm=48.0,
        generator=torch.Generator().manual_seed(seed),
    )
    planes = sample_planes(
        images_of(ct, pet), torch.tensor([2, 0]), modalities={"ct": CT, "pet": PET}, pose=pose
    )
    for index, lesion in enumerate([2, 0]):
        for name, volumes, settings_ in (("ct", ct, CT), ("pet", pet, PET)):
            expected = scipy_planes(volumes[lesion], settings_, pose[index].double().numpy())
            close = np.isclose(planes[name][index].numpy(), expected, atol=2e-3)
            # A point on the very face of the box may fall on either side in single precision.
            assert close.mean() > 0.995


def test_upright_planes_equal_scipy_interpolation() -> None:
    rng = np.random.default_rng(1)
    ct = rng.integers(-1000, 1000, (1, 16, 16, 16)).astype(np.int16)
    pet = rng.gamma(2.0, 2.0, (1, 8, 8, 8)).astype(np.float32)
    planes = sample_planes(images_of(ct, pet), torch.tensor([0]), modalities={"ct": CT, "pet": PET})
    np.testing.assert_allclose(planes["ct"][0], scipy_planes(ct[0], CT, np.eye(3, 4)), atol=1e-5)
    np.testing.assert_allclose(planes["pet"][0], scipy_planes(pet[0], PET, np.eye(3, 4)), atol=1e-5)


@settings(deadline=None, max_examples=10)
@given(seed=st.integers(0, 10_000), rotation_deg=st.sampled_from([0.0, 15.0, 180.0]), flip=st.booleans())
def test_cubes_equal_scipy_interpolation_in_any_pose(seed: int, rotation_deg: float, flip: bool) -> None:
    rng = np.random.default_rng(seed)
    ct = rng.integers(-1500, 1500, (3, 16, 16, 16)).astype(np.int16)
    pose = random_poses(
        2,
        config=AugmentationConfig(rotation_deg=rotation_deg, flip=flip, translation_fraction=0.3),
        field_mm=56.0,
        generator=torch.Generator().manual_seed(seed),
    )
    images = images_of(ct, np.zeros((3, 8, 8, 8), np.float32))
    cubes = sample_planes(images, torch.tensor([2, 0]), modalities={"ct": CUBE}, pose=pose)["ct"]
    assert cubes.shape == (2, *CUBE.input_shape)
    for index, lesion in enumerate([2, 0]):
        expected = scipy_planes(ct[lesion], CUBE, pose[index].double().numpy())
        assert np.isclose(cubes[index, 0].numpy(), expected, atol=2e-3).mean() > 0.995


def test_the_middle_slices_of_a_cube_are_the_planes() -> None:
    ct = np.random.default_rng(4).integers(-1000, 1000, (1, 16, 16, 16)).astype(np.int16)
    images, rows = images_of(ct, np.zeros((1, 8, 8, 8), np.float32)), torch.tensor([0])
    cube = sample_planes(images, rows, modalities={"ct": CUBE})["ct"][0, 0]
    flat = CUBE.model_copy(update={"view": "orthogonal"})
    axial, coronal, sagittal = sample_planes(images, rows, modalities={"ct": flat})["ct"][0]
    middle = CUBE.input_px // 2
    torch.testing.assert_close(cube[middle], axial)
    torch.testing.assert_close(cube[:, middle], coronal)
    torch.testing.assert_close(cube[:, :, middle], sagittal)


def test_planes_lie_as_a_radiologist_looks_at_them() -> None:
    z, y, x = np.meshgrid(*[np.arange(16.0)] * 3, indexing="ij")
    rising = {"head": z, "back": y, "left": x}
    for direction, ramp in rising.items():
        volume = (ramp[None] * 100 - 800).astype(np.int16)
        planes = sample_planes(
            images_of(volume, np.zeros((1, 8, 8, 8), np.float32)), torch.tensor([0]), modalities={"ct": CT}
        )["ct"][0]
        down = planes[:, -1, 6] - planes[:, 0, 6]
        right = planes[:, 6, -1] - planes[:, 6, 0]
        signs = {
            "head": ([0, -1, -1], [0, 0, 0]),
            "back": ([1, 0, 0], [0, 0, 1]),
            "left": ([0] * 3, [1, 1, 0]),
        }
        assert torch.sign(down.round(decimals=4)).tolist() == signs[direction][0], direction
        assert torch.sign(right.round(decimals=4)).tolist() == signs[direction][1], direction


def test_points_outside_the_box_show_the_low_end() -> None:
    wide = CT.model_copy(update={"field_mm": 128.0, "input_px": 32, "view": "axial"})
    full = np.full((1, 16, 16, 16), 1000, np.int16)
    plane = sample_planes(
        images_of(full, np.zeros((1, 8, 8, 8), np.float32)), torch.tensor([0]), modalities={"ct": wide}
    )["ct"][0, 0]
    assert plane[8:24, 8:24].min() == 1.0
    plane[8:24, 8:24] = 0.0
    assert plane.abs().max() == 0.0


def test_what_is_not_shown_is_not_sampled() -> None:
    rng = np.random.default_rng(3)
    images = images_of(
        rng.integers(-900, 1000, (3, 16, 16, 16)).astype(np.int16),
        1 + rng.gamma(2.0, 2.0, (3, 8, 8, 8)).astype(np.float32),
    )
    rows, modalities = torch.tensor([2, 0, 1]), {"ct": CT, "pet": PET}
    shown = torch.tensor([[True, False], [True, False], [False, False]])
    everything = sample_planes(images, rows, modalities=modalities)
    some = sample_planes(images, rows, modalities=modalities, shown=shown)
    for index, name in enumerate(modalities):
        seen = shown[:, index]
        assert torch.equal(some[name][seen], everything[name][seen])
        assert some[name][~seen].abs().sum() == 0
        assert everything[name].amax(dim=(1, 2, 3)).min() > 0


def test_autocast_does_not_blur_positions() -> None:
    rng = np.random.default_rng(2)
    images = images_of(
        rng.integers(-1000, 1000, (2, 16, 16, 16)).astype(np.int16), np.ones((2, 8, 8, 8), np.float32)
    )
    pose = random_poses(
        2, config=AugmentationConfig(), field_mm=48.0, generator=torch.Generator().manual_seed(0)
    )
    rows = torch.tensor([0, 1])
    exact = sample_planes(images, rows, modalities={"ct": CT}, pose=pose)["ct"]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = sample_planes(images, rows, modalities={"ct": CT}, pose=pose)["ct"]
    assert torch.equal(exact, mixed)


def test_volumes_keep_their_grids_types_and_gaps(tmp_path: Path) -> None:
    cohort = write_tiny_cohort(tmp_path / "cohort")
    modalities = tiny_config().modalities
    quantities = choose_quantities(cohort.lesions, modalities)
    images = load_images(cohort, modalities, quantities=quantities)
    assert quantities == {"ct": "hu", "pet": "sul"}
    assert images.volumes["ct"].dtype == torch.int16
    assert images.volumes["ct"].shape == (24, 16, 16, 16)
    assert images.volumes["pet"].dtype == torch.float32
    assert images.volumes["pet"].shape == (24, 8, 8, 8)
    ct, pet = (set(np.flatnonzero(~column)) for column in images.modality_present.numpy().T)
    assert (ct, pet) == (set(WITHOUT_CT), set(WITHOUT_PET))
    arrays = cohort.arrays("L05")
    assert arrays.ct_hu is not None
    assert arrays.suv_bw is not None
    np.testing.assert_array_equal(images.volumes["ct"][5], arrays.ct_hu)
    np.testing.assert_allclose(images.volumes["pet"][5], arrays.suv_bw * 0.75, rtol=1e-6)


def pet_table(sul: list[float], has_pet: list[bool]) -> pd.DataFrame:
    return pd.DataFrame({"has_pet": has_pet, "sul_per_suv_bw": sul, "suv_bsa_per_suv_bw": sul})


@pytest.mark.parametrize(
    ("sul", "has_pet", "chosen"),
    [
        ([0.7, 0.8], [True, True], "sul"),
        ([0.7, np.nan], [True, True], "suv_bw"),
        ([0.7, np.nan], [True, False], "sul"),
    ],
)
def test_suv_means_one_quantity_for_the_whole_cohort(
    sul: list[float], has_pet: list[bool], chosen: str
) -> None:
    assert choose_quantities(pet_table(sul, has_pet), {"pet": PET}) == {"pet": chosen}


@pytest.mark.parametrize("quantity", ["sul", "suv_bsa"])
def test_a_quantity_that_some_lesions_lack_is_refused(quantity: str) -> None:
    asked = {"pet": PET.model_copy(update={"quantity": quantity})}
    with pytest.raises(CohortError, match="2 of 3 lesions") as caught:
        choose_quantities(pet_table([0.7, np.nan, np.nan, np.nan], [True, True, True, False]), asked)
    assert caught.value.code == "quantity_unavailable"


def test_a_modality_that_no_lesion_has_is_refused(tmp_path: Path) -> None:
    cohort = write_tiny_cohort(tmp_path / "cohort")
    modalities = {"pet": PET}
    some = stack_images(
        [cohort.arrays("L03")], cohort.lesions.iloc[[3]], modalities=modalities, quantities={"pet": "suv_bw"}
    )
    assert some.modality_present.tolist() == [[False]]
    only = type(cohort)(cohort.folder, cohort.lesions.iloc[[3, 10]], cohort.qc, cohort.manifest)
    with pytest.raises(CohortError) as caught:
        load_images(only, modalities, quantities={"pet": "suv_bw"})
    assert caught.value.code == "modality_absent"


def test_lesions_of_different_boxes_or_grids_are_refused(tmp_path: Path) -> None:
    cohort = write_tiny_cohort(tmp_path / "cohort", complete=True)
    other = write_tiny_cohort(tmp_path / "other", complete=True, ct_px=8)
    arrays = [cohort.arrays("L00"), other.arrays("L01")]
    lesions = cohort.lesions.iloc[[0, 1]]
    with pytest.raises(CohortError) as caught:
        stack_images(arrays, lesions, modalities={"ct": CT}, quantities={"ct": "hu"})
    assert caught.value.code == "grid_differs"
    with pytest.raises(CohortError) as caught:
        stack_images(
            arrays, lesions.assign(box_mm=[64.0, 32.0]), modalities={"ct": CT}, quantities={"ct": "hu"}
        )
    assert caught.value.code == "box_differs"


def test_a_lesion_without_the_factor_is_refused(tmp_path: Path) -> None:
    cohort = write_tiny_cohort(tmp_path / "cohort", complete=True)
    lesions = cohort.lesions.iloc[[0]].assign(sul_per_suv_bw=np.nan)
    with pytest.raises(CohortError) as caught:
        stack_images([cohort.arrays("L00")], lesions, modalities={"pet": PET}, quantities={"pet": "sul"})
    assert caught.value.code == "quantity_unavailable"
