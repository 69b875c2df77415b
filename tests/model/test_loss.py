"""Losses against other people's software, dense references and invariances."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from dgccl.config import ModelConfig
from dgccl.model.classifier import ModelOutput
from dgccl.model.factory import build_model
from dgccl.model.loss import compensation_loss, contrastive_loss, nt_xent, training_loss


def embeddings(pairs: int, width: int, *, seed: int, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    z_a = torch.randn(pairs, width, generator=generator, dtype=dtype)
    return z_a, z_a + torch.randn(pairs, width, generator=generator, dtype=dtype)


def dense_reference(z_a, z_b, temperature):
    """The formula, term by term, in float64."""
    a, b = (np.asarray(z, dtype=np.float64) for z in (z_a, z_b))
    cosine = np.array([[x @ y / (np.linalg.norm(x) * np.linalg.norm(y)) for y in b] for x in a])
    e = np.exp(cosine / temperature)
    n = len(a)
    forth = -np.mean([np.log(e[i, i] / sum(e[i, k] for k in range(n))) for i in range(n)])
    back = -np.mean([np.log(e[i, i] / sum(e[k, i] for k in range(n))) for i in range(n)])
    return (forth + back) / 2


@pytest.mark.parametrize("temperature", [0.1, 0.5])
@pytest.mark.parametrize("pairs", [2, 17])
def test_nt_xent_equals_its_formula(pairs, temperature):
    z_a, z_b = embeddings(pairs, 8, seed=pairs)
    expected = dense_reference(z_a, z_b, temperature)
    assert nt_xent(z_a, z_b, temperature=temperature).item() == pytest.approx(expected, abs=1e-12)
    single = nt_xent(z_a.float(), z_b.float(), temperature=temperature).item()
    assert single == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("pairs", [2, 5, 40])
def test_nt_xent_agrees_with_pytorch_metric_learning(pairs):
    """With references of their own, that library's negatives are the other references: only the other modality."""
    losses = pytest.importorskip("pytorch_metric_learning.losses", reason="the oracle is not installed")
    oracle = losses.NTXentLoss(temperature=0.1)
    z_a, z_b = embeddings(pairs, 16, seed=7)
    z_a.requires_grad_()
    labels, same = (
        torch.arange(pairs),
        torch.arange(pairs),
    )  # one object twice would mean one set of embeddings
    forth = oracle(z_a, labels, ref_emb=z_b, ref_labels=same)
    back = oracle(z_b, labels, ref_emb=z_a, ref_labels=same)
    expected = (forth + back) / 2
    ours = nt_xent(z_a, z_b, temperature=0.1)
    torch.testing.assert_close(ours, expected, atol=1e-6, rtol=0)
    (gradient,) = torch.autograd.grad(ours, z_a)
    (expected_gradient,) = torch.autograd.grad(expected, z_a)
    torch.testing.assert_close(gradient, expected_gradient, atol=1e-6, rtol=0)
    # SimCLR's form takes all 2N - 1 others as candidates and is therefore larger.
    joined = oracle(torch.cat([z_a, z_b]), torch.cat([labels, labels]))
    assert joined > ours


