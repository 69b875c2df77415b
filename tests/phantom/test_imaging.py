from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from dgccl.errors import GeometryError
from dgccl.phantom.acquisition import SCANNERS, sample_acquisitions, scanner_of
from dgccl.phantom.anatomy import Anatomy, Blob, Layer, Tube, build_anatomy
from dgccl.phantom.canvas import FWHM_PER_SD, grid_axes
from dgccl.phantom.imaging import Scan, draw, image_rngs, pet_cov, render_ct, render_pet
from dgccl.phantom.law import sample_lesions
from dgccl.phantom.noise import ct_noise
from dgccl.phantom.render import blob_depth
from dgccl.volume import Grid, box_grid

ORIGIN = np.zeros(3)
BALL = Blob(ORIGIN, 5.0, np.eye(3), np.ones((1, 3)), np.zeros(1), 0.0)


def _grid(shape: tuple[int, int, int], spacing: tuple[float, float, float]) -> Grid:
    affine = np.zeros((4, 4))
    affine[[2, 1, 0], [0, 1, 2]] = spacing
    affine[:3, 3] = -(np.array(shape) - 1)[::-1] / 2 * np.array(spacing)[::-1]
    affine[3, 3] = 1.0
    return Grid(shape, affine)


def _still(*layers: Layer, breathing_mm: float = 0.0) -> Anatomy:
    flat = np.zeros((4, 4, 4), np.float32)
    return Anatomy(layers, BALL, flat, flat, 0.0, breathing_mm, np.zeros(3))


def _latent(**changes: object) -> dict:
    rng = np.random.default_rng(7)
    row = pd.concat([sample_lesions(rng, 1), sample_acquisitions(rng, 1)], axis=1).to_dict("records")[0]
    solid = {"density_type": "solid", "solid_fraction": 1.0, "avid_fraction": 1.0, "density_hu": 30.0}
    return row | solid | {"site": "site_a", "breathing_mm": 0.0, "inflammation": 0.0} | changes


def _variance(image: np.ndarray, axes: tuple[np.ndarray, ...]) -> list[float]:
    """Second central moment along z, y, x."""
    result = []
    for k, axis in enumerate(axes):
        profile = image.sum(axis=tuple({0, 1, 2} - {k}), dtype=float)
        mean = (profile * axis).sum() / profile.sum()
        result.append(float((profile * (axis - mean) ** 2).sum() / profile.sum()))
    return result


def test_ct_point_spread_and_mass() -> None:
    """A ball keeps its mass, and its variance grows by that of the point spread."""
    axes = grid_axes(_grid((48, 48, 48), (0.6, 0.6, 0.6)), ORIGIN)
    ball, empty = (
        render_ct(_still(*layers), axes, fwhm_mm=2.0) for layers in ((Layer(BALL, 35.0, 1.0),), ())
    )
    added = (ball - empty).astype(float)
    assert added.sum() * 0.6**3 == pytest.approx((35.0 + 865.0) * 4 / 3 * np.pi * 5.0**3, rel=0.02)
    assert _variance(added, axes) == pytest.approx([5.0**2 / 5 + (2.0 / FWHM_PER_SD) ** 2] * 3, rel=0.05)
    assert ball.max() == pytest.approx(35.0, abs=0.1)


def test_thin_vessel_keeps_its_cross_section() -> None:
    axes = grid_axes(_grid((5, 41, 41), (0.5, 0.5, 0.5)), ORIGIN)
    tube = Tube(np.array([0.0, 0.0, -20.0]), np.array([0.0, 0.0, 20.0]), 0.4, 0.4)
    with_tube, empty = (
        render_ct(_still(*layers), axes, fwhm_mm=1.5) for layers in ((Layer(tube, 40.0, 1.0),), ())
    )
    area = (with_tube - empty)[2].sum(dtype=float) * 0.5**2 / (40.0 + 865.0)
    assert area == pytest.approx(np.pi * 0.4**2, rel=0.15)


