"""Negatives from a queue and from other processes: against the formula, and against one process."""

import datetime
import itertools
import time
from pathlib import Path

import pytest
import torch
import torch.multiprocessing
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import distributed
from torch.nn import functional as F

from dgccl.model.contrastive import has_negatives, nt_xent
from dgccl.model.negatives import NegativeQueue

from .contrastive_reference import embeddings, filled_queue, reference, with_gradients

CPU = torch.device("cpu")


def test_a_queue_gives_a_single_pair_something_to_pick_from():
    queue = filled_queue(3)
    z_a, z_b = embeddings(1)
    assert nt_xent(z_a, z_b, temperature=0.1, queue=queue) > 0
    assert has_negatives(1, device=CPU, queue=queue)
    assert not has_negatives(0, device=CPU, queue=queue)
    assert nt_xent(z_a[:0], z_b[:0], temperature=0.1, queue=queue) == 0


@pytest.mark.parametrize(("entries", "capacity"), [(3, 3), (3, 10), (20, 6)])
@pytest.mark.parametrize("block_size", [None, 2, 100])
@pytest.mark.parametrize("named", [True, False])
def test_queue_entries_are_negatives(entries, capacity, block_size, named):
    ids = torch.arange(entries) if named else None
    queue = filled_queue(entries, capacity=capacity, ids=ids)
    past = [F.normalize(z.detach(), dim=1)[-capacity:] for z in embeddings(entries, seed=99)]
    z_a, z_b = embeddings(5)
    own_ids = torch.tensor([0, 19, 7, 2, 1])
    same = own_ids[:, None] == torch.arange(entries)[-capacity:] if named else None
    loss = nt_xent(z_a, z_b, temperature=0.2, block_size=block_size, queue=queue, lesion_ids=own_ids)
    # The queue moves on before the backward pass, as it does in training.
    queue.update(*embeddings(capacity, seed=5))
    ours = with_gradients(loss, z_a, z_b)
    expected = with_gradients(reference(z_a, z_b, 0.2, *past, same=same), z_a, z_b)
    for found, wanted in zip(ours, expected, strict=True):
        torch.testing.assert_close(found, wanted, atol=1e-10, rtol=0)


@settings(deadline=None, max_examples=40)
@given(capacity=st.integers(1, 9), batches=st.lists(st.integers(0, 14), max_size=6))
def test_the_queue_holds_the_last_entries(capacity, batches):
    queue = NegativeQueue(capacity, 2)
    count = itertools.count()
    for size in batches:
        ids = torch.tensor([next(count) for _ in range(size)], dtype=torch.int64)
        angle = ids.float()
        z_a = torch.stack([angle.cos(), angle.sin()], dim=1).requires_grad_()
        queue.update(3.0 * z_a, z_a.flip(1), lesion_ids=ids)
    total = sum(batches)
    z_a, z_b, ids = queue.entries()
    assert sorted(ids.tolist()) == list(range(max(total - capacity, 0), total))
    assert queue.filled == len(ids) == min(total, capacity)
    expected = torch.stack([ids.float().cos(), ids.float().sin()], dim=1)
    torch.testing.assert_close(z_a, expected)
    torch.testing.assert_close(z_b, expected.flip(1))
    assert not any(x.requires_grad for x in queue.buffers())


def test_the_queue_goes_on_from_a_checkpoint_bit_for_bit():
    queue, resumed = filled_queue(5, capacity=7), NegativeQueue(7, 8).double()
    resumed.load_state_dict(queue.state_dict())
    for each in (queue, resumed):
        each.update(*embeddings(4, seed=3), lesion_ids=torch.arange(4))
    for name, value in queue.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name])


def test_rows_that_overflowed_stay_out_of_the_queue():
    queue = NegativeQueue(4, 2)
    z_a = torch.tensor([[1.0, 0.0], [torch.nan, 1.0], [0.0, 2.0]])
    queue.update(z_a, torch.tensor([[1.0, 0.0], [0.0, 1.0], [torch.inf, 1.0]]))
    assert queue.filled == 1
    assert all(x.isfinite().all() for x in queue.entries()[:2])


def test_a_queue_has_a_size():
    with pytest.raises(ValueError, match="capacity and width must be positive"):
        NegativeQueue(0, 8)


# Pairs of two processes; the queue of case i is what the cases before it have left.
SHARES = [(5, 3), (4, 0), (1, 1), (0, 0), (1, 0), (0, 6)]


def share(case: int, rank: int):
    first = sum(SHARES[case][:rank])
    return slice(first, first + SHARES[case][rank])


def encoder() -> torch.nn.Module:
    torch.manual_seed(0)
    return torch.nn.Linear(8, 5).double()


