"""Net benefit against R's formulas, its intervals against a bootstrap, its identities."""

import numpy as np
import pytest

from dgccl.stats.decision import decision_curve, net_benefit, net_benefit_difference

from .calibration_reference import CASES, MODELS, PATIENT, Y, close, code_of

LIMITS = np.array([0.1, 0.25, 0.5])
CURVE = decision_curve(Y, CASES, thresholds=LIMITS)
SHIFTED = decision_curve(Y, CASES, thresholds=LIMITS, prevalence=0.1)
ODDS = LIMITS / (1 - LIMITS)


@pytest.mark.parametrize("i", range(3))
@pytest.mark.parametrize("model", MODELS)
def test_against_r(model: str, i: int) -> None:
    found, name = CURVE.models[model], f"{LIMITS[i]:.2f}.{model}"
    assert found.net_benefit.estimate[i] == close(f"net_benefit_{name}")
    assert found.net_benefit.ci_low[i] == close(f"net_benefit_low_{name}")
    assert found.standardized.estimate[i] == close(f"standardized_{name}")
    assert found.standardized.ci_low[i] == close(f"standardized_low_{name}")
    assert found.interventions_avoided.estimate[i] == close(f"avoided_{name}")
    assert found.interventions_avoided.ci_high[i] == close(f"avoided_high_{name}")
    assert SHIFTED.models[model].net_benefit.estimate[i] == close(f"shifted_{name}")
    assert SHIFTED.models[model].net_benefit.ci_low[i] == close(f"shifted_low_{name}")
    one = net_benefit(Y, CASES[model], threshold=float(LIMITS[i]))
    assert (one.estimate, one.ci_low) == (found.net_benefit.estimate[i], found.net_benefit.ci_low[i])
    assert (one.method, CURVE.method) == ("adjusted_wald", "adjusted_wald")


@pytest.mark.parametrize("i", range(3))
def test_difference_and_treating_everyone_against_r(i: int) -> None:
    name = f"{LIMITS[i]:.2f}"
    found = net_benefit_difference(Y, CASES["sure"], CASES["blurred"], threshold=float(LIMITS[i]))
    assert found.difference == close(f"difference_{name}")
    assert found.z == close(f"difference_z_{name}")
    assert found.ci_low == close(f"difference_low_{name}")
    assert CURVE.treat_all.net_benefit.estimate[i] == close(f"treat_all_{name}")
    assert (CURVE.treat_none == 0).all()


def test_identities() -> None:
    everyone = CURVE.treat_all
    np.testing.assert_allclose(everyone.interventions_avoided.estimate, 0, atol=1e-15)
    np.testing.assert_allclose(everyone.interventions_avoided.ci_high, 0, atol=1e-15)
    for curve, share in ((CURVE, Y.mean()), (SHIFTED, 0.1)):
        assert curve.prevalence == share
        for one in curve.models.values():
            np.testing.assert_allclose(
                one.standardized.estimate * share, one.net_benefit.estimate, atol=1e-14
            )
            avoided = (one.net_benefit.estimate - curve.treat_all.net_benefit.estimate) / ODDS
            np.testing.assert_allclose(one.interventions_avoided.estimate, avoided, atol=1e-13)
    np.testing.assert_allclose(SHIFTED.treat_all.net_benefit.estimate, 0.1 - 0.9 * ODDS, atol=1e-15)
    np.testing.assert_allclose(SHIFTED.treat_all.net_benefit.ci_low, 0.1 - 0.9 * ODDS, atol=1e-15)


def test_a_perfect_model_is_worth_the_prevalence() -> None:
    curve = decision_curve(Y, Y.astype(float), thresholds=LIMITS).models["model"]
    np.testing.assert_allclose(curve.net_benefit.estimate, Y.mean(), atol=1e-15)
    np.testing.assert_allclose(curve.standardized.estimate, 1.0, atol=1e-14)
    assert (curve.standardized.ci_high == 1.0).all()
    assert (curve.standardized.ci_low < 0.995).all()  # of the added cases: there is no variance otherwise


def test_no_more_interventions_are_avoided_than_there_are_cases() -> None:
    """At a low threshold a missed case weighs so much that the interval would reach beyond all cases."""
    y_true = np.arange(60) % 3 == 0
    probability = np.where(y_true, 0.9, 0.001)
    probability[0] = 0.005
    curve = decision_curve(y_true.astype(float), probability, thresholds=np.array([0.01])).models["model"]
    avoided = curve.interventions_avoided
    assert avoided.ci_low[0] < avoided.estimate[0] < avoided.ci_high[0]
    assert avoided.ci_high[0] == 1.0


def test_treating_at_the_threshold_itself() -> None:
    y, p = np.array([0, 1, 0, 1]), np.array([0.2, 0.5, 0.5, 0.9])
    assert net_benefit(y, p, threshold=0.5).estimate == 0.25
    assert net_benefit(y, p, threshold=0.51).estimate == 0.25


