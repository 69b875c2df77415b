"""NT-Xent in tiles: against the formula, other people's software and invariances."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dgccl.model import contrastive
from dgccl.model.contrastive import has_negatives, nt_xent
from dgccl.model.negatives import NegativeQueue

from .contrastive_reference import embeddings, filled_queue, reference, with_gradients

CPU = torch.device("cpu")


@pytest.mark.parametrize(("dtype", "atol"), [(torch.float32, 1e-5), (torch.float64, 1e-10)])
@pytest.mark.parametrize("temperature", [0.01, 0.1, 1.0])
@pytest.mark.parametrize("block_size", [None, 1, 7, 64, 1000])
def test_tiles_equal_the_formula(dtype, atol, temperature, block_size):
    z_a, z_b = embeddings(65, dtype=dtype)
    ours = with_gradients(nt_xent(z_a, z_b, temperature=temperature, block_size=block_size), z_a, z_b)
    expected = with_gradients(reference(z_a, z_b, temperature), z_a, z_b)
    for found, wanted in zip(ours, expected, strict=True):
        assert found.dtype == dtype
        torch.testing.assert_close(found, wanted, atol=atol, rtol=atol)


@pytest.mark.parametrize("block_size", [None, 3])
def test_gradcheck(block_size):
    z_a, z_b = embeddings(7, 4)
    queue = filled_queue(5, 4, ids=torch.arange(5))

    def loss(a, b):
        ids = torch.arange(3, 10)
        return 3.0 * nt_xent(a, b, temperature=0.3, block_size=block_size, queue=queue, lesion_ids=ids)

    assert torch.autograd.gradcheck(loss, (z_a, z_b))
    assert torch.autograd.gradcheck(lambda a: loss(a, z_b.detach()), (z_a,))


@pytest.mark.parametrize("block_size", [None, 4])
@pytest.mark.parametrize("pairs", [2, 5, 40])
def test_agrees_with_pytorch_metric_learning(pairs, block_size):
    losses = pytest.importorskip("pytorch_metric_learning.losses", reason="the oracle is not installed")
    oracle = losses.NTXentLoss(temperature=0.1)
    z_a, z_b = embeddings(pairs, 16, seed=7)
    # Equal labels as two objects: one object twice would mean one set of embeddings.
    labels, same = torch.arange(pairs), torch.arange(pairs)
    forth = oracle(z_a, labels, ref_emb=z_b, ref_labels=same)
    back = oracle(z_b, labels, ref_emb=z_a, ref_labels=same)
    ours = with_gradients(nt_xent(z_a, z_b, temperature=0.1, block_size=block_size), z_a, z_b)
    expected = with_gradients((forth + back) / 2, z_a, z_b)
    for found, wanted in zip(ours, expected, strict=True):
        torch.testing.assert_close(found, wanted, atol=1e-6, rtol=0)


@settings(deadline=None, max_examples=25)
@given(
    pairs=st.integers(2, 12),
    seed=st.integers(0, 10_000),
    temperature=st.floats(0.05, 2.0),
    block_size=st.sampled_from([None, 1, 3, 5]),
)
def test_invariances(pairs, seed, temperature, block_size):
    z_a, z_b = (z.detach() for z in embeddings(pairs, seed=seed))

    def loss(a, b):
        return nt_xent(a, b, temperature=temperature, block_size=block_size)

    value = loss(z_a, z_b)
    order = torch.randperm(pairs, generator=torch.Generator().manual_seed(seed))
    torch.testing.assert_close(loss(z_a[order], z_b[order]), value, atol=1e-9, rtol=1e-9)
    torch.testing.assert_close(loss(z_b, z_a), value, atol=1e-9, rtol=1e-9)
    torch.testing.assert_close(loss(100.0 * z_a, 0.01 * z_b), value, atol=1e-9, rtol=1e-9)
    assert value >= 0
    more = nt_xent(z_a, z_b, temperature=temperature, block_size=block_size, queue=filled_queue(3))
    assert more > value


@pytest.mark.parametrize("block_size", [None, 8])
def test_falls_as_partners_come_nearer(block_size):
    z_a, z_b = (z.detach() for z in embeddings(32, 16))
    noise = z_b - z_a
    values = [
        nt_xent(z_a, z_a + s * noise, temperature=0.1, block_size=block_size) for s in (2.0, 1.0, 0.5, 0.0)
    ]
    assert values == sorted(values, reverse=True)
    constant = torch.ones(32, 4, dtype=torch.float64)
    guess = nt_xent(constant, constant, temperature=0.1, block_size=block_size)
    torch.testing.assert_close(guess, torch.tensor(32.0, dtype=torch.float64).log())


def test_large_batches_take_tiles_and_keep_sums_only(monkeypatch):
    pairs, width = 600, 8
    z_a, z_b = embeddings(pairs, width)
    plain = nt_xent(z_a, z_b, temperature=0.1, block_size=None if pairs**2 <= 2**18 else pairs)
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda x: kept.append(x.numel()) or x, lambda x: x):
        automatic = nt_xent(z_a, z_b, temperature=0.1)
    assert sum(kept) < 10 * pairs * width
    monkeypatch.setattr(contrastive, "DENSE_SIMILARITIES", pairs**2)
    dense = nt_xent(z_a, z_b, temperature=0.1)
    torch.testing.assert_close(automatic, plain, atol=1e-12, rtol=0)
    torch.testing.assert_close(automatic, dense, atol=1e-12, rtol=0)


def test_keeps_its_precision_under_autocast():
    z_a, z_b = embeddings(16, 32, dtype=torch.float32)
    outside = with_gradients(nt_xent(z_a, z_b, temperature=0.1, block_size=5), z_a, z_b)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = with_gradients(nt_xent(z_a, z_b, temperature=0.1, block_size=5), z_a, z_b)
    assert all(torch.equal(x, y) for x, y in zip(inside, outside, strict=True))
    half = nt_xent(z_a.bfloat16(), z_b.bfloat16(), temperature=0.1, block_size=5)
    assert half.dtype == torch.float32


@pytest.mark.parametrize("queue", [None, NegativeQueue(4, 8)])
@pytest.mark.parametrize("block_size", [None, 2])
@pytest.mark.parametrize("pairs", [0, 1])
def test_nothing_to_pick_from_is_a_zero_with_zero_gradients(pairs, block_size, queue):
    z_a, z_b = embeddings(pairs)
    loss, *gradients = with_gradients(
        nt_xent(z_a, z_b, temperature=0.1, block_size=block_size, queue=queue), z_a, z_b
    )
    assert loss.item() == 0
    assert all(torch.equal(x, torch.zeros(pairs, 8, dtype=torch.float64)) for x in gradients)
    assert not has_negatives(pairs, device=CPU, queue=queue)


def test_refusals():
    z_a, z_b = embeddings(3)
    with pytest.raises(ValueError, match="temperature and block_size must be positive"):
        nt_xent(z_a, z_b, temperature=0.0)
    with pytest.raises(ValueError, match="temperature and block_size must be positive"):
        nt_xent(z_a, z_b, temperature=0.1, block_size=0)