def encoder_gradient(network: torch.nn.Module, case: int, rows: slice, *, gather: bool):
    """Gradient of an encoder's weights."""
    network.zero_grad()
    z_a, z_b = (z.detach()[rows] for z in embeddings(sum(SHARES[case]), seed=case))
    both = network(torch.cat([z_a, z_b]))
    nt_xent(*both.tensor_split(2), temperature=0.2, gather=gather).backward()
    return next(network.parameters()).grad.clone()


def gathered_process(rank: int, folder: str) -> None:
    """One of two processes: loss, gradient and queue of each case, with and without a queue."""
    torch.set_num_threads(1)
    distributed.init_process_group(
        "gloo",
        init_method=f"file://{folder}/meeting",
        rank=rank,
        world_size=2,
        timeout=datetime.timedelta(seconds=60),
    )
    parallel = torch.nn.parallel.DistributedDataParallel(encoder())
    found, queue = [], NegativeQueue(6, 8).double()
    for case, with_queue in itertools.product(range(len(SHARES)), [False, True]):
        everyone = embeddings(sum(SHARES[case]), seed=case)
        z_a, z_b = (z.detach()[share(case, rank)].requires_grad_() for z in everyone)
        ids = torch.arange(sum(SHARES[case]))[share(case, rank)]
        named = {"queue": queue, "lesion_ids": ids} if with_queue else {}
        loss = nt_xent(z_a, z_b, temperature=0.2, block_size=2, gather=True, **named)
        counts = has_negatives(len(z_a), device=CPU, queue=named.get("queue"), gather=True)
        found.append((*with_gradients(loss, z_a, z_b), counts))
        if with_queue:
            queue.update(z_a, z_b, lesion_ids=ids, gather=True)
    averaged = [
        encoder_gradient(parallel, case, share(case, rank), gather=True) for case in range(len(SHARES))
    ]
    torch.save((found, queue.state_dict(), averaged), f"{folder}/{rank}.pt")
    distributed.destroy_process_group()


def run_two_processes(folder: Path) -> list:
    context = torch.multiprocessing.spawn(gathered_process, (str(folder),), nprocs=2, join=False)
    try:
        deadline = time.monotonic() + 120
        while not context.join(timeout=1):
            assert time.monotonic() < deadline, "two processes did not end within two minutes"
    finally:
        for process in context.processes:
            if process.is_alive():
                process.kill()
            process.join()
    return [torch.load(folder / f"{rank}.pt") for rank in range(2)]


@pytest.mark.skipif(not distributed.is_gloo_available(), reason="this torch has no gloo")
def test_two_processes_equal_one_with_all_pairs(tmp_path, monkeypatch):
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "lo")
    monkeypatch.syspath_prepend(Path(__file__).parents[2])  # the processes import this module by its name
    ranks = run_two_processes(tmp_path)
    queue = NegativeQueue(6, 8).double()
    for index, (case, with_queue) in enumerate(itertools.product(range(len(SHARES)), [False, True])):
        z_a, z_b = embeddings(sum(SHARES[case]), seed=case)
        ids = torch.arange(len(z_a))
        named = {"queue": queue, "lesion_ids": ids} if with_queue else {}
        expected = with_gradients(nt_xent(z_a, z_b, temperature=0.2, **named), z_a, z_b)
        counts = has_negatives(len(z_a), device=CPU, queue=named.get("queue"))
        if with_queue:
            queue.update(z_a, z_b, lesion_ids=ids)
        for rank, (found, _, averaged) in enumerate(ranks):
            alone = encoder_gradient(encoder(), case, slice(None), gather=False)
            torch.testing.assert_close(averaged[case], alone, atol=1e-12, rtol=0)
            loss, grad_a, grad_b, counted = found[index]
            assert counted == counts
            torch.testing.assert_close(loss, expected[0], atol=1e-12, rtol=0, check_dtype=False)
            # Twice the gradient on each of the two: what averaging over them takes back.
            torch.testing.assert_close(grad_a, 2 * expected[1][share(case, rank)], atol=1e-12, rtol=0)
            torch.testing.assert_close(grad_b, 2 * expected[2][share(case, rank)], atol=1e-12, rtol=0)
    for _, state, _ in ranks:
        for name, value in queue.state_dict().items():
            torch.testing.assert_close(state[name], value, atol=1e-15, rtol=0)


def test_gathering_without_other_processes_is_the_same_loss():
    z_a, z_b = embeddings(9)
    assert torch.equal(nt_xent(z_a, z_b, temperature=0.1, gather=True), nt_xent(z_a, z_b, temperature=0.1))
