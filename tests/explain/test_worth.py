"""Shares of the modalities on real networks: they add up, and are what they must be where that is known."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from dgccl.errors import ConfigError, TrainingError
from dgccl.explain.cohort_level import cohort_explanations
from dgccl.explain.worth import class_log_odds, coalition_worth, need_class, prior_log_odds
from dgccl.model.baselines import LateFusion

Make = Callable[..., Any]
PAIR, TRIPLE = ("ct", "pet"), ("ct", "pet", "clinical")
ROWS = np.arange(6)
PRIOR = 0.3
MODELS = ["dgccl", "gated_residual", "late_fusion", "summed_logits", "concatenation", "product_of_experts"]


@pytest.mark.parametrize("names", [PAIR, TRIPLE])
@pytest.mark.parametrize("model", [*MODELS, "cross_attention"])
def test_shares_sum_to_the_answer_less_the_prior(
    names: tuple[str, ...], model: str, config_of: Make, lesions_of: Make, predictor_of: Make
) -> None:
    config = config_of(names)
    lesions, predictor = lesions_of(config), predictor_of(config, model)
    found = coalition_worth(predictor, lesions, ROWS, prior=PRIOR)
    np.testing.assert_allclose(found.shares.sum(axis=1), found.log_odds - PRIOR, atol=1e-12)
    assert (found.shares[~found.modality_present] == 0.0).all()
    assert (found.shares[found.modality_present] != 0.0).all()
    # The answer is the network's own, with all that each lesion has.
    inputs = lesions.inputs(torch.arange(6), shown=lesions.modality_present, device=torch.device("cpu"))
    with torch.no_grad():
        output = predictor.networks[0](inputs, lesions.modality_present)
    np.testing.assert_allclose(found.log_odds, (output.logits[:, 1] - output.logits[:, 0]).numpy(), atol=1e-5)
    if output.gate_weights is None:
        assert found.gate_weights is None
    else:
        assert found.gate_weights is not None
        np.testing.assert_allclose(found.gate_weights, output.gate_weights.numpy(), atol=1e-6)


@pytest.mark.parametrize("names", [PAIR, TRIPLE])
def test_summed_logits_have_a_closed_form(
    names: tuple[str, ...], config_of: Make, lesions_of: Make, predictor_of: Make
) -> None:
    config = config_of(names)
    lesions, predictor = lesions_of(config), predictor_of(config, "summed_logits")
    network, y_true = predictor.networks[0], np.array([0, 0, 0, 1, 1])
    assert isinstance(network, LateFusion)
    network.fit_prior(torch.from_numpy(y_true))
    prior = prior_log_odds(y_true, classes=2, explained_class=1)
    assert prior == pytest.approx(np.log(3 / 4))
    found = coalition_worth(predictor, lesions, ROWS, prior=prior)
    with torch.no_grad():
        own = network(lesions.values, lesions.modality_present).modality_logits
    expected = (own[..., 1] - own[..., 0]).numpy() - prior
    np.testing.assert_allclose(found.shares, np.where(found.modality_present, expected, 0.0), atol=1e-5)


def test_a_modality_that_is_never_read_gets_nothing(
    config_of: Make, lesions_of: Make, predictor_of: Make
) -> None:
    config = config_of(PAIR)
    found = coalition_worth(predictor_of(config, "single_ct"), lesions_of(config), ROWS, prior=PRIOR)
    np.testing.assert_array_equal(found.shares[:, 1], 0.0)
    assert found.log_odds[1] == PRIOR  # PET alone tells this network nothing: it is left with the prior
    np.testing.assert_allclose(found.shares[:, 0], found.log_odds - PRIOR, atol=1e-12)


def test_modalities_in_the_same_part_share_alike(
    config_of: Make, lesions_of: Make, predictor_of: Make
) -> None:
    config = config_of(("ct", "cube"))
    mirrored = config.model_copy(
        update={"modalities": {"a": config.modalities["ct"], "b": config.modalities["ct"]}}
    )
    lesions, predictor = lesions_of(mirrored, missing=False), predictor_of(mirrored, "late_fusion")
    network = predictor.networks[0]
    network.encoders.branches["b"].load_state_dict(network.encoders.branches["a"].state_dict())
    network.heads[1].load_state_dict(network.heads[0].state_dict())
    lesions.values["b"].copy_(lesions.values["a"])
    shares = coalition_worth(predictor, lesions, ROWS, prior=PRIOR).shares
    np.testing.assert_allclose(shares[:, 0], shares[:, 1], atol=1e-12)


def test_several_networks_are_explained_by_their_mean(
    config_of: Make, lesions_of: Make, predictor_of: Make
) -> None:
    config = config_of(PAIR)
    lesions, both = lesions_of(config), predictor_of(config, "dgccl", networks=2)
    each = [
        coalition_worth(type(both)((network,), config, {}, "cpu"), lesions, ROWS, prior=PRIOR)
        for network in both.networks
    ]
    found = coalition_worth(both, lesions, ROWS, prior=PRIOR)
    np.testing.assert_allclose(found.shares, (each[0].shares + each[1].shares) / 2, atol=1e-12)
    np.testing.assert_allclose(found.gate_weights, (each[0].gate_weights + each[1].gate_weights) / 2)


def test_of_more_classes_one_is_explained_against_the_rest(
    config_of: Make, lesions_of: Make, predictor_of: Make
) -> None:
    config = config_of(PAIR, classes=3)
    lesions, predictor = lesions_of(config), predictor_of(config, "dgccl")
    for index in range(3):
        found = coalition_worth(predictor, lesions, ROWS, prior=PRIOR, explained_class=index)
        with torch.no_grad():
            p = predictor.networks[0](lesions.values, lesions.modality_present).probability[:, index].double()
        np.testing.assert_allclose(found.log_odds, (p / (1 - p)).log().numpy(), atol=1e-4)
    with pytest.raises(ConfigError, match=r"Class 3 .* 0 to 2"):
        coalition_worth(predictor, lesions, ROWS, prior=PRIOR, explained_class=3)


def test_log_odds_stay_finite_where_the_probability_rounds_to_one() -> None:
    odds = class_log_odds(torch.tensor([[-100.0, 100.0], [100.0, -100.0]]), explained_class=1)
    assert odds.tolist() == [200.0, -200.0]


def test_the_order_of_rows_and_batches_does_not_matter(
    config_of: Make, lesions_of: Make, predictor_of: Make
) -> None:
    config = config_of(TRIPLE)
    lesions, predictor = lesions_of(config), predictor_of(config, "gated_residual")
    table = cohort_explanations(predictor, lesions, ROWS, prior=PRIOR)
    again = cohort_explanations(predictor, lesions, ROWS[::-1].copy(), prior=PRIOR)
    numbers = table.columns.drop("modalities_shown")
    np.testing.assert_allclose(table[numbers], again[numbers][::-1], atol=1e-5)
    assert table["modalities_shown"].tolist()[:3] == ["ct+pet+clinical", "pet+clinical", "ct"]
    assert table.loc[1, ["gate_ct", "shapley_ct", "alone_ct"]].isna().all()
    shares = table[["shapley_ct", "shapley_pet", "shapley_clinical"]].sum(axis=1)
    np.testing.assert_allclose(shares, table["logit"] - table["prior_log_odds"], atol=1e-12)
    # With one modality, that modality alone is the whole answer.
    assert table.loc[2, "alone_ct"] == table.loc[2, "logit"]


def test_nothing_to_show_is_refused(config_of: Make, lesions_of: Make, predictor_of: Make) -> None:
    config = config_of(PAIR)
    lesions, predictor = lesions_of(config), predictor_of(config, "dgccl")
    lesions.modality_present[4] = False
    with pytest.raises(TrainingError, match=r"1 of 6 lesions .* none of ct, pet") as caught:
        coalition_worth(predictor, lesions, ROWS, prior=PRIOR)
    assert caught.value.code == "nothing_to_show"
    with pytest.raises(TrainingError, match="0 of 0"):
        coalition_worth(predictor, lesions, ROWS[:0], prior=PRIOR)


def test_a_cohort_of_more_classes_needs_one_to_be_named() -> None:
    assert (need_class(None, classes=2), need_class(2, classes=3)) == (1, 2)
    with pytest.raises(ConfigError) as caught:
        need_class(None, classes=3)
    assert caught.value.code == "class_not_named"
