"""Maps of planes, cubes and tables: complete, of what is there only, and what they must be where that is known."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from dgccl.config import ExperimentConfig
from dgccl.errors import ConfigError
from dgccl.explain.saliency import Question, Saliency, SaliencySettings, image_baselines, patch_px, saliency

Make = Callable[..., Any]
EVERYTHING = ("ct", "pet", "cube", "clinical")
OCCLUSION = SaliencySettings(method="occlusion", patch_mm=8.0)


def ask(
    config: ExperimentConfig, lesions: Any, predictor: Any, row: int, settings: SaliencySettings | None = None
) -> tuple[Question, Saliency]:
    present = lesions.modality_present[row]
    inputs = {name: values[row : row + 1] for name, values in lesions.values.items()}
    shown = tuple(name for name, there in zip(config.modality_names, present.tolist(), strict=True) if there)
    question = Question(predictor.networks, config, inputs, shown, 1)
    zeros = {name: torch.zeros(1, *image.input_shape) for name, image in config.images.items()}
    return question, saliency(question, settings=settings or SaliencySettings(), baselines=zeros)


def log_odds(question: Question, changed: dict[str, Tensor]) -> float:
    with torch.no_grad():
        return float(
            torch.stack([question.log_odds(network, changed) for network in question.networks]).mean()
        )


@pytest.mark.parametrize("model", ["dgccl", "gated_residual", "late_fusion", "summed_logits"])
@pytest.mark.parametrize("row", [0, 1, 2])
def test_integrated_gradients_are_complete(
    model: str, row: int, config_of: Make, lesions_of: Make, predictor_of: Make
) -> None:
    config = config_of(EVERYTHING)
    lesions, predictor = lesions_of(config), predictor_of(config, model)
    question, found = ask(config, lesions, predictor, row)
    assert tuple(found.maps) == question.shown  # what is absent has no map
    assert all(found.maps[name].shape == config.modalities[name].input_shape for name in found.maps)
    assert all(np.isfinite(values).all() for values in found.maps.values())
    total = sum(values.sum() for values in found.maps.values())
    assert found.residual == pytest.approx(found.log_odds - found.baseline_log_odds - total, abs=1e-9)
    allowed = max(0.01 * abs(found.log_odds - found.baseline_log_odds), 1e-3)
    assert abs(found.residual) <= allowed or found.steps == 512
    assert abs(found.residual) <= 3 * allowed
    assert found.log_odds == pytest.approx(log_odds(question, {}), abs=1e-6)


def test_they_are_what_the_definition_gives(config_of: Make, lesions_of: Make, predictor_of: Make) -> None:
    """Against a plain midpoint sum of gradients along the path, written apart from captum."""
    config = config_of(("ct", "pet"))
    lesions, predictor = lesions_of(config), predictor_of(config, "dgccl")
    question, found = ask(config, lesions, predictor, 0)
    steps = 400
    at = (torch.arange(steps) + 0.5)[:, None, None, None] / steps
    path = {name: (at * question.inputs[name]).requires_grad_() for name in ("ct", "pet")}
    odds = question.log_odds(predictor.networks[0], path).sum()
    gradients = torch.autograd.grad(odds, list(path.values()))
    for name, gradient in zip(path, gradients, strict=True):
        expected = (gradient.mean(dim=0) * question.inputs[name][0]).numpy()
        scale = np.abs(expected).max()
        np.testing.assert_allclose(found.maps[name] / scale, expected / scale, atol=0.03)


def test_several_networks_are_averaged(config_of: Make, lesions_of: Make, predictor_of: Make) -> None:
    config = config_of(("ct", "clinical"))
    lesions, both = lesions_of(config), predictor_of(config, "dgccl", networks=2)
    each = [
        ask(config, lesions, type(both)((network,), config, {}, "cpu"), 0, OCCLUSION)[1]
        for network in both.networks
    ]
    found = ask(config, lesions, both, 0, OCCLUSION)[1]
    for name in ("ct", "clinical"):
        np.testing.assert_allclose(found.maps[name], (each[0].maps[name] + each[1].maps[name]) / 2)
    assert ask(config, lesions, both, 0)[1].maps["ct"].shape == config.images["ct"].input_shape


def test_occlusion_is_what_covering_a_patch_costs(
    config_of: Make, lesions_of: Make, predictor_of: Make
) -> None:
    """PET pixels are 4 mm: a patch of 4 mm is one pixel, and each pixel is covered once."""
    config = config_of(("ct", "pet"))
    lesions, predictor = lesions_of(config), predictor_of(config, "dgccl")
    question, found = ask(config, lesions, predictor, 0, SaliencySettings(method="occlusion", patch_mm=4.0))
    assert np.isnan(found.residual)
    assert found.steps == 0
    for place in ((0, 3, 5), (0, 15, 0)):
        covered = question.inputs["pet"].clone()
        covered[0][place] = 0.0
        expected = found.log_odds - log_odds(question, {"pet": covered})
        assert found.maps["pet"][place] == pytest.approx(expected, abs=1e-5)


def test_columns_of_a_table(config_of: Make, lesions_of: Make, predictor_of: Make) -> None:
    """A column that is not known costs nothing when it is taken away, and gets what its being unknown tells."""
    config = config_of(("ct", "clinical"))
    lesions, predictor = lesions_of(config), predictor_of(config, "dgccl")
    lesions.values["clinical"][0, 1] = torch.nan
    question, occluded = ask(config, lesions, predictor, 0, OCCLUSION)
    assert occluded.maps["clinical"][1] == 0.0
    unknown = question.inputs["clinical"].clone()
    unknown[0, 2] = torch.nan
    expected = occluded.log_odds - log_odds(question, {"clinical": unknown})
    assert occluded.maps["clinical"][2] == pytest.approx(expected, abs=1e-5)
    _, integrated = ask(config, lesions, predictor, 0)
    assert (integrated.maps["clinical"] != 0.0).all()


def test_tables_alone_and_tables_joined_to_one_row(
    config_of: Make, lesions_of: Make, predictor_of: Make
) -> None:
    config = config_of(("clinical", "genes"))
    lesions, predictor = lesions_of(config), predictor_of(config, "early_fusion")
    for row, shown in ((0, ("clinical", "genes")), (1, ("genes",)), (2, ("clinical",))):
        _, found = ask(config, lesions, predictor, row)
        assert tuple(found.maps) == shown
        assert found.residual == pytest.approx(0.0, abs=0.02)
    _, occluded = ask(config, lesions, predictor, 0, OCCLUSION)
    assert (occluded.maps["clinical"].shape, occluded.maps["genes"].shape) == ((3,), (2,))


def test_linear_columns_get_weight_times_value(config_of: Make, lesions_of: Make, predictor_of: Make) -> None:
    """In a linear network each column's attribution is known: it says that joined columns are told apart."""
    config = config_of(("clinical", "genes"))
    lesions, predictor = lesions_of(config, missing=False), predictor_of(config, "early_fusion")
    encoder = predictor.networks[0].join.encoder
    weights = torch.tensor([1.0, 10.0, 100.0, 0, 0, 0, 1e3, 1e3, 1e3, 1e4, 1e4])  # numbers, flags, levels
    with torch.no_grad():
        encoder.layers = torch.nn.Sequential(torch.nn.Linear(len(weights), 2, bias=False))
        encoder.layers[0].weight.copy_(torch.stack([-weights / 2, weights / 2]))
        predictor.networks[0].token_score = torch.nn.Linear(2, 1)
        predictor.networks[0].projection, predictor.networks[0].head = (
            torch.nn.Identity(),
            torch.nn.Identity(),
        )
    question, found = ask(config, lesions, predictor, 0)
    age, cea = question.inputs["clinical"][0, :2].tolist()
    kras = float(question.inputs["genes"][0, 0])
    np.testing.assert_allclose(found.maps["clinical"], [age, 10 * cea, 1e3], rtol=1e-4)
    np.testing.assert_allclose(found.maps["genes"], [100 * kras, 1e4], rtol=1e-4)


