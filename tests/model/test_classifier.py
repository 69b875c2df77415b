"""Whole models: shapes, counts, gradients, determinism, invariance, precision."""

import pytest
import torch

from dgccl.errors import ConfigError
from dgccl.model.baselines import LateFusion, log_mean_probability
from dgccl.model.classifier import DgCcl
from dgccl.model.factory import build_model

MODELS = ("dgccl", "late_fusion")


def test_paper_preset_shapes_sizes_and_gradients(paper, paper_model, make_batch, run_backward):
    model = paper_model
    sizes = {name: sum(p.numel() for p in child.parameters()) for name, child in model.named_children()}
    # CT: trunk 8,537,024 + bins 21,504 + token score 1,024 + projection 1024 x 768 + 768.
    # PET: trunk 21,417,600 + output 295,680 + token score 768 + projection 768 x 768 + 768.
    ct = 8_537_024 + 21_504 + 1_024 + 787_200
    pet = 21_417_600 + 295_680 + 768 + 590_592
    # Attention 4 x (768 x 768 + 768) and two norms of 2 x 768; gate 1536 x 64 + 64 + 64 x 2 + 2; compensation four
    # layers of 768 x 768 + 768 and two scalars; head 768 x 512 + 512 + 512 x 2 + 2.
    fusion = (2_362_368 + 3_072) + 98_498 + (2_362_368 + 2)
    assert sizes == {"encoders": ct + pet, "fusion": fusion, "head": 394_754}
    assert sum(sizes.values()) == 36_872_454

    images, present, y_true = make_batch(paper, 2)
    with torch.no_grad():
        output = model(images, present)
    assert output.logits.shape == output.gate_weights.shape == (2, 2)
    assert output.embeddings.shape == output.predicted_embeddings.shape == (2, 2, 768)
    assert output.fused.shape == (2, 768)

    present[1, 1] = False
    assert torch.isfinite(run_backward(model.train(), paper, (images, present, y_true)))
    assert not [name for name, p in model.named_parameters() if p.grad is None]


def test_fast_preset_is_small(fast):
    assert sum(p.numel() for p in DgCcl(fast).parameters()) == 211_750


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("names", [("ct", "pet"), ("ct", "pet", "mr"), ("pet", "ct")])
@pytest.mark.parametrize("missing", [False, True])
def test_every_parameter_gets_a_gradient(make_config, make_batch, run_backward, name, names, missing):
    config = make_config(names, dropout=0.0)
    torch.manual_seed(0)
    model = build_model(config, name)
    loss = run_backward(model, config, make_batch(config, 8, missing=missing))
    assert torch.isfinite(loss)
    # With everything present nothing is compensated, so that the path's share has an exact gradient of 0.
    zero_allowed = set() if missing else {"fusion.compensation.residual_weight"}
    for key, parameter in model.named_parameters():
        assert parameter.requires_grad
        assert parameter.grad is not None, key
        assert torch.isfinite(parameter.grad).all(), key
        assert key in zero_allowed or parameter.grad.abs().max() > 0, key


def test_gradient_check_would_notice_an_unused_layer(small, make_batch, run_backward):
    model = DgCcl(small)
    model.unused = torch.nn.Linear(2, 2)
    run_backward(model, small, make_batch(small, 4))
    assert [name for name, p in model.named_parameters() if p.grad is None] == [
        "unused.weight",
        "unused.bias",
    ]


@pytest.mark.parametrize("name", MODELS)
def test_same_seed_same_bits(small, make_batch, run_backward, name):
    runs = []
    for _ in range(2):
        torch.manual_seed(3)
        model = build_model(small, name)
        loss = run_backward(model, small, make_batch(small, 8, missing=True))
        runs.append([loss, *(p.grad for p in model.parameters())])
    assert all(torch.equal(a, b) for a, b in zip(*runs, strict=True))


@pytest.mark.parametrize("name", MODELS)
def test_order_of_the_batch_does_not_matter_in_eval_mode(small, make_batch, name):
    torch.manual_seed(0)
    model = build_model(small, name).eval()
    images, present, _ = make_batch(small, 8, missing=True)
    order = torch.randperm(8, generator=torch.Generator().manual_seed(1))
    output = model(images, present)
    shuffled = model({key: image[order] for key, image in images.items()}, present[order])
    torch.testing.assert_close(shuffled.logits, output.logits[order])
    torch.testing.assert_close(shuffled.embeddings, output.embeddings[order])
    if output.gate_weights is not None:
        torch.testing.assert_close(shuffled.gate_weights, output.gate_weights[order])


