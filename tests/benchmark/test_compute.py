"""The benchmark's tables, on scores whose AUCs are known."""

from dataclasses import replace

import numpy as np
import pytest

from dgccl.benchmark.compute import comparisons, contrast, dropout_curve, drops, method_rows, seed_areas
from dgccl.benchmark.results import compute_results
from dgccl.benchmark.scores import BenchmarkScores, meaning_of_gate
from dgccl.benchmark.settings import BenchmarkConfig
from dgccl.phantom.dicom import sample_cohort
from dgccl.report.benchmark_page import benchmark_markdown, draw_curves
from dgccl.stats import auroc

LOSS = {"recommended": 0.3, "lower_bound": 0.1, "published": 2.0, "concatenation_full": 1.0}
"""Standard deviation of the noise that a method adds to the exact log likelihood ratio."""


def made_scores(config: BenchmarkConfig, *, lesions: int = 1500) -> BenchmarkScores:
    """Exact log likelihood ratios with noise: the more of it, the worse the method."""
    rng = np.random.default_rng(0)
    table = sample_cohort(lesions * len(config.seeds), 5).assign(seed=np.repeat(config.seeds, lesions))
    label = table["label"].to_numpy()
    scores, gates, facts = {}, {}, {}
    for method in config.methods:
        noise = LOSS.get(method.name, 1.5)
        scores[method.name] = {
            pattern: table[column].to_numpy() + noise * rng.standard_normal(len(label))
            for pattern, column in (("ct+pet", "llr_both"), ("ct", "llr_ct"), ("pet", "llr_pet"))
            if not method.model.startswith("single") or method.model.removeprefix("single_") in pattern
        }
        gate = rng.uniform(0.2, 0.8, len(label))
        gates[method.name] = (
            np.stack([gate, 1.0 - gate], axis=1)
            if "gate" in method.name
            else np.full((len(label), 2), np.nan)
        )
        facts[method.name] = [
            {
                "parameters": 10,
                "flops": 100,
                "flops_by_part": {
                    "encoders": 60,
                    "projections": 10,
                    "fusion": 20 if "gate" in method.name else 25,
                    "heads": 5,
                },
                "training_s": 3.0,
                "device": "cpu",
                "threads": 1,
            }
        ]
    return BenchmarkScores(config, table, scores, scores, gates, facts)


@pytest.fixture(scope="module")
def scores(small: BenchmarkConfig) -> BenchmarkScores:
    return made_scores(small)


def test_regret_is_the_bound_minus_the_method(scores: BenchmarkScores) -> None:
    row = next(r for r in method_rows(scores) if (r.method, r.pattern) == ("published", "ct+pet"))
    ideal = np.mean(seed_areas(scores, scores.ideal("ct+pet")))
    lower = np.mean(seed_areas(scores, scores.scores["lower_bound"]["ct+pet"]))
    own = np.mean(seed_areas(scores, scores.scores["published"]["ct+pet"]))
    # Strata weigh by their pairs, which differ a little between seeds.
    assert row.regret_upper.estimate == pytest.approx(ideal - own, abs=1e-4)
    assert row.regret_lower is not None
    assert row.regret_lower.estimate == pytest.approx(lower - own, abs=1e-4)
    assert row.regret_upper.ci_low > 0


def test_excess_drop_is_the_measured_minus_the_unavoidable_one(scores: BenchmarkScores) -> None:
    for drop in drops(scores):
        assert drop.excess_upper.estimate == pytest.approx(
            drop.measured.estimate - drop.unavoidable_upper, abs=1e-12
        )
        assert drop.method not in ("single_ct", "single_pet")


def test_contrast_with_itself_is_nothing(scores: BenchmarkScores) -> None:
    own = scores.scores["published"]["ct"]
    same = contrast(scores, [own, own], [1, -1])
    assert (same.estimate, same.p, same.p_seeds) == (0.0, 1.0, 1.0)


def test_every_family_is_corrected_on_its_own(scores: BenchmarkScores) -> None:
    found = comparisons(scores)
    rivals = [test for test in found if test.family == "recommended against rivals"]
    assert {test.b for test in rivals} == {
        "published", "single_ct", "single_pet", "concatenation_full", "gate_only",
    }  # fmt: skip
    assert all(test.p_holm is not None and test.p_holm >= test.difference.p for test in rivals)
    alone = [test for test in found if test.family == "ct alone"]
    assert [(test.a, test.b, test.pattern, test.p_holm) for test in alone] == [
        ("recommended", "single_ct", "ct", None)
    ]


