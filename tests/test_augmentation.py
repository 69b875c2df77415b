"""Poses keep to their ranges and move CT and PET together; modality dropout leaves one modality."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dgccl.augmentation import drop_modalities, random_poses
from dgccl.config import AugmentationConfig, ImageConfig
from dgccl.dataset import LesionImages, sample_planes


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_poses_keep_to_their_ranges_and_use_them() -> None:
    config = AugmentationConfig()
    poses = random_poses(4000, config=config, field_mm=50.0, generator=seeded(0)).double()
    linear, shift_mm = poses[:, :, :3], poses[:, :, 3]
    scale = torch.linalg.det(linear).pow(-1 / 3)
    rotation = linear * scale[:, None, None]
    np.testing.assert_allclose(
        rotation @ rotation.transpose(1, 2), np.eye(3)[None].repeat(4000, 0), atol=1e-5
    )
    cosine = (rotation.diagonal(dim1=1, dim2=2).sum(dim=1) - 1) / 2
    angle_deg = torch.rad2deg(cosine.clamp(-1, 1).acos())
    assert 14.5 < angle_deg.max() <= 15.0 + 1e-3
    assert angle_deg.mean() == pytest.approx(7.5, abs=0.3)
    assert 0.9 - 1e-5 <= scale.min() < 0.905
    assert 1.095 < scale.max() <= 1.1 + 1e-5
    assert 4.9 < shift_mm.abs().max() <= 5.0
    # The axis is the antisymmetric part; a uniform direction has second moments of 1/3 along every axis.
    axis = torch.stack(
        [
            rotation[:, 2, 1] - rotation[:, 1, 2],
            rotation[:, 0, 2] - rotation[:, 2, 0],
            rotation[:, 1, 0] - rotation[:, 0, 1],
        ],
        dim=1,
    )
    axis = axis / axis.norm(dim=1, keepdim=True)
    np.testing.assert_allclose((axis.T @ axis) / 4000, np.eye(3) / 3, atol=0.03)


def test_flip_mirrors_left_and_right_in_half_of_the_lesions() -> None:
    config = AugmentationConfig(flip=True, rotation_deg=0.0, translation_fraction=0.0, scale=(1.0, 1.0))
    poses = random_poses(2000, config=config, field_mm=50.0, generator=seeded(1))
    mirrored = poses[:, 0, 0] < 0
    assert mirrored.float().mean() == pytest.approx(0.5, abs=0.05)
    assert torch.equal(poses[mirrored][0, :, :3], torch.diag(torch.tensor([-1.0, 1.0, 1.0])))
    assert torch.equal(poses[~mirrored][0], torch.eye(3, 4))


def test_the_generator_decides() -> None:
    config = AugmentationConfig()
    first, again, other = (
        random_poses(5, config=config, field_mm=50.0, generator=seeded(seed)) for seed in (3, 3, 4)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def blob(point_mm: np.ndarray, *, px: int, box_mm: float) -> np.ndarray:
    """A Gaussian of 5 mm around a point (x, y, z), on a grid of the box."""
    at = (np.arange(px) + 0.5) * box_mm / px - box_mm / 2
    z, y, x = np.meshgrid(at, at, at, indexing="ij")
    distance2 = (x - point_mm[0]) ** 2 + (y - point_mm[1]) ** 2 + (z - point_mm[2]) ** 2
    return np.exp(-distance2 / (2 * 5.0**2))


def center_of_light_mm(plane: torch.Tensor, field_mm: float) -> np.ndarray:
    """Center (column, row) of a plane's brightness, mm from its middle."""
    px = plane.shape[-1]
    at = (torch.arange(px) + 0.5) * field_mm / px - field_mm / 2
    light = plane * (plane > 0.1)
    return np.array([float((light.sum(0) * at).sum()), float((light.sum(1) * at).sum())]) / float(light.sum())


@pytest.mark.parametrize("seed", range(6))
def test_one_pose_puts_a_point_of_ct_and_pet_at_one_place(seed: int) -> None:
    pose = random_poses(1, config=AugmentationConfig(flip=True), field_mm=48.0, generator=seeded(seed))
    seen_mm = np.array([6.0, -4.0, 0.0])  # where the axial plane should show it
    point_mm = pose[0, :, :3].numpy() @ seen_mm + pose[0, :, 3].numpy()
    ct = (2000 * blob(point_mm, px=64, box_mm=64.0) - 1000).astype(np.int16)[None]
    pet = (10 * blob(point_mm, px=16, box_mm=64.0)).astype(np.float32)[None]
    modalities = {
        "ct": ImageConfig(quantity="hu", window=(-1000.0, 1000.0), field_mm=48.0, input_px=64),
        "pet": ImageConfig(quantity="suv", window=(0.0, 10.0), field_mm=60.0, input_px=32),
    }
    present = torch.ones(1, 2, dtype=torch.bool)
    images = LesionImages({"ct": torch.from_numpy(ct), "pet": torch.from_numpy(pet)}, present, 64.0)
    planes = sample_planes(images, torch.tensor([0]), modalities=modalities, pose=pose)
    for name, settings_ in modalities.items():
        found_mm = center_of_light_mm(planes[name][0, 0], settings_.field_mm)
        np.testing.assert_allclose(found_mm, seen_mm[:2], atol=0.3, err_msg=name)


@settings(deadline=None, max_examples=30)
@given(
    seed=st.integers(0, 10_000),
    modalities=st.integers(1, 5),
    probability=st.sampled_from([0.0, 0.3, 1.0]),
)
def test_dropout_takes_at_most_one_and_never_the_last(seed: int, modalities: int, probability: float) -> None:
    present = torch.rand(40, modalities, generator=seeded(seed)) < 0.6
    shown = drop_modalities(present, probability=probability, generator=seeded(seed + 1))
    assert not (shown & ~present).any()
    lost = present.sum(1) - shown.sum(1)
    several = present.sum(1) >= 2
    assert (lost[~several] == 0).all()
    assert lost.max() <= 1
    if probability in (0.0, 1.0):
        assert (lost[several] == int(probability)).all()


def test_dropout_takes_its_share_and_favors_none() -> None:
    present = torch.tensor([[True, True, True, False]]).repeat(9000, 1)
    lost = present & ~drop_modalities(present, probability=0.3, generator=seeded(5))
    share = lost.float().mean(0)
    np.testing.assert_allclose(share, [0.1, 0.1, 0.1, 0.0], atol=0.012)