@pytest.mark.parametrize("name", MODELS)
def test_three_modalities(three, make_batch, name):
    torch.manual_seed(0)
    model = build_model(three, name).eval()
    images, present, _ = make_batch(three, 8, missing=True)
    output = model(images, present)
    assert output.embeddings.shape == (8, 3, 32)
    assert torch.all(output.embeddings[~present] == 0)
    torch.testing.assert_close(output.probability.sum(dim=1), torch.ones(8))
    if name == "dgccl":
        assert torch.all(output.gate_weights[~present] == 0)
        only_second = torch.tensor([[False, True, False]]).expand(8, -1)
        assert torch.isfinite(model(images, only_second).logits).all()


@pytest.mark.parametrize("name", MODELS)
def test_bfloat16_autocast_is_finite(small, make_batch, run_backward, name):
    torch.manual_seed(0)
    model = build_model(small, name)
    images, present, y_true = make_batch(small, 8, missing=True)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = model(images, present)
        loss = run_backward(model, small, (images, present, y_true))
    assert torch.isfinite(loss)
    assert torch.isfinite(output.logits).all()
    assert output.probability.dtype == torch.float32
    assert all(torch.isfinite(p.grad).all() for p in model.parameters())


@pytest.mark.parametrize("name", MODELS)
def test_bfloat16_autocast_takes_a_batch_that_lacks_a_modality(small, make_batch, run_backward, name):
    model = build_model(small, name)
    images, present, y_true = make_batch(small, 4)
    for index in range(2):
        lacking = present.clone()
        lacking[:, index] = False
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert torch.isfinite(run_backward(model, small, (images, lacking, y_true)))


def test_more_than_two_classes(make_config, make_batch, run_backward):
    config = make_config(("ct", "pet"), classes=4)
    for name in MODELS:
        model = build_model(config, name)
        batch = make_batch(config, 8)
        assert model(*batch[:2]).logits.shape == (8, 4)
        assert torch.isfinite(run_backward(model, config, batch))


def test_late_fusion_averages_the_probabilities_of_what_is_present(small, make_batch):
    torch.manual_seed(0)
    model = LateFusion(small).eval()
    images, present, _ = make_batch(small, 4, missing=True)
    output = model(images, present)
    own = output.modality_logits.softmax(dim=2)
    torch.testing.assert_close(output.probability[0], own[0].mean(dim=0))
    torch.testing.assert_close(output.probability[1], own[1, 0])
    torch.testing.assert_close(output.probability[2], own[2, 1])
    assert output.gate_weights is None
    assert output.fused is None


def test_log_mean_probability_survives_extreme_logits():
    logits = torch.tensor([[[200.0, -200.0], [-200.0, 200.0]]], requires_grad=True)
    result = log_mean_probability(logits, torch.tensor([[True, True]]))
    torch.testing.assert_close(result.exp(), torch.tensor([[0.5, 0.5]]))
    result.sum().backward()
    assert torch.isfinite(logits.grad).all()


def test_late_fusion_works_on_one_modality_and_dgccl_refuses(make_config, make_batch):
    config = make_config(("ct",))
    images, present, _ = make_batch(config, 2)
    assert LateFusion(config)(images, present).logits.shape == (2, 2)
    with pytest.raises(ConfigError) as caught:
        build_model(config, "dgccl")
    assert caught.value.code == "too_few_modalities"


def test_unknown_model_is_refused(small):
    with pytest.raises(ConfigError, match="late_fusion") as caught:
        build_model(small, "earliest_fusion")
    assert caught.value.code == "unknown_model"


def test_dgccl_learns_a_toy_interaction(make_config, make_batch, run_backward):
    """The label is whether CT and PET are both bright or both dark: neither modality tells alone."""
    config = make_config(("mr", "ct"), dropout=0.0)
    torch.manual_seed(0)
    model = build_model(config, "dgccl")
    images, present, _ = make_batch(config, 24)
    bright = torch.randint(0, 2, (2, 24), generator=torch.Generator().manual_seed(1))
    for image, level in zip(images.values(), bright, strict=True):
        image.mul_(0.2).add_(0.8 * level[:, None, None, None])
    y_true = (bright[0] == bright[1]).long()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(20):
        run_backward(model, config, (images, present, y_true))
        optimizer.step()
    predicted = model(images, present).logits.argmax(dim=1)
    assert (predicted == y_true).float().mean() > 0.95