def test_no_one_or_everyone_treated_leaves_a_width() -> None:
    labels = np.array([0, 1] * 25)
    none = net_benefit(labels, np.full(50, 0.1), threshold=0.5)
    assert none.estimate == 0.0
    assert -0.1 < none.ci_low < 0 < none.ci_high < 0.1
    known = net_benefit(labels, np.full(50, 0.1), threshold=0.5, prevalence=0.5)
    assert (known.ci_low, known.ci_high) == pytest.approx((none.ci_low, none.ci_high), rel=0.02)
    everyone = decision_curve(labels, np.full(50, 0.9), thresholds=np.array([0.5])).models["model"]
    assert everyone.interventions_avoided.ci_low[0] < 0 < everyone.interventions_avoided.ci_high[0]


@pytest.mark.parametrize("prevalence", [None, 0.15], ids=["estimated", "known"])
def test_intervals_against_a_bootstrap_of_patients(prevalence: float | None) -> None:
    rng, limit = np.random.default_rng(4), 0.3
    odds, share = limit / (1 - limit), prevalence
    a, b = CASES["sure"] >= limit, CASES["blurred"] >= limit
    members = [np.flatnonzero(one == PATIENT) for one in np.unique(PATIENT)]
    drawn = []
    for _ in range(1500):
        i = np.concatenate([members[j] for j in rng.integers(0, len(members), len(members))])
        own = Y[i].mean() if share is None else share
        worth = [own * t[i][Y[i] == 1].mean() - (1 - own) * odds * t[i][Y[i] == 0].mean() for t in (a, b)]
        everyone = own - (1 - own) * odds
        drawn.append((worth[0], worth[0] / own, (worth[0] - everyone) / odds, worth[0] - worth[1]))
    expected = np.std(drawn, axis=0)
    curve = decision_curve(Y, CASES, thresholds=np.array([limit]), patient=PATIENT, prevalence=prevalence)
    one = curve.models["sure"]
    found = [
        (part.ci_high - part.ci_low)[0] / 2 / 1.959964
        for part in (one.net_benefit, one.standardized, one.interventions_avoided)
    ]
    pair = net_benefit_difference(
        Y, CASES["sure"], CASES["blurred"], threshold=limit, patient=PATIENT, prevalence=prevalence
    )
    assert [*found, (pair.ci_high - pair.ci_low) / 2 / 1.959964] == pytest.approx(list(expected), rel=0.08)
    assert pair.method == "clustered_paired_adjusted_wald"
    assert curve.method == "clustered_adjusted_wald"


def test_invariances() -> None:
    p, q = CASES["sure"], CASES["blurred"]
    order = np.random.default_rng(1).permutation(len(Y))
    one = net_benefit(Y, p, threshold=0.3, patient=PATIENT)
    other = net_benefit(Y[order], p[order], threshold=0.3, patient=PATIENT[order])
    assert (one.ci_low, one.ci_high) == pytest.approx((other.ci_low, other.ci_high), abs=1e-13)
    twice = net_benefit(Y.repeat(2), p.repeat(2), threshold=0.3, patient=PATIENT.repeat(2))
    assert (one.estimate, one.ci_low, one.ci_high) == pytest.approx(
        (twice.estimate, twice.ci_low, twice.ci_high), abs=1e-13
    )
    here, there = (net_benefit_difference(Y, *pair, threshold=0.3) for pair in ((p, q), (q, p)))
    assert (here.difference, here.ci_low, here.p) == pytest.approx(
        (-there.difference, -there.ci_high, there.p)
    )


def test_the_same_treatment_differs_by_nothing() -> None:
    p = CASES["sure"]
    found = net_benefit_difference(Y, p, np.where(p >= 0.3, 0.9, 0.0), threshold=0.3)
    assert (found.difference, found.p) == (0.0, 1.0)
    assert found.ci_low == pytest.approx(-found.ci_high, abs=1e-15)
    assert 0.001 < found.ci_high < 0.02


def test_bad_input() -> None:
    p = CASES["sure"]
    for limit in (0.0, 1.0):
        assert code_of(lambda limit=limit: net_benefit(Y, p, threshold=limit)) == "threshold_out_of_range"
    assert code_of(lambda: decision_curve(Y, p, thresholds=np.array([]))) == "threshold_out_of_range"
    assert (
        code_of(lambda: decision_curve(Y, p, thresholds=np.array([0.1, 1.2]))) == "probability_out_of_range"
    )
    assert code_of(lambda: decision_curve(Y, {}, thresholds=LIMITS)) == "no_models"
    assert (
        code_of(lambda: decision_curve(Y, {"a": p, "b": p * 2}, thresholds=LIMITS))
        == "probability_out_of_range"
    )
    assert (
        code_of(lambda: decision_curve(Y, p, thresholds=LIMITS, prevalence=0.0)) == "prevalence_out_of_range"
    )
    assert code_of(lambda: net_benefit(np.ones(len(Y), int), p, threshold=0.3)) == "one_class"
    assert code_of(lambda: net_benefit(Y, p[1:], threshold=0.3)) == "lengths_differ"
    assert code_of(lambda: net_benefit(Y, p, threshold=0.3, confidence=1.0)) == "confidence_out_of_range"
    one = np.zeros(len(Y))
    assert code_of(lambda: net_benefit(Y, p, threshold=0.3, patient=one)) == "too_few_cases"