@pytest.mark.parametrize("fwhm_mm", [scanner.pet_fwhm_mm for scanner in SCANNERS])
@pytest.mark.parametrize("breathing_mm", [0.0, 12.0])
def test_pet_point_spread_and_breathing(fwhm_mm: float, breathing_mm: float) -> None:
    axes = grid_axes(_grid((48, 32, 32), (2.0, 2.0, 2.0)), ORIGIN)
    rng = np.random.default_rng(0)
    hot, empty = (
        render_pet(_still(*layers, breathing_mm=breathing_mm), axes, fwhm_mm=fwhm_mm, cov=0.0, rng=rng)
        for layers in ((Layer(BALL, 0.0, 10.5),), ())
    )
    z, y, x = _variance(hot - empty, axes)
    plain = 5.0**2 / 5 + (fwhm_mm / FWHM_PER_SD) ** 2
    assert (y, x) == pytest.approx((plain, plain), rel=0.07)
    # Variance of A cos^4 over a period: (35/128 - 9/64) A^2.
    assert z == pytest.approx(plain + (35 / 128 - 9 / 64) * breathing_mm**2, rel=0.07)
    total = (hot - empty).sum(dtype=float) * 8.0
    assert total == pytest.approx(10.0 * 4 / 3 * np.pi * 5.0**3, rel=0.025)


def test_small_lesions_and_breathing_hide_uptake() -> None:
    grids = {"ct_grid": box_grid(ORIGIN, box_mm=48.0, spacing_mm=4.0), "center_mm": ORIGIN, "noise": False}
    pet = box_grid(ORIGIN, box_mm=64.0, spacing_mm=4.0)

    def peak(**changes: object) -> float:
        latent = _latent(uptake_suv=8.0, **changes)
        return float(draw(latent, np.random.default_rng(3), pet_grid=pet, **grids).pet.array.max())

    large, middle, small = (peak(diameter_mm=d) for d in (28.0, 14.0, 7.0))
    assert large == pytest.approx(8.0, rel=0.05)
    assert large > middle > 1.5 * small
    assert peak(diameter_mm=10.0, breathing_mm=16.0) < 0.75 * peak(diameter_mm=10.0)


def test_ct_noise_has_its_strength_and_its_spectrum() -> None:
    grid, fwhm = _grid((60, 128, 96), (0.625, 0.7, 0.7)), 1.25
    noise = ct_noise(np.random.default_rng(1), grid, fwhm_mm=fwhm, sd_hu=25.0)
    assert noise.std() == pytest.approx(25.0, rel=0.02)
    assert noise.mean() == pytest.approx(0.0, abs=0.1)
    # Rows and columns are alike although the half spectrum is not.
    assert noise.mean(axis=0).std() == pytest.approx(25.0 / np.sqrt(60) * 1.4, rel=0.25)
    np.testing.assert_allclose(noise.std(axis=(0, 1)), 25.0, rtol=0.06)
    power = (np.abs(np.fft.fft2(noise)) ** 2).mean(axis=0)
    frequency = np.hypot(np.fft.fftfreq(128, 0.7)[:, None], np.fft.fftfreq(96, 0.7)[None, :])
    bins = np.digitize(frequency.ravel(), np.linspace(0.0, 0.7, 29))
    radial = np.bincount(bins, power.ravel()) / np.maximum(np.bincount(bins), 1)
    peak = (radial[:29].argmax() - 0.5) * 0.025
    assert peak == pytest.approx(1 / (np.sqrt(2) * 2 * np.pi * fwhm / FWHM_PER_SD), abs=0.03)
    neighbor = np.corrcoef(noise[1:].ravel(), noise[:-1].ravel())[0, 1]
    assert neighbor == pytest.approx(np.exp(-((0.625 / (fwhm / FWHM_PER_SD)) ** 2) / 4), abs=0.03)


def test_pet_noise_has_its_strength() -> None:
    axes = grid_axes(_grid((24, 24, 24), (4.0, 4.0, 4.0)), ORIGIN)
    ball = replace(BALL, radius_mm=90.0)
    image = render_pet(
        _still(Layer(ball, 0.0, 2.0)), axes, fwhm_mm=6.0, cov=0.1, rng=np.random.default_rng(0)
    )
    # Counting noise: the variance goes with the activity.
    assert image.std() == pytest.approx(0.1 * np.sqrt(2.0), rel=0.05)
    assert image.mean() == pytest.approx(2.0, rel=0.01)


def test_pet_noise_follows_counts() -> None:
    scanner = scanner_of("site_b")
    reference = _latent(activity_mbq=262.5, weight_kg=75.0, uptake_time_min=60.0)
    assert pet_cov(reference, scanner) == pytest.approx(0.12)
    assert pet_cov(reference | {"activity_mbq": 131.25}, scanner) == pytest.approx(0.12 * np.sqrt(2))
    assert pet_cov(reference, replace(scanner, bed_s=30.0)) == pytest.approx(0.24)
    assert pet_cov(reference | {"weight_kg": 150.0}, scanner) == pytest.approx(0.24)
    assert pet_cov(reference | {"uptake_time_min": 60.0 + 6586.2 / 60}, scanner) == pytest.approx(
        0.12 * np.sqrt(2)
    )