def test_the_curve_runs_from_all_to_one_modality(scores: BenchmarkScores) -> None:
    own = scores.scores["recommended"]
    for missing, left in (("pet", "ct"), ("ct", "pet")):
        curve = dropout_curve(scores, "recommended", missing=missing, repeats=3)
        assert [share for share, _ in curve] == pytest.approx(np.linspace(0, 1, 11))
        assert curve[0][1] == pytest.approx(np.mean(seed_areas(scores, own["ct+pet"])))
        assert curve[-1][1] == pytest.approx(np.mean(seed_areas(scores, own[left])))
        assert curve[0][1] > curve[5][1] > curve[-1][1]
    either = dropout_curve(scores, "recommended", missing="either", repeats=3)
    assert either[0][1] == curve[0][1]
    with pytest.raises(ValueError, match="no scores without ct"):
        dropout_curve(scores, "single_ct", missing="ct")


def test_targets_hold_what_they_say(scores: BenchmarkScores) -> None:
    results = compute_results(scores, command="made")
    by_name = {target.what: target for target in results.targets}
    upper = by_name["regret against the upper bound"]
    assert upper.reached == (upper.found <= 0.03)
    assert by_name["above published: p after Holm"].reached
    saving = by_name["fusion operations saved by the gate"]
    assert (saving.found, saving.reached) == (pytest.approx(0.2), False)
    alone = by_name["ct alone, not below single_ct"]
    assert alone.reached == (alone.found > -0.01)


def test_the_page_shows_every_figure_as_it_was_computed(scores: BenchmarkScores) -> None:
    import json

    results = json.loads(compute_results(scores, command="dgccl benchmark phantom").to_json())
    page = benchmark_markdown(results)
    assert "**PHANTOM**" in page
    assert "`dgccl benchmark phantom`" in page
    for row in results["rows"]:
        assert f"{row['auroc']['estimate']:.4f}" in page
    for target in results["targets"]:
        assert target["what"] in page
    lines = [line for line in page.splitlines() if line.startswith("|")]
    assert all(line.count("|") >= 3 for line in lines)
    svg = draw_curves(results)
    assert svg.startswith("<svg")
    assert "DG-CCL recommended" in svg


def test_aucs_of_different_seeds_are_not_ranked_together(scores: BenchmarkScores) -> None:
    """A seed whose scores are all higher changes nothing."""
    own = scores.scores["published"]["ct"]
    shifted = own + 100.0 * (scores.seed == scores.config.seeds[0])
    assert seed_areas(scores, shifted) == pytest.approx(seed_areas(scores, own))
    assert contrast(scores, [own, shifted], [1, -1]).estimate == pytest.approx(0.0, abs=1e-12)
    assert auroc(scores.label, shifted) < auroc(scores.label, own) - 0.1


def test_a_gate_that_follows_the_shares_means_what_it_says(scores: BenchmarkScores) -> None:
    assert meaning_of_gate(scores, "published") is None  # without a gate there is nothing to mean
    random = meaning_of_gate(scores, "gate_only")
    assert random is not None
    assert abs(random.by_modality["pet"].spearman.estimate) < 0.1
    own = scores.scores["gate_only"]
    ct, pet = ((own[a] + own["ct+pet"] - own[b]) / 2 for a, b in (("ct", "pet"), ("pet", "ct")))
    share = np.abs(ct) / (np.abs(ct) + np.abs(pet))
    honest = replace(scores, gates=scores.gates | {"gate_only": np.stack([share, 1.0 - share], axis=1)})
    meaning = meaning_of_gate(honest, "gate_only")
    assert meaning is not None
    assert meaning.by_modality["ct"].spearman.estimate == pytest.approx(1.0)
    assert meaning.by_modality["ct"].agreement.estimate == pytest.approx(1.0)


def test_bounds_are_in_their_order(scores: BenchmarkScores) -> None:
    """Blur and noise take from what can be known; PET is granted all that its images show."""
    for pattern in scores.patterns:
        truth, left = (
            np.mean(seed_areas(scores, s)) for s in (scores.ideal(pattern), scores.surviving(pattern))
        )
        assert truth >= left - 0.002, pattern
    pet = scores.lesions["llr_pet"].to_numpy()
    assert np.mean(seed_areas(scores, scores.ideal("pet"))) > np.mean(seed_areas(scores, pet)) + 0.01
