"""What a probability may become: outcomes by other software's residuals, and intervals that keep their word."""

import numpy as np
import pytest
import statsmodels.api as sm
from scipy.special import expit, logit

from dgccl.evaluation.outlook import benefit_of_acting, fit_outlook

SHARE = 0.8


def test_at_each_outcome_the_lesion_is_as_far_off_as_a_known_one() -> None:
    """The studentized residuals of statsmodels, the lesion having joined the others at the outcome."""
    rng = np.random.default_rng(4)
    x, y, new = rng.normal(size=12), rng.normal(size=12), 1.7
    outlook = fit_outlook(expit(x), expit(y))
    outcomes = logit(outlook.probabilities(expit(np.array([new])))[0])
    for place, outcome in enumerate(outcomes):
        fit = sm.OLS(np.append(y, outcome), sm.add_constant(np.append(x, new))).fit()
        residual = fit.resid / np.sqrt(1.0 - fit.get_influence().hat_matrix_diag)
        assert residual[place] == pytest.approx(residual[-1], abs=1e-9)


@pytest.mark.parametrize("n", [10, 25, 100])
def test_the_interval_holds_its_share(n: int) -> None:
    """Lesions of any kind: as often as ranks of exchangeable lesions say, which is at least the share."""
    rng = np.random.default_rng(n)
    repeats, new = 800, 40
    held = np.empty(repeats)
    for repeat in range(repeats):
        x = rng.normal(0.0, 1.5, n + new)
        y = 0.3 + 0.8 * x + rng.gamma(1.0, 1.0, n + new) * np.where(x > 0.0, 2.0, 1.0)
        outlook = fit_outlook(expit(x[:n]), expit(y[:n]))
        low, high = outlook.interval(outlook.probabilities(expit(x[n:])), share=SHARE)
        held[repeat] = ((expit(y[n:]) >= low) & (expit(y[n:]) <= high)).mean()
    error = 3.0 * held.std() / np.sqrt(repeats)
    below = np.floor((1.0 - SHARE) / 2.0 * (n + 1) + 1e-9)
    exact = (n + 1 - 2 * below) / (n + 1)
    assert exact >= SHARE
    assert held.mean() == pytest.approx(exact, abs=error)
    assert held.mean() > SHARE - error


def test_what_is_expected_is_not_too_little() -> None:
    """With ten lesions the change is expected somewhat too large, since the line itself is unsure."""
    rng = np.random.default_rng(6)
    expected, seen = [], []
    for _ in range(1500):
        x = rng.normal(0.0, 1.5, 30)
        y = 0.3 + 0.8 * x + rng.normal(size=30)
        outlook = fit_outlook(expit(x[:10]), expit(y[:10]))
        now = expit(x[10:])
        expected.append(outlook.mean(np.abs(outlook.probabilities(now) - now[:, None])).mean())
        seen.append(np.abs(expit(y[10:]) - now).mean())
    assert 1.0 < np.mean(expected) / np.mean(seen) < 1.12


def test_every_patient_counts_once() -> None:
    without, complete = np.full(12, 0.4), np.linspace(0.1, 0.9, 12)
    patient = np.array(["a"] * 3 + [f"p{index}" for index in range(9)])
    outlook = fit_outlook(without, complete, patient=patient)
    assert outlook.patients == 10
    np.testing.assert_allclose(outlook.weight, [1 / 30] * 3 + [0.1] * 9)
    outcomes = outlook.probabilities(np.array([0.4]))
    low, high = outlook.interval(outcomes, share=SHARE)
    # One rank in eleven may be missed at either end, so that all ten patients lie within.
    assert (low[0], high[0]) == pytest.approx((complete[0], complete[-1]))
    assert outlook.mean(outcomes)[0] == pytest.approx(np.average(complete, weights=outlook.weight))
    assert outlook.median(outcomes)[0] == pytest.approx((complete[6] + complete[7]) / 2)


def test_too_few_patients_promise_nothing() -> None:
    outlook = fit_outlook(np.linspace(0.2, 0.8, 8), np.linspace(0.1, 0.9, 8) ** 2)
    low, high = outlook.interval(outlook.probabilities(np.array([0.5])), share=SHARE)
    assert (low[0], high[0]) == (0.0, 1.0)
    nine = fit_outlook(np.linspace(0.2, 0.8, 9), np.linspace(0.1, 0.9, 9) ** 2)
    low, high = nine.interval(nine.probabilities(np.array([0.5])), share=SHARE)
    assert 0.0 < low[0] < high[0] < 1.0


def test_an_image_that_changes_nothing_is_worth_nothing() -> None:
    now = np.linspace(0.05, 0.95, 19)
    outlook = fit_outlook(now, now)
    later = outlook.probabilities(now)
    np.testing.assert_allclose(later, np.repeat(now[:, None], 19, axis=1))
    gain = outlook.mean(benefit_of_acting(later, 0.3)) - benefit_of_acting(outlook.mean(later), 0.3)
    np.testing.assert_allclose(gain, 0.0, atol=1e-12)


def test_benefit_by_hand() -> None:
    """At a threshold of 0.2 a false alarm weighs a quarter: 0.6 - 0.4 / 4 = 0.5; below it nothing is done."""
    np.testing.assert_allclose(benefit_of_acting(np.array([0.6, 0.2, 0.1]), 0.2), [0.5, 0.0, 0.0], atol=1e-15)


def test_a_constant_answer_without_the_image_is_no_line() -> None:
    outlook = fit_outlook(np.full(12, 0.4), np.linspace(0.1, 0.9, 12))
    for now in (0.4, 0.9):
        outcomes = outlook.probabilities(np.array([now]))[0]
        np.testing.assert_allclose(np.sort(outcomes), np.linspace(0.1, 0.9, 12))