@settings(deadline=None, max_examples=25)
@given(
    pairs=st.integers(2, 12),
    seed=st.integers(0, 10_000),
    scale=st.floats(1e-3, 1e3),
    temperature=st.floats(0.05, 2.0),
)
def test_nt_xent_invariances(pairs, seed, scale, temperature):
    z_a, z_b = embeddings(pairs, 6, seed=seed)
    value = nt_xent(z_a, z_b, temperature=temperature)
    order = torch.randperm(pairs, generator=torch.Generator().manual_seed(seed))
    rotation, _ = torch.linalg.qr(
        torch.randn(6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    )
    lengths = scale * (1.0 + torch.arange(pairs, dtype=torch.float64))[:, None]
    same = {
        "permutation": nt_xent(z_a[order], z_b[order], temperature=temperature),
        "length": nt_xent(lengths * z_a, z_b / scale, temperature=temperature),
        "swap": nt_xent(z_b, z_a, temperature=temperature),
        "rotation": nt_xent(z_a @ rotation, z_b @ rotation, temperature=temperature),
    }
    for change, other in same.items():
        torch.testing.assert_close(other, value, atol=1e-9, rtol=1e-9, msg=change)
    assert value >= 0


def test_nt_xent_of_random_and_of_matched_pairs():
    z, _ = embeddings(64, 256, seed=0)
    constant = torch.ones_like(z)
    assert nt_xent(constant, constant, temperature=0.1).item() == pytest.approx(np.log(64))
    assert nt_xent(z, z, temperature=0.1) < 0.1


@pytest.mark.parametrize("pairs", [0, 1])
def test_fewer_than_two_pairs_give_a_zero_with_zero_gradients(pairs):
    z_a = torch.randn(pairs, 4, requires_grad=True)
    z_b = torch.randn(pairs, 4, requires_grad=True)
    loss = nt_xent(z_a, z_b, temperature=0.1)
    assert loss.item() == 0
    loss.backward()
    assert torch.equal(z_a.grad, torch.zeros_like(z_a))
    assert torch.equal(z_b.grad, torch.zeros_like(z_b))


def test_nt_xent_keeps_its_precision_under_autocast():
    z_a, z_b = embeddings(16, 32, seed=1, dtype=torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = nt_xent(z_a, z_b, temperature=0.1)
    assert inside.dtype == torch.float32
    assert torch.equal(inside, nt_xent(z_a, z_b, temperature=0.1))


def test_contrastive_loss_runs_over_the_rows_that_have_both():
    z, other = embeddings(6, 8, seed=2)
    stacked = torch.stack([z, other], dim=1)
    present = torch.tensor([[1, 1], [1, 0], [1, 1], [0, 1], [1, 1], [1, 1]], dtype=torch.bool)
    rows = [0, 2, 4, 5]
    expected = nt_xent(z[rows], other[rows], temperature=0.1)
    assert torch.equal(contrastive_loss(stacked, present, temperature=0.1), expected)


def test_contrastive_loss_averages_over_pairs_of_modalities_that_occur():
    z, other = embeddings(4, 8, seed=3)
    third = z.flip(0)
    stacked = torch.stack([z, other, third], dim=1)
    everything = torch.ones(4, 3, dtype=torch.bool)
    pairs = [nt_xent(a, b, temperature=0.1) for a, b in ((z, other), (z, third), (other, third))]
    torch.testing.assert_close(contrastive_loss(stacked, everything, temperature=0.1), sum(pairs) / 3)
    without = everything.clone()
    without[:, 2] = False
    torch.testing.assert_close(contrastive_loss(stacked, without, temperature=0.1), pairs[0])


def test_compensation_loss_is_one_minus_cosine_where_it_can_be_checked():
    predicted, true = embeddings(3, 8, seed=4)
    predicted = torch.stack([predicted, true], dim=1).requires_grad_()
    target = torch.randn(3, 2, 8, dtype=torch.float64, requires_grad=True)
    present = torch.tensor([[True, True], [True, False], [True, True]])
    loss = compensation_loss(predicted, target, present)
    expected = 1 - F.cosine_similarity(predicted[[0, 2]], target[[0, 2]], dim=2).mean()
    torch.testing.assert_close(loss, expected)
    loss.backward()
    assert target.grad is None  # a fixed target
    assert torch.all(predicted.grad[1] == 0)
    assert predicted.grad[0].norm() > 0


def test_compensation_loss_without_pairs_is_a_zero_with_zero_gradients():
    predicted = torch.randn(2, 2, 4, requires_grad=True)
    present = torch.tensor([[True, False], [False, True]])
    loss = compensation_loss(predicted, torch.randn(2, 2, 4), present)
    assert loss.item() == 0
    loss.backward()
    assert torch.equal(predicted.grad, torch.zeros_like(predicted))


def test_total_is_the_weighted_sum(make_config, make_batch):
    config = make_config(("ct", "pet"), contrastive_weight=0.3, compensation_weight=0.7)
    torch.manual_seed(0)
    images, present, y_true = make_batch(config, 8, missing=True)
    output = build_model(config, "dgccl")(images, present)
    terms = training_loss(output, y_true, present, config.model)
    assert terms.contrastive > 0
    assert terms.compensation > 0
    expected = terms.cross_entropy + 0.3 * terms.contrastive + 0.7 * terms.compensation
    torch.testing.assert_close(terms.total, expected)
    torch.testing.assert_close(terms.cross_entropy, F.cross_entropy(output.logits, y_true))


def test_weight_zero_leaves_the_contrastive_term_out(make_config, make_batch):
    config = make_config(("ct", "pet"), contrastive_weight=0.0, compensation_weight=0.0)
    images, present, y_true = make_batch(config, 4)
    terms = training_loss(build_model(config, "dgccl")(images, present), y_true, present, config.model)
    assert terms.contrastive == terms.compensation == 0
    assert torch.equal(terms.total, terms.cross_entropy)


def test_a_batch_in_which_nobody_has_both_trains_on_cross_entropy_alone(small, make_batch, run_backward):
    torch.manual_seed(0)
    model = build_model(small, "dgccl")
    images, present, y_true = make_batch(small, 4)
    present[:2, 0] = False
    present[2:, 1] = False
    terms = training_loss(model(images, present), y_true, present, small.model)
    assert terms.contrastive == terms.compensation == 0
    assert torch.isfinite(run_backward(model, small, (images, present, y_true)))


def test_late_fusion_is_trained_as_separate_classifiers():
    torch.manual_seed(0)
    logits = torch.randn(4, 2, 3, requires_grad=True)
    present = torch.tensor([[1, 1], [1, 0], [0, 1], [1, 1]], dtype=torch.bool)
    y_true = torch.tensor([0, 1, 2, 0])
    output = ModelOutput(
        logits=torch.randn(4, 3),
        gate_weights=None,
        embeddings=torch.randn(4, 2, 5),
        predicted_embeddings=None,
        fused=None,
        modality_logits=logits,
        modality_judged=present,
    )
    terms = training_loss(output, y_true, present, ModelConfig(classes=3))
    each = [F.cross_entropy(logits[i, m], y_true[i]) for i, m in present.nonzero().tolist()]
    torch.testing.assert_close(terms.total, sum(each) / 6)
    assert terms.contrastive == terms.compensation == 0
    terms.total.backward()
    assert torch.all(logits.grad[~present] == 0)
