from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special, stats
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score

from dgccl.errors import ConfigError
from dgccl.phantom.kinds import KINDS
from dgccl.phantom.law import VIEWS, LesionLaw, log_likelihood_ratio, sample_lesions

IDEAL_AUC = {"ct": 0.84, "pet": 0.85, "both": 0.93}


def _draw(n: int, *, seed: int = 0, law: LesionLaw | None = None) -> pd.DataFrame:
    return sample_lesions(np.random.default_rng(seed), n, law=law)


def _auc(lesions: pd.DataFrame, view: str, law: LesionLaw | None = None) -> float:
    return float(roc_auc_score(lesions["label"], log_likelihood_ratio(lesions, view, law=law)))


@pytest.mark.parametrize("view", VIEWS)
def test_difficulty_is_as_published(view: str) -> None:
    # Standard error at 40,000 lesions: 0.0019 at AUC 0.84; docs/phantom.md measures 400,000.
    assert _auc(_draw(40_000), view) == pytest.approx(IDEAL_AUC[view], abs=0.01)


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize(
    "law",
    [
        LesionLaw(),
        LesionLaw(prevalence=0.2, label_noise=0.1),
        LesionLaw(interaction=0.4, size_spread=0.5),
        LesionLaw(conditional_independence=True),
    ],
    ids=["default", "noisy_labels", "half_coupled", "independent"],
)
def test_likelihood_ratio_is_calibrated(view: str, law: LesionLaw) -> None:
    """By Bayes' rule the exact ratio predicts the share of label 1 in every bin of itself."""
    lesions = _draw(60_000, seed=3, law=law)
    noise, prevalence = law.label_noise, law.prevalence
    rate = (1 - noise) * prevalence + noise * (1 - prevalence)
    predicted = special.expit(log_likelihood_ratio(lesions, view, law=law) + special.logit(rate))
    label = lesions["label"].to_numpy()
    bins = np.digitize(predicted, np.quantile(predicted, np.linspace(0, 1, 16)[1:-1]))
    for b in range(15):
        inside = bins == b
        spread = np.sqrt((predicted[inside] * (1 - predicted[inside])).sum()) / inside.sum()
        assert abs(label[inside].mean() - predicted[inside].mean()) < 4.5 * spread + 1e-3


def test_uptake_density_agrees_with_numerical_marginal() -> None:
    """PET's ratio against a density made by hand from the law's own numbers, kind by kind."""
    lesions = _draw(200, seed=4)
    x = np.log(lesions[["diameter_mm", "uptake_suv"]].to_numpy())
    grid = np.linspace(np.log(5), np.log(30), 4001)
    density = {True: np.zeros(len(x)), False: np.zeros(len(x))}
    for kind in KINDS:

        def bell(value: np.ndarray, median: float, sd: float) -> np.ndarray:
            return np.exp(-(((value - np.log(median)) / sd) ** 2) / 2)

        size = bell(x[:, 0], kind.diameter_median_mm, kind.diameter_log_sd)
        size /= np.trapezoid(bell(grid, kind.diameter_median_mm, kind.diameter_log_sd), grid)
        uptake = bell(x[:, 1], kind.uptake_median_suv, kind.uptake_log_sd) / kind.uptake_log_sd
        density[kind.malignant] += kind.share * size * uptake
    expected = np.log(density[True] / density[False])
    np.testing.assert_allclose(log_likelihood_ratio(lesions, "pet"), expected, atol=1e-6)


def test_late_fusion_is_optimal_under_conditional_independence() -> None:
    law = LesionLaw(conditional_independence=True)
    lesions = _draw(5_000, law=law)
    ct, pet, both = (log_likelihood_ratio(lesions, view, law=law) for view in VIEWS)
    np.testing.assert_allclose(ct + pet, both, atol=1e-9)
    assert (lesions["avid_fraction"] == 1.0).all()