@pytest.mark.parametrize("settings", [SaliencySettings(), OCCLUSION])
def test_a_modality_that_is_not_read_moves_nothing(
    settings: SaliencySettings, config_of: Make, lesions_of: Make, predictor_of: Make
) -> None:
    config = config_of(EVERYTHING)
    _, found = ask(config, lesions_of(config), predictor_of(config, "single_pet"), 0, settings)
    assert np.abs(found.maps["pet"]).max() > 0.0
    assert all((found.maps[name] == 0.0).all() for name in ("ct", "cube", "clinical"))


def test_the_mean_training_image(config_of: Make, lesions_of: Make) -> None:
    config = config_of(EVERYTHING)
    lesions = lesions_of(config, count=40)
    rows = torch.arange(1, 40)
    found = image_baselines(lesions, rows, config=config, baseline="training_mean", device="cpu")
    assert set(found) == {"ct", "pet", "cube"}
    expected = lesions.values["ct"][[row for row in range(40) if row not in (0, 1)]].mean(dim=0)
    torch.testing.assert_close(found["ct"][0], expected)
    low = image_baselines(lesions, rows, config=config, baseline="low_end", device="cpu")
    assert all(not values.any() for values in low.values())


def test_patches_are_in_millimeters(config_of: Make) -> None:
    images = config_of(EVERYTHING).images
    assert patch_px(images["ct"], 8.0, name="ct") == ((1, 4, 4), (1, 2, 2))
    assert patch_px(images["pet"], 8.0, name="pet") == ((1, 2, 2), (1, 1, 1))
    assert patch_px(images["cube"], 8.0, name="cube") == ((1, 4, 4, 4), (1, 2, 2, 2))
    for patch_mm in (1.9, 32.5, -1.0, float("nan")):
        with pytest.raises(ConfigError, match="ct is shown in pixels of 2 mm over 32 mm") as caught:
            patch_px(images["ct"], patch_mm, name="ct")
        assert caught.value.code == "patch_out_of_range"
