"""Fusion: attention that depends on its query, gate rows, a missing modality that is a mask."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dgccl.config import ModelConfig
from dgccl.errors import TrainingError
from dgccl.model.classifier import DgCcl
from dgccl.model.factory import build_model
from dgccl.model.fusion import Compensation, CrossAttention, Gate

MODELS = ("dgccl", "late_fusion")
OUTPUTS = ("logits", "gate_weights", "embeddings", "predicted_embeddings", "fused", "modality_logits")


def assert_same_bits(a, b):
    for name in OUTPUTS:
        left, right = getattr(a, name), getattr(b, name)
        assert (left is None) == (right is None), name
        if left is not None:
            assert torch.isfinite(left).all(), name
            assert torch.equal(left, right), name


def test_attention_depends_on_its_query():
    """Over one key the softmax is 1 and the query has no say; over tokens it must have one."""
    torch.manual_seed(0)
    attention = CrossAttention(32, heads=8)
    query, other, keys = torch.randn(2, 5, 32), torch.randn(2, 5, 32), torch.randn(2, 7, 32)
    torch.testing.assert_close(attention(query, keys[:, :1], None), attention(other, keys[:, :1], None))
    assert (attention(query, keys, None) - attention(other, keys, None)).abs().max() > 1e-3


def test_attention_in_the_model_depends_on_its_query(small, make_batch):
    """What the gradient says: the attended part changes with the query tokens, at fixed keys."""
    torch.manual_seed(0)
    model = DgCcl(small).eval()
    images, present, _ = make_batch(small, 4)
    found = {}
    model.fusion.attention.register_forward_hook(lambda _module, inputs, output: found.update(out=output))
    model(images, present)
    first = found["out"]
    model({**images, "ct": images["ct"].flip(0)}, present)
    assert (found["out"] - first).abs().max() > 1e-5


def test_attention_reads_only_present_keys():
    torch.manual_seed(0)
    attention = CrossAttention(16, heads=4)
    query, keys = torch.randn(3, 2, 16), torch.randn(3, 6, 16)
    key_present = torch.tensor([True, True, True, False, False, True]).expand(3, -1)
    changed = keys.clone()
    changed[:, 3:5] = 1e3
    assert torch.equal(attention(query, keys, key_present), attention(query, changed, key_present))
    torch.testing.assert_close(
        attention(query, keys, key_present), attention(query, keys[:, [0, 1, 2, 5]], None)
    )


@settings(deadline=None, max_examples=30)
@given(
    rows=st.lists(st.lists(st.booleans(), min_size=3, max_size=3).filter(any), min_size=1, max_size=6),
    seed=st.integers(0, 100),
)
def test_gate_rows_sum_to_one_over_what_is_present(rows, seed):
    torch.manual_seed(seed)
    present = torch.tensor(rows)
    weights = Gate(8, modalities=3, hidden=16)(10 * torch.randn(len(rows), 3, 8), present)
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(len(rows)))
    assert torch.all(weights[~present] == 0)
    assert torch.all(weights[present] > 0)


def test_prediction_of_a_modality_never_reads_it():
    torch.manual_seed(0)
    compensation = Compensation(8, modalities=3)
    embeddings, present = torch.randn(4, 3, 8), torch.ones(4, 3, dtype=torch.bool)
    changed = embeddings.clone()
    changed[:, 1] += 5.0
    before, after = compensation(embeddings, present), compensation(changed, present)
    assert torch.equal(before[:, 1], after[:, 1])
    assert (before[:, 0] - after[:, 0]).abs().max() > 1e-3


def test_nothing_is_predicted_from_nothing():
    compensation = Compensation(8, modalities=2)
    predicted = compensation(torch.randn(1, 2, 8), torch.tensor([[True, False]]))
    assert torch.all(predicted[:, 0] == 0)
    assert predicted[:, 1].norm() > 0


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("filler", [0.0, 1e6, float("nan"), float("inf")])
def test_what_stands_in_for_a_missing_image_never_matters(small, make_batch, name, training, filler):
    images, present, _ = make_batch(small, 8, missing=True)
    replaced = {key: image.clone() for key, image in images.items()}
    for index, image in enumerate(replaced.values()):
        image[~present[:, index]] = filler
    outputs, states = [], []
    for given_images in (images, replaced):
        torch.manual_seed(0)
        model = build_model(small, name).train(training)
        outputs.append(model(given_images, present))
        states.append(model.state_dict())
    assert_same_bits(*outputs)
    for key, value in states[0].items():
        assert torch.equal(value, states[1][key]), key


@pytest.mark.parametrize("name", MODELS)
def test_a_missing_modality_is_not_a_zero_image(small, make_batch, name):
    torch.manual_seed(0)
    model = build_model(small, name).eval()
    images, present, _ = make_batch(small, 4)
    images["pet"] = torch.zeros_like(images["pet"])
    without = present.clone()
    without[:, 1] = False
    assert (model(images, present).logits - model(images, without).logits).abs().max() > 1e-4


@pytest.mark.parametrize("name", MODELS)
def test_images_of_a_modality_that_nobody_has_may_be_left_out(small, make_batch, name):
    images, present, _ = make_batch(small, 4)
    for lacking, index in (("ct", 0), ("pet", 1)):
        without = present.clone()
        without[:, index] = False
        kept = {key: image for key, image in images.items() if key != lacking}
        outputs, states = [], []
        for given_images in (images, kept):
            torch.manual_seed(0)
            model = build_model(small, name).train()
            outputs.append(model(given_images, without))
            states.append(model.state_dict())
        assert_same_bits(*outputs)
        assert torch.all(outputs[0].embeddings[:, index] == 0)
        statistics = [key for key in states[0] if key.startswith("encoders.branches.ct") and "running" in key]
        assert statistics
        if lacking == "ct":  # never shown: mean 0 and variance 1, as made
            assert all(torch.all(states[0][key] == float("var" in key)) for key in statistics)


@pytest.mark.parametrize("name", MODELS)
def test_a_row_does_not_depend_on_what_its_neighbors_lack(small, make_batch, name):
    torch.manual_seed(0)
    model = build_model(small, name).eval()
    images, present, _ = make_batch(small, 8, missing=True)
    together = model(images, present).logits
    for row in range(8):
        alone = model({key: image[row : row + 1] for key, image in images.items()}, present[row : row + 1])
        torch.testing.assert_close(alone.logits[0], together[row])


def test_compensation_reaches_the_fused_vector_of_either_missing_modality(small, make_batch):
    torch.manual_seed(0)
    model = DgCcl(small).eval()
    images, present, _ = make_batch(small, 4, missing=True)
    before = model(images, present)
    with torch.no_grad():
        model.fusion.compensation.residual_weight.zero_()
    after = model(images, present)
    changed = (before.fused - after.fused).abs().amax(dim=1) > 1e-5
    assert changed.tolist() == [False, True, True, False]
    assert torch.equal(before.gate_weights, after.gate_weights)


def test_a_missing_first_modality_still_asks_through_its_prediction(small, make_batch):
    torch.manual_seed(0)
    model = DgCcl(small).eval()
    images, present, _ = make_batch(small, 4)
    present[:, 0] = False
    calls = []
    model.fusion.attention.register_forward_hook(lambda _module, inputs, _output: calls.append(inputs[0]))
    predicted = model(images, present).predicted_embeddings
    (query,) = calls
    torch.testing.assert_close(query, predicted[:, :1].expand_as(query))


def test_weight_zero_removes_the_compensation_path(make_config, make_batch):
    config = make_config(("ct", "pet"), compensation_weight=0.0)
    torch.manual_seed(0)
    model = DgCcl(config).eval()
    assert not [key for key in model.state_dict() if "compensation" in key]
    images, present, _ = make_batch(config, 4, missing=True)
    output = model(images, present)
    assert output.predicted_embeddings is None
    torch.testing.assert_close(output.fused[2], output.embeddings[2, 1])  # only PET: the gate gives it all
    torch.testing.assert_close(output.fused[1], output.embeddings[1, 0])  # only CT: nothing to look at


@pytest.mark.parametrize("name", MODELS)
def test_a_row_with_nothing_is_refused(small, make_batch, name):
    images, present, _ = make_batch(small, 4)
    present[2] = False
    with pytest.raises(TrainingError, match="1 of 4 rows") as caught:
        build_model(small, name)(images, present)
    assert caught.value.code == "no_modality_present"


def test_images_that_do_not_fit_are_refused(small, make_batch):
    model = DgCcl(small)
    images, present, _ = make_batch(small, 4)
    cases = [
        ({"ct": images["ct"]}, present, "image_missing"),
        ({**images, "ct": images["ct"][..., :32, :32]}, present, "image_shape"),
        (images, present[:, :1], "modality_count"),
    ]
    for wrong_images, wrong_present, code in cases:
        with pytest.raises(TrainingError) as caught:
            model(wrong_images, wrong_present)
        assert caught.value.code == code


def test_fused_vector_is_the_gated_sum_when_all_are_present(small, make_batch):
    torch.manual_seed(0)
    model = DgCcl(small).eval()
    images, present, _ = make_batch(small, 4)
    attended = []
    model.fusion.attention.register_forward_hook(lambda _module, _inputs, output: attended.append(output))
    output = model(images, present)
    _, weights = model.encoders.branches["ct"](images["ct"])
    ct = output.embeddings[:, 0] + (weights[..., None] * attended[0]).sum(dim=1)
    expected = output.gate_weights[:, :1] * ct + output.gate_weights[:, 1:] * output.embeddings[:, 1]
    torch.testing.assert_close(output.fused, expected)


def test_gate_has_the_described_layers():
    gate = Gate(768, modalities=2, hidden=ModelConfig().gate_hidden)
    assert [tuple(p.shape) for p in gate.parameters()] == [(64, 1536), (64,), (2, 64), (2,)]
