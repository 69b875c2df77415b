"""Masks: rasterized polygons against matplotlib's, spheres against their formula."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.path import Path as PolygonPath
from scipy.spatial.transform import Rotation

from dgccl.errors import RoiError
from dgccl.roi import Roi, longest_diameter_mm, rasterize_contours, sphere_mask, tighten
from dgccl.volume import Grid, Volume, box_grid

GRID = box_grid(np.zeros(3), box_mm=40.0, spacing_mm=1.0)


def circle(
    radius_mm: float, z_mm: float, *, center: tuple[float, float] = (0.0, 0.0), points: int = 90
) -> np.ndarray:
    angle = np.linspace(0, 2 * np.pi, points, endpoint=False)
    return np.stack(
        [center[0] + radius_mm * np.cos(angle), center[1] + radius_mm * np.sin(angle), np.full(points, z_mm)],
        axis=1,
    )


def on_grid(mask: Volume, grid: Grid) -> np.ndarray:
    """The cropped mask put back on its whole grid."""
    whole = np.zeros(grid.shape, bool)
    start = np.round(grid.to_index(mask.affine[:3, 3][None])[0]).astype(int)
    whole[tuple(slice(a, a + n) for a, n in zip(start, mask.array.shape, strict=True))] = mask.array
    return whole


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 10_000), corners=st.integers(3, 25))
def test_polygons_fill_as_matplotlib_fills_them(seed: int, corners: int) -> None:
    rng = np.random.default_rng(seed)
    contour = np.column_stack([rng.uniform(-19, 19, (corners, 2)), np.full(corners, 0.5)])
    index = np.argwhere(np.ones(GRID.shape[1:], bool)).astype(float)
    k = round(float(GRID.to_index(contour)[0, 0]))
    centers = GRID.to_patient(np.column_stack([np.full(len(index), float(k)), index]))
    # Even-odd rule: parity of the winding counts of a fan of triangles from the first corner.
    expected = np.zeros(len(index), bool)
    for a, b in pairwise(contour[1:]):
        expected ^= PolygonPath(np.array([contour[0], a, b])[:, :2]).contains_points(centers[:, :2])
    if not expected.any():
        with pytest.raises(RoiError):
            rasterize_contours([contour], GRID, name="random")
        return
    found = on_grid(rasterize_contours([contour], GRID, name="random"), GRID)
    assert (found[k].ravel() == expected).all()
    assert found.sum() == expected.sum()


def test_a_contour_within_a_contour_cuts_a_hole() -> None:
    ring = rasterize_contours([circle(15, 0.5), circle(7, 0.5)], GRID, name="ring")
    area = Roi("ring", ring, None).volume_ml * 1000.0
    assert area == pytest.approx(np.pi * (15**2 - 7**2), rel=0.02)


@pytest.mark.parametrize("rotvec", [(0, 0, 0), (0.5, 0, 0), (0.2, -0.7, 0.4), (np.pi / 2, 0, 0)])
def test_volume_does_not_depend_on_the_grid_s_orientation(rotvec: tuple[float, float, float]) -> None:
    turn = np.eye(4)
    turn[:3, :3] = Rotation.from_rotvec(rotvec).as_matrix()
    grid = Grid(GRID.shape, turn @ GRID.affine)
    contours = [circle(9, z) @ turn[:3, :3].T for z in np.arange(-4.5, 5)]
    found = Roi("cylinder", rasterize_contours(contours, grid, name="cylinder"), "ct")
    assert found.volume_ml == pytest.approx(np.pi * 81 * 10 / 1000, rel=0.02)
    np.testing.assert_allclose(found.centroid_mm, 0.0, atol=0.05)


@pytest.mark.parametrize("diameter_mm", [6.0, 12.0, 25.0])
def test_spheres_have_their_volume_and_diameter(diameter_mm: float) -> None:
    mask = sphere_mask(np.array([0.3, -0.2, 0.1]), diameter_mm, GRID)
    assert Roi("s", mask, None).volume_ml == pytest.approx(np.pi / 6 * diameter_mm**3 / 1000, rel=0.06)
    assert longest_diameter_mm(mask) == pytest.approx(diameter_mm, abs=0.8)


def test_a_tiny_sphere_marks_the_voxel_of_its_center() -> None:
    mask = sphere_mask(np.array([0.4, 0.4, 0.4]), 0.1, GRID)
    assert mask.array.sum() == 1
    assert longest_diameter_mm(mask) == 1.0


def test_a_straight_row_of_voxels_has_its_length() -> None:
    row = np.zeros(GRID.shape, bool)
    row[3, 5, :] = True
    many = np.zeros(GRID.shape, bool)
    many[3, 5:35, 5] = True
    assert longest_diameter_mm(tighten(row, GRID, name="row")) == pytest.approx(39.0)
    assert longest_diameter_mm(tighten(many, GRID, name="column")) == pytest.approx(29.0)


@pytest.mark.parametrize(
    ("contours", "code"),
    [
        ([], "empty_outline"),
        ([circle(5, 0.5)[:2]], "empty_outline"),
        ([circle(5, 300.0)], "outline_outside_image"),
        ([circle(5, 0.5, center=(18.0, 0.0))], "outline_crosses_border"),
        ([circle(0.05, 0.5, center=(0.1, 0.1))], "empty_outline"),
        ([circle(5, 0.5) @ Rotation.from_rotvec([1.0, 0, 0]).as_matrix().T], "contour_not_in_slice"),
    ],
)
def test_bad_outlines_are_refused(contours: list[np.ndarray], code: str) -> None:
    with pytest.raises(RoiError) as caught:
        rasterize_contours(contours, GRID, name="Lesion")
    assert caught.value.code == code
    assert "Lesion" in str(caught.value)


def test_bad_points_are_refused() -> None:
    with pytest.raises(RoiError) as caught:
        sphere_mask(np.array([300.0, 0, 0]), 10.0, GRID)
    assert caught.value.code == "outline_outside_image"
    with pytest.raises(RoiError) as caught:
        sphere_mask(np.zeros(3), 0.0, GRID)
    assert caught.value.code == "bad_diameter"