def test_late_fusion_is_not_optimal_by_default() -> None:
    lesions = _draw(40_000, seed=5)
    summed = log_likelihood_ratio(lesions, "ct") + log_likelihood_ratio(lesions, "pet")
    assert _auc(lesions, "both") - roc_auc_score(lesions["label"], summed) > 0.005


def test_interaction_couples_the_views() -> None:
    """Of the cancers that CT shows as glass, PET is cold with the coupling and hot as any without it."""
    median = {}
    for strength in (0.0, 1.0):
        lesions = _draw(20_000, law=LesionLaw(interaction=strength))
        cancers = lesions[lesions["malignant"] == 1]
        glass = cancers["density_type"] == "ground_glass"
        median[strength] = cancers["uptake_suv"][glass].median() / cancers["uptake_suv"][~glass].median()
    assert median[0.0] == pytest.approx(1.0, abs=0.15)
    assert median[1.0] < 0.5


def test_prevalence_noise_and_spread_do_what_they_say() -> None:
    lesions = _draw(20_000, law=LesionLaw(prevalence=0.2, label_noise=0.1, size_spread=0.01))
    assert lesions["malignant"].mean() == pytest.approx(0.2, abs=0.01)
    assert (lesions["malignant"] != lesions["label"]).mean() == pytest.approx(0.1, abs=0.01)
    assert lesions.groupby("kind")["diameter_mm"].std().max() < 0.2
    assert (_draw(100)["malignant"] == _draw(100)["label"]).all()


def test_label_noise_lowers_what_is_possible_but_not_the_order() -> None:
    law = LesionLaw(label_noise=0.2)
    lesions = _draw(20_000, law=law)
    noisy, clean = log_likelihood_ratio(lesions, "both", law=law), log_likelihood_ratio(lesions, "both")
    assert (np.diff(noisy[np.argsort(clean)]) >= 0).all()
    assert roc_auc_score(lesions["label"], noisy) < roc_auc_score(lesions["malignant"], clean) - 0.1


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 2**32 - 1), spread=st.floats(0.05, 3.0), prevalence=st.floats(0.05, 0.95))
def test_latents_are_in_range_and_ratios_finite(seed: int, spread: float, prevalence: float) -> None:
    law = LesionLaw(size_spread=spread, prevalence=prevalence)
    lesions = _draw(50, seed=seed, law=law)
    assert lesions["diameter_mm"].between(5 - 1e-9, 30 + 1e-9).all()
    assert (
        lesions[["solid_fraction", "spiculation", "inflammation", "avid_fraction"]]
        .stack()
        .between(0, 1)
        .all()
    )
    assert (lesions["solid_fraction"].eq(1.0) == lesions["density_type"].eq("solid")).all()
    for view in VIEWS:
        assert np.isfinite(log_likelihood_ratio(lesions, view, law=law)).all()


def test_hard_cases_occur() -> None:
    lesions = _draw(4_000)
    cold_cancer = lesions.query("malignant == 1 and density_type != 'solid' and uptake_suv < 2.5")
    hot_benign = lesions.query("malignant == 0 and uptake_suv > 2.5")
    small = lesions.query("diameter_mm < 10")
    assert min(len(cold_cancer), len(hot_benign), len(small)) > 200


def test_shares_are_probabilities() -> None:
    for malignant in (False, True):
        assert sum(kind.share for kind in KINDS if kind.malignant == malignant) == pytest.approx(1.0)
    assert all(sum(kind.type_shares) == pytest.approx(1.0) for kind in KINDS)


@pytest.mark.parametrize(
    "wrong", [{"prevalence": 0.0}, {"interaction": 1.5}, {"label_noise": 0.5}, {"size_spread": 0.0}]
)
def test_settings_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        LesionLaw(**wrong)


def _best_auc_of_any_score(features: np.ndarray, label: np.ndarray) -> float:
    """AUC, on the second half, of boosted trees that learned freely from the first."""
    half = len(label) // 2
    model = HistGradientBoostingClassifier(max_iter=60, learning_rate=0.08, random_state=0)
    model.fit(features[:half], label[:half])
    return float(roc_auc_score(label[half:], model.predict_proba(features[half:])[:, 1]))


