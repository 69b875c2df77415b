"""The physics of each dial, on arrays whose answer is known."""

import numpy as np
import pytest
from scipy import ndimage

from dgccl.lesion import LesionArrays
from dgccl.robustness import images
from dgccl.robustness.dials import DIALS

BOX_MM = 64.0


def arrays(**changes: object) -> LesionArrays:
    rng = np.random.default_rng(1)
    given: dict = {
        "ct_hu": rng.integers(-900, 300, (64, 64, 64)).astype(np.int16),
        "suv_bw": rng.gamma(2.0, 1.0, (16, 16, 16)).astype(np.float32),
        "others": {"mr": rng.normal(size=(32, 32, 32)).astype(np.float32)},
    }
    given |= changes
    for image, mask in (("ct_hu", "mask_ct"), ("suv_bw", "mask_pet")):
        given[mask] = None if given[image] is None else np.ones(given[image].shape, dtype=bool)
    return LesionArrays(**given)


def fresh(seed: int = 3) -> np.random.Generator:
    return np.random.default_rng(seed)


def point(shape: tuple[int, int, int], value: float) -> np.ndarray:
    image = np.zeros(shape, dtype=np.float32)
    image[tuple(size // 2 for size in shape)] = value
    return image


@pytest.mark.parametrize("dial", DIALS, ids=lambda dial: dial.name)
def test_nothing_changes_at_zero_and_something_does_at_the_ends(dial) -> None:  # type: ignore[no-untyped-def]
    lesion = arrays()
    same = dial.change(lesion, 0.0, BOX_MM, fresh())
    assert np.array_equal(same.ct_hu, lesion.ct_hu)
    assert np.array_equal(same.suv_bw, lesion.suv_bw)
    assert np.array_equal(same.others["mr"], lesion.others["mr"])
    for amount in {dial.amounts[0], dial.amounts[-1]} - {0.0}:
        worse = dial.change(lesion, amount, BOX_MM, fresh())
        again = dial.change(lesion, amount, BOX_MM, fresh())
        assert not np.array_equal(worse.ct_hu, lesion.ct_hu) or not np.array_equal(
            worse.suv_bw, lesion.suv_bw
        )
        assert np.array_equal(worse.ct_hu, again.ct_hu)
        assert np.array_equal(worse.suv_bw, again.suv_bw)
        assert worse.ct_hu.dtype == np.int16
        assert worse.suv_bw.dtype == np.float32
        assert (worse.suv_bw >= 0).all()


@pytest.mark.parametrize("dial", DIALS, ids=lambda dial: dial.name)
def test_what_a_lesion_lacks_stays_lacking(dial) -> None:  # type: ignore[no-untyped-def]
    for lacking in ("ct_hu", "suv_bw"):
        worse = dial.change(arrays(**{lacking: None}), dial.amounts[-1], BOX_MM, fresh())
        assert getattr(worse, lacking) is None


@pytest.mark.parametrize("amount", [1.5, 4.0, 10.0])
def test_pet_moves_by_the_stated_distance(amount: float) -> None:
    z, y, x = np.indices((16, 16, 16))
    blob = np.exp(-((z - 7.5) ** 2 + (y - 7.5) ** 2 + (x - 7.5) ** 2) / 8).astype(np.float32)
    moved = images.move_pet(arrays(suv_bw=blob), amount, BOX_MM, fresh())
    assert np.array_equal(moved.ct_hu, arrays().ct_hu)
    shift_mm = 4.0 * (np.array(ndimage.center_of_mass(moved.suv_bw)) - ndimage.center_of_mass(blob))
    assert np.linalg.norm(shift_mm) == pytest.approx(amount, rel=0.03)
    way = images.direction(fresh())
    np.testing.assert_allclose(shift_mm / np.linalg.norm(shift_mm), way, atol=0.02)


def test_an_outline_off_center_moves_all_images_alike() -> None:
    z, y, x = np.indices((64, 64, 64))
    ball = (1000 * np.exp(-((z - 31.5) ** 2 + (y - 31.5) ** 2 + (x - 31.5) ** 2) / 72)).astype(np.int16)
    z, y, x = np.indices((16, 16, 16))
    blob = np.exp(-((z - 7.5) ** 2 + (y - 7.5) ** 2 + (x - 7.5) ** 2) / 4.5).astype(np.float32)
    moved = images.move_box(arrays(ct_hu=ball, suv_bw=blob), 5.0, BOX_MM, fresh())
    ct_mm = np.array(ndimage.center_of_mass(moved.ct_hu)) - ndimage.center_of_mass(ball)
    pet_mm = 4.0 * (np.array(ndimage.center_of_mass(moved.suv_bw)) - ndimage.center_of_mass(blob))
    assert np.linalg.norm(ct_mm) == pytest.approx(5.0, rel=0.02)
    np.testing.assert_allclose(ct_mm, pet_mm, atol=0.1)


def test_suv_error_and_the_clock_behind_it() -> None:
    lesion = arrays()
    high = images.scale_suv(lesion, 30.0, BOX_MM, fresh())
    np.testing.assert_allclose(high.suv_bw, 1.3 * lesion.suv_bw, rtol=1e-6)
    # One half-life of F-18 (109.77 min) doubles the decay factor; an hour is a factor of 2^(60 / 109.77).
    assert images.clock_error_min(100.0) == pytest.approx(109.77, abs=0.01)
    assert images.clock_error_min(100.0 * (2 ** (60 / 109.77) - 1)) == pytest.approx(60.0, abs=0.01)
    assert images.clock_error_min(-50.0) == pytest.approx(-109.77, abs=0.01)


def test_ct_noise_has_the_stated_size_and_correlation() -> None:
    flat = arrays(ct_hu=np.full((64, 64, 64), 40, dtype=np.int16))
    noise = images.add_ct_noise(flat, 30.0, BOX_MM, fresh()).ct_hu.astype(float) - 40
    assert noise.std() == pytest.approx(30.0, rel=0.02)
    assert noise.mean() == pytest.approx(0.0, abs=0.5)
    sd = images.CT_NOISE_FWHM_MM / images.FWHM_PER_SD
    found = np.corrcoef(noise[:, :, :-1].ravel(), noise[:, :, 1:].ravel())[0, 1]
    sampled = ndimage.gaussian_filter1d(np.eye(1, 65, 32)[0], sd)
    expected = (sampled[1:] @ sampled[:-1]) / (sampled @ sampled)
    assert found == pytest.approx(expected, abs=0.02)


def test_blur_has_the_stated_width_and_keeps_the_sum() -> None:
    fine = point((41, 41, 41), 1.0)
    blurred = images.blur_pet(arrays(suv_bw=fine), 10.0, 82.0, fresh()).suv_bw  # voxels of 2 mm
    assert blurred.sum() == pytest.approx(1.0, rel=1e-3)
    place_mm = 2.0 * (np.arange(41) - 20)
    profile = blurred.sum(axis=(0, 1))
    fwhm_mm = np.sqrt((profile * place_mm**2).sum() / profile.sum()) * images.FWHM_PER_SD
    assert fwhm_mm == pytest.approx(10.0, rel=0.02)


def test_ct_kernels_work_within_slices() -> None:
    ct = np.zeros((9, 41, 41), dtype=np.int16)
    ct[4, 20, 20] = 20000
    lesion = arrays(ct_hu=ct)
    soft = images.smooth_ct(lesion, 3.0, 41.0, fresh()).ct_hu
    assert (soft[[3, 5]] == 0).all()
    assert soft.sum() == pytest.approx(20000, rel=0.01)
    ramp = np.broadcast_to(np.arange(41, dtype=np.int16) * 10, (9, 41, 41)).copy()
    sharp = images.sharpen_ct(arrays(ct_hu=ramp), 2.0, 41.0, fresh()).ct_hu
    assert np.array_equal(sharp[:, :, 5:-5], ramp[:, :, 5:-5])  # no edge, nothing to lift
    edge = np.where(np.arange(41) < 20, 0, 500).astype(np.int16)
    lifted = images.sharpen_ct(
        arrays(ct_hu=np.broadcast_to(edge, (9, 41, 41)).copy()), 1.0, 41.0, fresh()
    ).ct_hu
    assert lifted.max() > 500
    assert lifted.min() < 0


def test_thick_slices_average_what_they_cover() -> None:
    ramp = np.broadcast_to(np.arange(64, dtype=np.int16)[:, None, None] * 10, (64, 8, 8)).copy()
    thick = images.thicken_slices(arrays(ct_hu=ramp), 4.0, BOX_MM, fresh()).ct_hu
    # A ramp stays a ramp, away from the border: means of slabs lie on it, and so do lines between them.
    assert np.abs(thick[8:-8].astype(int) - ramp[8:-8]).max() <= 1
    thin = np.zeros((64, 8, 8), dtype=np.int16)
    thin[32] = 1000
    for amount in (2.0, 4.0, 8.0):
        slab = images.thicken_slices(arrays(ct_hu=thin), amount, BOX_MM, fresh()).ct_hu[:, 0, 0]
        assert slab.max() <= 1000 / amount + 1
        assert slab.sum() == pytest.approx(1000, rel=0.15)
    uniform = np.full((64, 8, 8), 77, dtype=np.int16)
    assert (images.thicken_slices(arrays(ct_hu=uniform), 5.0, BOX_MM, fresh()).ct_hu == 77).all()


def test_noise_of_lost_counts_grows_as_one_over_the_counts() -> None:
    flat = arrays(suv_bw=np.full((32, 32, 32), 4.0, dtype=np.float32))

    def relative(lost: float) -> float:
        return float((images.lose_counts(flat, lost, BOX_MM, fresh()).suv_bw / 4.0).std())

    full = images.PET_NOISE_AT_FULL_COUNTS
    assert relative(50.0) == pytest.approx(full * np.sqrt(1 / 0.5 - 1), rel=0.03)
    assert relative(90.0) / relative(50.0) == pytest.approx(3.0, rel=0.03)
