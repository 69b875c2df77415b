"""Where a curve has fallen too far."""

import numpy as np
import pytest

from dgccl.robustness.tolerance import crossing, tolerance

AMOUNTS = np.array([0.0, 2.0, 4.0, 8.0])


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ([0.0, -0.01, -0.03, -0.1], 3.0),  # half way from -0.01 to -0.03
        ([0.0, -0.02, -0.03, -0.1], 2.0),
        ([0.0, 0.02, -0.02, -0.1], 4.0),
        ([0.0, -0.04, 0.0, 0.0], 1.0),  # it recovers, but the first fall counts
        ([0.0, -0.01, -0.019, -0.0199], np.nan),
        ([0.0, 0.1, 0.1, 0.1], np.nan),
    ],
)
def test_first_crossing(change: list[float], expected: float) -> None:
    found = crossing(AMOUNTS, np.array(change), loss=0.02)
    np.testing.assert_allclose(float(found), expected)


def test_crossings_of_many_curves_are_those_of_each() -> None:
    curves = np.random.default_rng(2).normal(-0.02, 0.02, (50, 4))
    curves[:, 0] = 0.0
    together = crossing(AMOUNTS, curves, loss=0.02)
    alone = [float(crossing(AMOUNTS, curve, loss=0.02)) for curve in curves]
    np.testing.assert_array_equal(together, alone)


def found(change: list[float], samples: np.ndarray, lower: list[float], direction: str = "up"):  # type: ignore[no-untyped-def]
    sign = 1.0 if direction == "up" else -1.0
    return tolerance(
        list(sign * AMOUNTS), np.array(change), np.array(lower), samples, direction=direction, loss=0.02,
        confidence=0.95,
    )  # fmt: skip


def test_interval_and_what_is_sure() -> None:
    samples = np.outer(np.linspace(0.5, 1.5, 1001), [0.0, -0.01, -0.02, -0.04])
    one = found([0.0, -0.01, -0.02, -0.04], samples, [0.0, -0.015, -0.03, -0.06])
    assert one.amount == pytest.approx(4.0)
    assert one.ci_low == pytest.approx(0.02 / 1.475 * 200, rel=0.01)
    assert one.ci_high == pytest.approx(0.02 / 0.525 * 200, rel=0.01)
    assert one.sure_until == 2.0
    assert one.reached == 1.0
    down = found([0.0, -0.01, -0.02, -0.04], samples, [0.0, -0.015, -0.03, -0.06], "down")
    assert (down.amount, down.sure_until, down.largest) == (pytest.approx(-4.0), -2.0, -8.0)


def test_never_reached() -> None:
    samples = np.outer(np.linspace(0.0, 2.5, 1000), [0.0, -0.002, -0.005, -0.01])
    one = found([0.0, -0.002, -0.005, -0.01], samples, [0.0, -0.03, -0.03, -0.03])
    assert one.amount is None
    assert one.ci_high is None
    assert 4.0 < one.ci_low <= 8.0
    assert one.sure_until is None
    assert one.reached == pytest.approx(0.2, abs=0.01)