def test_images_know_only_the_latents() -> None:
    """Class, recorded label and hidden kinds may change without a voxel changing."""
    grids = {
        "ct_grid": box_grid(ORIGIN, box_mm=32.0, spacing_mm=1.0),
        "pet_grid": box_grid(ORIGIN, box_mm=32.0, spacing_mm=4.0),
        "center_mm": ORIGIN,
    }
    one = draw(_latent(), np.random.default_rng(5), **grids)
    disguise = {"malignant": 7, "label": 7, "kind": "x", "uptake_kind": "y"}
    other = draw(_latent(**disguise), np.random.default_rng(5), **grids)
    np.testing.assert_array_equal(one.ct.array, other.ct.array)
    np.testing.assert_array_equal(one.pet.array, other.pet.array)


@pytest.mark.parametrize(
    ("changes", "which"),
    [
        ({"diameter_mm": 9.0}, "both"),
        ({"spiculation": 0.9}, "ct"),
        ({"inflammation": 0.9}, "ct"),
        ({"density_hu": -600.0, "solid_fraction": 0.0, "density_type": "ground_glass"}, "ct"),
        ({"uptake_suv": 9.0}, "pet"),
        ({"breathing_mm": 15.0}, "pet"),
        ({"ct_noise_hu": 60.0}, "ct"),
        ({"activity_mbq": 60.0}, "pet"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else value,
)
def test_each_latent_shows_where_it_should(changes: dict, which: str) -> None:
    grids = {
        "ct_grid": box_grid(ORIGIN, box_mm=40.0, spacing_mm=1.0),
        "pet_grid": box_grid(ORIGIN, box_mm=40.0, spacing_mm=4.0),
        "center_mm": ORIGIN,
    }
    base = {"diameter_mm": 16.0, "spiculation": 0.1, "uptake_suv": 3.0, "ct_noise_hu": 20.0}
    one = draw(_latent(**base), np.random.default_rng(5), **grids)
    other = draw(_latent(**(base | changes)), np.random.default_rng(5), **grids)
    ct_moved = np.abs(one.ct.array - other.ct.array).max() > 50.0
    pet_moved = np.abs(one.pet.array - other.pet.array).max() > 0.1
    assert bool(ct_moved) == (which in ("ct", "both"))
    if which != "ct":  # spiculation also changes the lobes, a little
        assert pet_moved


def test_same_anatomy_on_any_grid() -> None:
    """Without noise, an image on part of a grid is that part of the image."""
    latent = _latent(diameter_mm=18.0, breathing_mm=6.0)
    large = draw(
        latent,
        np.random.default_rng(2),
        ct_grid=_grid((64, 72, 72), (1.0, 0.7, 0.7)),
        pet_grid=_grid((24, 24, 24), (4.0, 4.0, 4.0)),
        center_mm=ORIGIN,
        noise=False,
    )
    small = draw(
        latent,
        np.random.default_rng(2),
        ct_grid=large.ct.crop((10, 12, 14), (50, 60, 62)).grid,
        pet_grid=large.pet.crop((4, 4, 4), (20, 20, 20)).grid,
        center_mm=ORIGIN,
        noise=False,
    )
    part = large.ct.array[10:50, 12:60, 14:62]
    assert np.abs(part - small.ct.array).max() < 3.0  # a tube's box, cut at 2.3 SD, is split by its size
    assert np.abs(large.pet.array[4:20, 4:20, 4:20] - small.pet.array).max() < 0.15
    np.testing.assert_array_equal(large.lesion.array[10:50, 12:60, 14:62], small.lesion.array)


@pytest.mark.parametrize("diameter_mm", [6.0, 15.0, 29.0])
def test_lesion_has_its_volume(diameter_mm: float) -> None:
    grid = _grid((44, 44, 44), (1.0, 1.0, 1.0))
    pet = _grid((8, 8, 8), (4.0, 4.0, 4.0))
    volumes = [
        draw(
            _latent(diameter_mm=diameter_mm),
            np.random.default_rng(seed),
            ct_grid=grid,
            pet_grid=pet,
            center_mm=ORIGIN,
            noise=False,
        ).lesion.array.sum()
        * grid.voxel_ml
        * 1000
        for seed in range(3)
    ]
    assert np.mean(volumes) == pytest.approx(np.pi / 6 * diameter_mm**3, rel=0.1)


def test_oblique_grid_is_refused() -> None:
    affine = box_grid(ORIGIN, box_mm=16.0, spacing_mm=4.0).affine.copy()
    affine[0, 0] = 0.5
    with pytest.raises(GeometryError, match="oblique"):
        grid_axes(Grid((4, 4, 4), affine), ORIGIN)


def test_lesion_lies_inside_its_bound() -> None:
    for seed in range(20):
        lesion = build_anatomy(_latent(diameter_mm=20.0, spiculation=1.0), np.random.default_rng(seed)).lesion
        axes = grid_axes(box_grid(ORIGIN, box_mm=60.0, spacing_mm=2.0), ORIGIN)
        z, y, x = np.meshgrid(*axes, indexing="ij")
        inside = blob_depth(lesion, axes) > 0
        assert np.sqrt(z**2 + y**2 + x**2)[inside].max() <= lesion.bound_mm


@pytest.mark.parametrize("seed", range(4))
def test_part_of_a_grid_is_drawn_as_the_whole_has_it(seed: int) -> None:
    """Bit by bit, noise and all: what is drawn in memory must be what the files hold."""
    rng = np.random.default_rng(seed)
    frame = pd.concat([sample_lesions(rng, 1), sample_acquisitions(rng, 1)], axis=1)
    latent = frame.assign(inflammation=0.5).to_dict("records")[0]
    ct_grid, pet_grid = _grid((72, 100, 97), (0.9, 0.75, 0.75)), _grid((30, 32, 32), (4.0, 4.0, 4.0))
    whole = draw(latent, np.random.default_rng(seed), ct_grid=ct_grid, pet_grid=pet_grid, center_mm=ORIGIN)
    for ct_part, pet_part in (
        ((slice(5, 60), slice(20, 90), slice(11, 97)), (slice(9, 21), slice(10, 20), slice(0, 22))),
        ((slice(0, 72), slice(0, 3), slice(40, 41)), (slice(0, 30), slice(31, 32), slice(4, 5))),
        ((slice(70, 72), slice(30, 80), slice(2, 90)), (slice(28, 30), slice(3, 30), slice(4, 28))),
    ):
        anatomy_rng, ct_rng, pet_rng = image_rngs(np.random.default_rng(seed))
        scan = Scan(build_anatomy(latent, anatomy_rng), latent, ORIGIN)
        ct = scan.ct(ct_grid, ct_rng, part=ct_part)
        pet = scan.pet(pet_grid, pet_rng, part=pet_part)
        np.testing.assert_array_equal(ct.array, whole.ct.array[ct_part])
        np.testing.assert_array_equal(pet.array, whole.pet.array[pet_part])
        start = tuple(edges.start for edges in ct_part)
        stop = tuple(edges.stop for edges in ct_part)
        np.testing.assert_allclose(ct.affine, whole.ct.crop(start, stop).affine)


def test_tube_far_away_leaves_no_trace() -> None:
    axes = grid_axes(_grid((8, 9, 10), (1.0, 1.0, 1.0)), ORIGIN)
    tube = Tube(np.array([40.0, 0.0, 0.0]), np.array([60.0, 0.0, 0.0]), 2.0, 2.0)
    with_tube, empty = (
        render_ct(_still(*layers), axes, fwhm_mm=1.2) for layers in ((Layer(tube, 40.0, 1.0),), ())
    )
    np.testing.assert_array_equal(with_tube, empty)


def test_conditionally_independent_lesions_hide_ct_latents_from_pet_and_uptake_from_ct() -> None:
    """With FDG in the whole lesion each image shows its own latents, and both the size and something of the lobes."""
    grids = {
        "ct_grid": box_grid(ORIGIN, box_mm=40.0, spacing_mm=1.0),
        "pet_grid": box_grid(ORIGIN, box_mm=40.0, spacing_mm=4.0),
        "center_mm": ORIGIN,
    }

    def images(**changes: object) -> tuple[np.ndarray, np.ndarray]:
        latent = _latent(diameter_mm=15.0, spiculation=0.2, uptake_suv=3.0) | changes
        drawn = draw(latent, np.random.default_rng(5), **grids)
        return drawn.ct.array, drawn.pet.array

    ct, pet = images()
    np.testing.assert_array_equal(images(uptake_suv=9.0)[0], ct)
    for own in ({"density_hu": -40.0}, {"inflammation": 0.7}):
        np.testing.assert_array_equal(images(**own)[1], pet)
        assert np.abs(images(**own)[0] - ct).max() > 50.0
    part = images(density_type="part_solid", solid_fraction=0.5, density_hu=10.0)
    # A core painted over the blurred edge of its own value fills the edge a little: a twentieth of the noise.
    assert np.abs(part[1] - pet).max() < 0.02
