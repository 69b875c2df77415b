"""The scale of images in arbitrary units: it hangs on the tissue, not on units, air or the lesion."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dgccl.errors import CohortError
from dgccl.intensity import normalize_intensity
from dgccl.volume import Volume


def body(air: float = 0.6, *, seed: int = 0) -> Volume:
    """Tissue of mean 400 and s.d. 60, with a share of air around it."""
    rng = np.random.default_rng(seed)
    values = rng.normal(400.0, 60.0, (20, 30, 30)).astype(np.float32)
    values[:, : int(30 * air)] = rng.rayleigh(8.0, (20, int(30 * air), 30))
    return Volume(values, np.eye(4))


@settings(deadline=None, max_examples=20)
@given(factor=st.floats(0.01, 100.0), shift=st.floats(-1000.0, 1000.0))
def test_units_do_not_matter(factor: float, shift: float) -> None:
    image = body()
    other = Volume((image.array * factor + shift).astype(np.float64), image.affine)
    expected = normalize_intensity(image, name="mr").array
    np.testing.assert_allclose(normalize_intensity(other, name="mr").array, expected, atol=2e-3)


@pytest.mark.parametrize("air", [0.4, 0.5, 0.6, 0.7, 0.8])
def test_tissue_lies_around_zero_however_much_air_there_is(air: float) -> None:
    image = body(air)
    tissue = normalize_intensity(image, name="mr").array[:, int(30 * air) :]
    q1, median, q3 = np.percentile(tissue, (25, 50, 75))
    assert abs(median) < 0.05
    assert q3 - q1 == pytest.approx(1.0, abs=0.05)


def test_a_bright_lesion_stays_bright() -> None:
    image = body()
    image.array[8:12, 22:26, 8:12] = 1000.0
    normal = normalize_intensity(image, name="mr")
    assert normal.array.dtype == np.float32
    assert normal.array[10, 24, 10] == pytest.approx(600.0 / (2 * 0.6745 * 60.0), rel=0.1)


@pytest.mark.parametrize("values", [np.zeros((4, 4, 4)), np.eye(4)[None].repeat(4, axis=0)])
def test_what_has_no_contrast_has_no_scale(values: np.ndarray) -> None:
    with pytest.raises(CohortError) as caught:
        normalize_intensity(Volume(values.astype(np.float32), np.eye(4)), name="mr")
    assert caught.value.code == "no_contrast"
