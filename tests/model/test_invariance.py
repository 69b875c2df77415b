"""The bound on the mutual information: its limits, what it lowers, and that it needs no pairs."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from dgccl.model.invariance import ModalityDiscriminator, invariance_loss

WIDTH = 8


def clouds(distance: float, *, sizes=(200, 200), width: int = WIDTH, seed: int = 0, paired: bool = False):
    """A Gaussian a modality, `distance` apart on one axis, around a common point far from the origin."""
    generator = torch.Generator().manual_seed(seed)
    cases, modalities = sum(sizes), len(sizes)
    embeddings = torch.randn(cases, modalities, width, generator=generator)
    embeddings[:, :, 1] += 4.0
    embeddings[:, :, 0] += distance * (torch.arange(modalities) - (modalities - 1) / 2)
    owner = torch.repeat_interleave(torch.arange(modalities), torch.tensor(sizes))
    present = F.one_hot(owner, modalities).bool()
    return embeddings, torch.ones_like(present) if paired else present


def fit_fresh(embeddings, present, *, steps: int = 150, seed: int = 1) -> ModalityDiscriminator:
    torch.manual_seed(seed)
    discriminator = ModalityDiscriminator(
        embeddings.shape[2], modalities=embeddings.shape[1], hidden=16, speed=1.0
    )
    optimizer = torch.optim.Adam(discriminator.parameters(), lr=0.02, weight_decay=1e-3)
    for _ in range(steps):
        optimizer.zero_grad()
        invariance_loss(embeddings.detach(), present, discriminator).loss.backward()
        optimizer.step()
    return discriminator


def fresh_estimate(embeddings, present) -> float:
    """In nats, by a new discriminator that is fitted on every second case, over the others."""
    discriminator = fit_fresh(embeddings[::2], present[::2])
    return invariance_loss(embeddings[1::2], present[1::2], discriminator).mutual_information.item()


@pytest.mark.parametrize("paired", [True, False])
@pytest.mark.parametrize("sizes", [(200, 200), (60, 340), (200, 100, 150)])
def test_separable_modalities_carry_all_their_entropy(sizes, paired):
    estimate = fresh_estimate(*clouds(12.0, sizes=sizes, paired=paired))
    assert estimate <= math.log(len(sizes))
    assert estimate > 0.9 * math.log(len(sizes))


@pytest.mark.parametrize("sizes", [(4000, 4000), (4000, 2000, 3000)])
def test_like_modalities_carry_nothing(sizes):
    assert abs(fresh_estimate(*clouds(0.0, sizes=sizes))) < 0.05


def test_the_estimate_approaches_the_true_information():
    """Two Gaussians on a line, 2 apart, of unit variance: I = log 2 - E log(1 + exp(-2 x)), x ~ N(1, 1)."""
    x = 1.0 + torch.randn(1_000_000, generator=torch.Generator().manual_seed(0))
    true = math.log(2) - F.softplus(-2 * x).mean().item()
    embeddings, present = clouds(2.0, sizes=(3000, 3000), width=2)
    embeddings[:, :, 1] = 1.0  # the direction says where on the line
    assert fresh_estimate(embeddings, present) == pytest.approx(true, abs=0.04)


@pytest.mark.parametrize("scale", [1.0, 100.0])
def test_never_exceeds_the_entropy_and_agrees_with_its_formula(scale):
    embeddings, present = clouds(1.0, sizes=(5, 30, 11), paired=False)
    discriminator = ModalityDiscriminator(WIDTH, modalities=3)
    for parameter in discriminator.parameters():
        parameter.data *= scale
    terms = invariance_loss(embeddings, present, discriminator)
    log_q = [discriminator(embeddings[present[:, m], m]).log_softmax(1)[:, m].mean() for m in range(3)]
    torch.testing.assert_close(terms.mutual_information, math.log(3) + sum(log_q) / 3)
    assert terms.mutual_information <= math.log(3)
    torch.testing.assert_close(terms.loss, terms.mutual_information.clamp(min=0))


def test_gradient_is_reversed_for_encoders_and_plain_for_the_discriminator():
    embeddings, present = clouds(12.0, sizes=(6, 6))
    discriminator = fit_fresh(*clouds(12.0))
    discriminator.zero_grad()
    embeddings.requires_grad_()
    terms = invariance_loss(embeddings, present, discriminator)
    assert terms.mutual_information > 0
    (0.3 * terms.loss).backward()

    plain = embeddings.detach().clone().requires_grad_()
    twin = ModalityDiscriminator(WIDTH, modalities=2, hidden=16, speed=1.0)
    twin.load_state_dict(discriminator.state_dict())
    modality = present.nonzero()[:, 1]
    (0.3 * F.cross_entropy(twin(plain[present]), modality)).backward()
    assert embeddings.grad.norm() > 0
    torch.testing.assert_close(embeddings.grad, -plain.grad)
    for ours, expected in zip(discriminator.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, expected.grad)


def test_a_negative_bound_asks_nothing_of_the_encoders():
    """A discriminator that is surely wrong: reversal alone would go on to reward that."""
    discriminator = fit_fresh(*clouds(12.0))
    discriminator.zero_grad()
    embeddings, present = clouds(-12.0, sizes=(6, 6))
    embeddings.requires_grad_()
    terms = invariance_loss(embeddings, present, discriminator)
    assert terms.mutual_information < 0
    assert terms.loss == 0
    terms.loss.backward()
    assert torch.all(embeddings.grad == 0)
    assert all(parameter.grad.norm() > 0 for parameter in discriminator.parameters())


def test_absent_rows_never_enter():
    discriminator = ModalityDiscriminator(WIDTH, modalities=2)
    results = []
    for junk in (0.0, torch.nan, 1e30):
        embeddings, present = clouds(3.0, sizes=(4, 7))
        present[:2] = True
        embeddings[~present] = junk
        embeddings.requires_grad_()
        discriminator.zero_grad()
        terms = invariance_loss(embeddings, present, discriminator)
        terms.loss.backward()
        gradients = [parameter.grad.clone() for parameter in discriminator.parameters()]
        results.append((terms.loss.detach(), terms.mutual_information, embeddings.grad, *gradients))
        assert torch.all(embeddings.grad[~present] == 0)
    for other in results[1:]:
        assert all(torch.equal(x, y) for x, y in zip(results[0], other, strict=True))


@pytest.mark.parametrize("cases", [0, 5])
def test_one_modality_or_none_says_nothing(cases):
    embeddings, present = clouds(3.0, sizes=(cases, 0))
    embeddings.requires_grad_()
    discriminator = ModalityDiscriminator(WIDTH, modalities=2)
    terms = invariance_loss(embeddings, present, discriminator)
    assert terms.loss == terms.mutual_information == 0
    terms.loss.backward()
    for gradient in (embeddings.grad, *(parameter.grad for parameter in discriminator.parameters())):
        assert torch.all(gradient == 0)


def test_a_modality_that_does_not_occur_is_no_choice():
    embeddings, present = clouds(3.0, sizes=(9, 0, 4))
    discriminator = ModalityDiscriminator(WIDTH, modalities=3)
    before = invariance_loss(embeddings, present, discriminator).mutual_information
    discriminator.second.bias.data[1] += 100.0
    assert torch.equal(invariance_loss(embeddings, present, discriminator).mutual_information, before)


def test_each_modality_weighs_the_same_and_length_does_not_matter():
    embeddings, present = clouds(2.0, sizes=(20, 20))
    discriminator = ModalityDiscriminator(WIDTH, modalities=2)
    expected = invariance_loss(embeddings, present, discriminator).mutual_information
    often = torch.cat([embeddings, *[embeddings[20:]] * 4]), torch.cat([present, *[present[20:]] * 4])
    torch.testing.assert_close(invariance_loss(*often, discriminator).mutual_information, expected)
    shrunk = invariance_loss(1e-4 * embeddings, present, discriminator).mutual_information
    torch.testing.assert_close(shrunk, expected)


def test_speed_is_a_learning_rate_under_adam():
    embeddings, present = clouds(2.0)
    verdicts = []
    for speed, rate in ((1.0, 0.05), (10.0, 0.005)):
        torch.manual_seed(0)
        discriminator = ModalityDiscriminator(WIDTH, modalities=2, speed=speed).double()
        optimizer = torch.optim.Adam(discriminator.parameters(), lr=rate, eps=1e-30)
        for _ in range(3):
            optimizer.zero_grad()
            invariance_loss(embeddings.double(), present, discriminator).loss.backward()
            optimizer.step()
        verdicts.append(discriminator(embeddings[:, 0].double()))
    torch.testing.assert_close(verdicts[0], verdicts[1], atol=1e-5, rtol=1e-5)


def test_keeps_its_precision_under_autocast():
    embeddings, present = clouds(2.0)
    discriminator = ModalityDiscriminator(WIDTH, modalities=2)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = invariance_loss(embeddings, present, discriminator).loss
    assert torch.equal(inside, invariance_loss(embeddings, present, discriminator).loss)


def toy_cases(cases: int, *, seed: int):
    """Class on the first axis of both modalities, modality on an axis of its own; nobody has both."""
    generator = torch.Generator().manual_seed(seed)
    y_true = torch.arange(cases) // 4 % 2
    x = torch.randn(cases, 2, WIDTH, generator=generator)
    x[:, :, 0] += 3.0 * (2 * y_true[:, None] - 1)
    x[:, 0, 1] += 3.0
    x[:, 1, 2] += 3.0
    return x, F.one_hot(torch.arange(cases) // 2 % 2, 2).bool(), y_true


def toy_training(weight: float, *, steps: int = 400, batch: int = 64) -> tuple[float, float]:
    """Information that a fresh discriminator finds in new cases, and accuracy, of two encoders with one head."""
    torch.manual_seed(0)
    encoders = nn.ModuleList(nn.Linear(WIDTH, WIDTH) for _ in range(2))
    head, discriminator = nn.Linear(WIDTH, 2), ModalityDiscriminator(WIDTH, modalities=2)
    everything = nn.ModuleList([encoders, head, discriminator])
    optimizer = torch.optim.AdamW(everything.parameters(), lr=3e-3, weight_decay=0.01)
    x, present, y_true = toy_cases(600, seed=0)

    def encode(x):
        return torch.stack([encoder(x[:, m]) for m, encoder in enumerate(encoders)], dim=1)

    for _ in range(steps):
        rows = torch.randperm(len(x))[:batch]
        embeddings = encode(x[rows])
        loss = F.cross_entropy(head(embeddings[present[rows]]), y_true[rows])
        loss = loss + weight * invariance_loss(embeddings, present[rows], discriminator).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    x, present, y_true = toy_cases(4000, seed=1)
    embeddings = encode(x).detach()
    accuracy = (head(embeddings[present]).argmax(dim=1) == y_true).float().mean().item()
    return fresh_estimate(embeddings, present), accuracy


def test_training_against_it_removes_the_modality_and_keeps_the_class():
    plain, plain_accuracy = toy_training(0.0)
    against, accuracy = toy_training(0.3)
    assert plain > 0.5
    assert against < 0.5 * plain
    assert min(accuracy, plain_accuracy) > 0.98


def test_discriminator_refuses_what_makes_no_sense():
    with pytest.raises(ValueError, match="modalities to tell apart"):
        ModalityDiscriminator(WIDTH, modalities=1)
    with pytest.raises(ValueError, match="speed must be positive"):
        ModalityDiscriminator(WIDTH, modalities=2, speed=0.0)