@pytest.mark.parametrize(
    "law",
    [
        LesionLaw(conditional_independence=True),
        LesionLaw(conditional_independence=True, size_spread=0.01),
        LesionLaw(conditional_independence=True, interaction=0.3, label_noise=0.1, prevalence=0.3),
    ],
    ids=["independent", "one_size", "noisy_labels"],
)
def test_nothing_beats_summed_logits_under_conditional_independence(law: LesionLaw) -> None:
    """Neyman-Pearson, and a learner that may use every interaction of the latents."""
    lesions = _draw(30_000, seed=8, law=law)
    clean = replace(law, label_noise=0.0)
    ct, pet, both = (log_likelihood_ratio(lesions, view, law=clean) for view in VIEWS)
    np.testing.assert_allclose(ct + pet, both, atol=1e-9)
    label, second = lesions["label"].to_numpy(), slice(15_000, None)
    summed = roc_auc_score(label[second], (ct + pet)[second])
    # With wrong labels a joint ratio is a rising function of the clean one, so the order is the same.
    noisy = log_likelihood_ratio(lesions, "both", law=law)
    assert roc_auc_score(label[second], noisy[second]) == pytest.approx(summed, abs=1e-9)
    shown = ["diameter_mm", "solid_fraction", "spiculation", "density_hu", "inflammation", "uptake_suv"]
    learned = _best_auc_of_any_score(np.column_stack([lesions[shown].to_numpy(), ct, pet]), label)
    assert learned < summed + 0.003


def test_by_default_a_learner_beats_summed_logits() -> None:
    """The same learner finds what summed logits lose, so the test above could have failed."""
    lesions = _draw(30_000, seed=8)
    ct, pet = log_likelihood_ratio(lesions, "ct"), log_likelihood_ratio(lesions, "pet")
    label, second = lesions["label"].to_numpy(), slice(15_000, None)
    shown = ["diameter_mm", "solid_fraction", "spiculation", "density_hu", "inflammation", "uptake_suv"]
    learned = _best_auc_of_any_score(np.column_stack([lesions[shown].to_numpy(), ct, pet]), label)
    assert learned > roc_auc_score(label[second], (ct + pet)[second]) + 0.01


def test_one_size_for_all_takes_size_from_the_ratios() -> None:
    law = LesionLaw(conditional_independence=True, size_spread=0.01)
    lesions = _draw(2_000, law=law)
    for view in VIEWS:
        moved = lesions.assign(diameter_mm=lesions["diameter_mm"] * 1.3)
        np.testing.assert_allclose(
            log_likelihood_ratio(moved, view, law=law),
            log_likelihood_ratio(lesions, view, law=law),
            atol=1e-9,
        )


@pytest.mark.parametrize("interaction", [0.0, 0.5, 1.0])
def test_interaction_moves_no_view_of_one_modality_without_size(interaction: float) -> None:
    """Only the coupling goes: of CT latents and of uptake alone, class by class, the laws stay."""
    law = LesionLaw(interaction=interaction)
    lesions, coupled = _draw(40_000, seed=9, law=law), _draw(40_000, seed=10)
    for malignant in (0, 1):
        one, other = (table[table["malignant"] == malignant] for table in (lesions, coupled))
        for name in ("uptake_suv", "diameter_mm", "density_hu", "spiculation"):
            assert stats.ks_2samp(one[name], other[name]).pvalue > 1e-4


@pytest.mark.parametrize("ends", [(30.0, 5.0), (0.0, 30.0), (5.0, 5.0), (float("nan"), 30.0)])
def test_diameters_must_rise(ends: tuple[float, float]) -> None:
    with pytest.raises(ConfigError) as error:
        LesionLaw(diameter_range_mm=ends)
    assert error.value.code == "phantom_setting_out_of_range"
