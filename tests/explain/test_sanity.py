"""A map shows what was learned: it lies on a planted signal, and an untrained network's map does not.

Source: Adebayo et al. 2018, arXiv:1810.03292.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from dgccl.config import ExperimentConfig
from dgccl.explain.saliency import Method, Question, SaliencySettings, saliency
from dgccl.explain.sanity import random_network, saliency_sanity
from dgccl.model import build_model
from dgccl.predict import Predictor

Make = Callable[..., Any]
PX, CENTER, RADIUS = 32, (9, 21), 5
PLACE = np.hypot(*np.ogrid[-CENTER[0] : PX - CENTER[0], -CENTER[1] : PX - CENTER[1]]) <= RADIUS
STRIPES = 0.2 + 0.6 * (torch.arange(PX) // 2 % 2).float()[:, None].expand(PX, PX)
PRESENT = torch.ones(64, 2, dtype=torch.bool)
LOW_END = {name: torch.zeros(1, 1, PX, PX) for name in ("ct", "pet")}


def planted(count: int, seed: int) -> tuple[dict[str, Tensor], Tensor]:
    """Noise on both images; in class 1 a disk at one place of CT is striped, of the same mean and range.

    A brighter disk would be no test: integrated gradients multiply by the image, and would show it untrained.
    """
    generator = torch.Generator().manual_seed(seed)
    y_true = torch.arange(count) % 2
    ct, pet, rest = (torch.rand(count, 1, PX, PX, generator=generator) for _ in range(3))
    striped = y_true[:, None, None, None].bool() & torch.from_numpy(PLACE)
    return {"ct": torch.where(striped, STRIPES + 0.1 * (rest - 0.5), 0.2 + 0.6 * ct), "pet": pet}, y_true


@pytest.fixture(scope="module")
def trained(config_of: Make) -> Predictor:
    """Seconds of training on the planted signal."""
    config: ExperimentConfig = config_of(("ct", "pet"))
    update = {"input_px": PX, "view": "axial", "encoder_width": 16}
    images = {name: image.model_copy(update=update) for name, image in config.images.items()}
    config = config.model_copy(update={"modalities": images})
    torch.manual_seed(0)
    network = build_model(config, "dgccl").train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3)
    for step in range(120):
        inputs, y_true = planted(16, seed=step)
        loss = F.cross_entropy(network(inputs, PRESENT[:16]).logits, y_true)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return Predictor((network.eval(),), config, {}, "cpu")


def question_of(predictor: Predictor, row: int) -> Question:
    inputs = {name: values[row : row + 1] for name, values in planted(12, seed=1000)[0].items()}
    return Question(predictor.networks, predictor.config, inputs, ("ct", "pet"), 1)


def on_the_signal(values: np.ndarray) -> float:
    """Part of a map that lies on the planted place."""
    return float(np.abs(values[0])[PLACE].sum() / np.abs(values).sum())


def test_the_network_learned_it(trained: Predictor) -> None:
    inputs, y_true = planted(64, seed=999)
    with torch.no_grad():
        found = trained.networks[0](inputs, PRESENT).logits.argmax(dim=1)
    assert (found == y_true).float().mean() > 0.95


@pytest.mark.parametrize(("method", "times_its_area"), [("integrated_gradients", 4.0), ("occlusion", 2.0)])
def test_the_trained_map_lies_on_the_signal_and_the_random_one_does_not(
    method: Method, times_its_area: float, trained: Predictor
) -> None:
    on_trained, on_random, correlation, pet_to_ct = [], [], [], []
    for row in range(1, 12, 2):
        question = question_of(trained, row)
        found = saliency(question, settings=SaliencySettings(method=method), baselines=LOW_END)
        sanity = saliency_sanity(question, found, baselines=LOW_END, seed=row)
        assert sanity.rank_correlation["ct"] is not None
        on_trained.append(on_the_signal(found.maps["ct"]))
        on_random.append(on_the_signal(sanity.random.maps["ct"]))
        correlation.append(sanity.rank_correlation["ct"])
        pet_to_ct.append(np.abs(found.maps["pet"]).sum() / np.abs(found.maps["ct"]).sum())
    assert min(on_trained) > times_its_area * PLACE.mean()
    assert np.mean(on_random) < 0.5 * np.mean(on_trained)
    assert np.mean(correlation) < 0.2
    assert max(pet_to_ct) < 0.5  # noise that tells nothing


def test_a_network_is_like_itself(trained: Predictor) -> None:
    question = question_of(trained, 1)
    network = random_network(trained.networks[0], trained.config, seed=3)
    same = Question((network,), trained.config, question.inputs, question.shown, 1)
    found = saliency(same, settings=SaliencySettings(), baselines=LOW_END)
    sanity = saliency_sanity(same, found, baselines=LOW_END, seed=3)
    assert sanity.rank_correlation["ct"] == pytest.approx(1.0)


def test_random_weights_are_fresh_and_leave_the_generator_and_the_tables_alone(
    config_of: Make, predictor_of: Make
) -> None:
    config = config_of(("ct", "clinical"))
    network = predictor_of(config, "dgccl").networks[0]
    network.encoders.branches["clinical"].encoder.mean.fill_(7.0)
    before = torch.get_rng_state()
    fresh = [random_network(network, config, seed=seed) for seed in (1, 1, 2)]
    assert torch.equal(torch.get_rng_state(), before)
    weights = [one.state_dict()["head.0.weight"] for one in fresh]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
    assert not torch.equal(weights[0], network.state_dict()["head.0.weight"])
    assert (fresh[0].encoders.branches["clinical"].encoder.mean == 7.0).all()  # type: ignore[union-attr]
