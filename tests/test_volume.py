"""Volumes: positions survive cropping; resampling agrees with references in any orientation."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from dgccl.errors import GeometryError
from dgccl.volume import Grid, Volume, box_grid, resample

CENTER = np.array([12.0, -7.5, 31.0])


def linear_field(points: np.ndarray) -> np.ndarray:
    """A field that linear interpolation reproduces exactly."""
    return points @ np.array([0.7, -1.3, 0.4]) + 5.0


def field_on(grid: Grid) -> Volume:
    index = np.argwhere(np.ones(grid.shape, bool)).astype(float)
    values = linear_field(grid.to_patient(index)).reshape(grid.shape)
    return Volume(values.astype(np.float32), grid.affine)


def grid_around(
    center: np.ndarray, axes: np.ndarray, spacing: tuple[float, float, float], count: int
) -> Grid:
    """Grid whose array axes run along the columns of `axes`, with its middle at `center`."""
    affine = np.eye(4)
    affine[:3, :3] = axes * np.array(spacing)
    affine[:3, 3] = center - affine[:3, :3] @ np.full(3, (count - 1) / 2)
    return Grid((count, count, count), affine)


SIGNED_AXES = [
    np.eye(3)[:, list(order)] * np.array(signs)
    for order in ((0, 1, 2), (2, 1, 0), (1, 0, 2), (2, 0, 1))
    for signs in ((1, 1, 1), (-1, 1, 1), (1, -1, -1))
]


@settings(deadline=None, max_examples=40)
@given(
    axes=st.sampled_from(SIGNED_AXES),
    tilt=st.sampled_from([0.0, 0.0, 0.3]),
    spacing=st.tuples(*[st.floats(0.6, 2.5)] * 3),
    target=st.sampled_from([0.8, 1.0, 2.0]),
)
def test_resampling_gives_the_same_values_in_patient_space(
    axes: np.ndarray, tilt: float, spacing: tuple[float, float, float], target: float
) -> None:
    """Whatever way the source lies, a field that is linear in space comes out as itself."""
    turned = Rotation.from_rotvec([tilt, tilt / 2, -tilt]).as_matrix() @ axes
    source = field_on(grid_around(CENTER, turned, spacing, 40))
    grid = box_grid(CENTER, box_mm=8.0, spacing_mm=target)
    found = resample(source, grid, fill=np.nan)
    np.testing.assert_allclose(found.array, field_on(grid).array, atol=2e-3)
    np.testing.assert_array_equal(found.affine, grid.affine)


def test_outside_the_source_is_fill() -> None:
    source = field_on(box_grid(np.zeros(3), box_mm=4.0, spacing_mm=1.0))
    found = resample(source, box_grid(np.zeros(3), box_mm=8.0, spacing_mm=1.0), fill=-1000.0).array
    inside = np.zeros((8, 8, 8), bool)
    inside[2:6, 2:6, 2:6] = True
    assert (found[~inside] == -1000.0).all()
    np.testing.assert_allclose(found[inside], source.array.ravel(), atol=1e-5)


@pytest.mark.parametrize("tilt", [0.0, 0.4])
def test_a_coarser_grid_averages_instead_of_aliasing(tilt: float) -> None:
    """A pattern far finer than the target's voxels comes out near its mean."""
    axes = Rotation.from_rotvec([tilt, 0, 0]).as_matrix() @ np.eye(3)[:, [2, 1, 0]]
    grid = grid_around(np.zeros(3), axes, (1.0, 1.0, 1.0), 64)
    checkered = np.indices(grid.shape).sum(axis=0) % 2
    found = resample(
        Volume(checkered.astype(np.float32), grid.affine),
        box_grid(np.zeros(3), box_mm=32.0, spacing_mm=4.0),
        fill=0.0,
    )
    assert np.abs(found.array - 0.5).max() < 0.1


def test_mean_is_kept_when_the_grid_gets_coarser() -> None:
    rng = np.random.default_rng(1)
    fine = Volume(
        rng.normal(size=(64, 64, 64)).astype(np.float32),
        box_grid(np.zeros(3), box_mm=64.0, spacing_mm=1.0).affine,
    )
    coarse = resample(fine, box_grid(np.zeros(3), box_mm=64.0, spacing_mm=4.0), fill=0.0)
    assert coarse.array.mean() == pytest.approx(fine.array.mean(), abs=2e-3)
    assert coarse.array.std() < 0.3 * fine.array.std()


def test_crop_keeps_positions() -> None:
    whole = field_on(grid_around(CENTER, SIGNED_AXES[4], (1.0, 2.0, 0.5), 12))
    part = whole.crop((2, 3, 4), (7, 9, 12))
    np.testing.assert_allclose(part.array, field_on(part.grid).array, atol=1e-4)


def test_crop_beyond_the_array_is_refused() -> None:
    with pytest.raises(GeometryError, match="Cannot crop"):
        field_on(box_grid(CENTER, box_mm=4.0, spacing_mm=1.0)).crop((0, 0, 0), (5, 4, 4))


def test_boxes_of_different_spacing_cover_one_physical_box() -> None:
    for spacing in (1.0, 4.0):
        grid = box_grid(CENTER, box_mm=64.0, spacing_mm=spacing)
        faces = grid.to_patient(np.array([[-0.5] * 3, [n - 0.5 for n in grid.shape]]))
        np.testing.assert_allclose(faces, [CENTER - 32, CENTER + 32])
        assert grid.spacing_mm == (spacing,) * 3
        assert grid.voxel_ml == pytest.approx(spacing**3 / 1000)


def test_indices_and_positions_are_inverse() -> None:
    grid = grid_around(CENTER, SIGNED_AXES[7], (1.0, 2.0, 0.5), 12)
    index = np.random.default_rng(2).uniform(0, 11, (20, 3))
    np.testing.assert_allclose(grid.to_index(grid.to_patient(index)), index, atol=1e-9)


def test_errors_name_the_thing() -> None:
    with pytest.raises(GeometryError) as caught:
        box_grid(CENTER, box_mm=64.0, spacing_mm=3.0)
    assert caught.value.code == "box_not_multiple_of_spacing"
    with pytest.raises(GeometryError) as caught:
        Grid((2, 2, 2), np.zeros((4, 4)))
    assert caught.value.code == "singular_affine"
