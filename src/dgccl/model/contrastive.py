"""Symmetric NT-Xent in tiles, so that memory grows with the batch and not with its square."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, distributed
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from dgccl.model.negatives import NegativeQueue, gather_counts, gather_rows, unit_rows

# Up to here the plain formula is no slower, at 1 MiB a matrix (benchmarks/contrastive_memory.py).
DENSE_SIMILARITIES = 2**18
# A tile should stay in a core's cache; a GPU wants few launches instead.
CPU_BLOCK_SIZE, GPU_BLOCK_SIZE = 512, 4096


@dataclass(frozen=True, eq=False)
class _Pool:
    """What the pairs of this process are compared with, and how; nothing here gets a gradient."""

    a: Float[Tensor, "everyone width"]  # unit rows of all processes, by rank
    b: Float[Tensor, "everyone width"]
    own: slice  # the rows of this process among them
    processes: int
    past_a: Float[Tensor, "entry width"]
    past_b: Float[Tensor, "entry width"]
    ids: tuple[Int[Tensor, "pair"], Int[Tensor, "entry"]] | None  # lesions of the pairs and of the entries
    temperature: float
    block: int


def nt_xent(
    z_a: Float[Tensor, "pair width"],
    z_b: Float[Tensor, "pair width"],
    *,
    temperature: float,
    block_size: int | None = None,
    queue: NegativeQueue | None = None,
    lesion_ids: Int[Tensor, "pair"] | None = None,
    gather: bool = False,
) -> Float[Tensor, ""]:
    """Symmetric NT-Xent between two modalities: each embedding picks its partner among all of the other modality.

    Negatives are of the other modality only: those of the batch, then those of the queue. Both directions are
    averaged. Where there is nothing to pick from (fewer than two pairs and no queue) the loss is 0, with gradients
    of 0. Large batches are computed in tiles, which the backward pass computes again: memory then grows with N,
    time with N².

    With `gather` each process returns the loss over the pairs of all processes, and its embeddings get the gradient
    of the sum of what the W processes return, which is W times the gradient of that loss.
    DistributedDataParallel averages gradients over processes, which leaves the gradient of the loss over all
    pairs. Each process must call, with however few pairs, and give the loss the same weight. The backward pass
    communicates nothing.

    Args:
        z_a: (N, D), embeddings of one modality; any length but zero.
        z_b: (N, D), embeddings of the other, row by row the same lesions.
        temperature: tau, positive.
        block_size: rows and columns of a tile; None takes the plain formula where it is no slower, else tiles of a
            size that suits the device.
        queue: past embeddings as further negatives; update it after the loss, else the partners are among them.
        lesion_ids: (N,), by which the queue knows the lesions: an entry of the same lesion is no negative of it.
            Without them a queue must be short beside an epoch, or lesions push their own past away.
        gather: take the pairs of all processes of torch.distributed's default group, if there is one.

    Returns:
        Scalar, in float32 or better whatever the precision around it: at a temperature of 0.1 bfloat16 would round
        the similarities to steps of 4 %.

    Raises:
        ValueError: `temperature` or `block_size` is not positive, or the rows are no pairs.

    Source: Sohn 2016; Chen et al. 2020, arXiv:2002.05709; the cross-modal form Radford et al. 2021,
    arXiv:2103.00020; the sum of exponentials in a stream Milakov & Gimelshein 2018, arXiv:1805.02867.
    """
    if not temperature > 0 or (block_size is not None and block_size < 1):
        raise ValueError(f"temperature and block_size must be positive, found {temperature} and {block_size}")
    if z_a.shape != z_b.shape:
        raise ValueError(f"the rows must be pairs, found {tuple(z_a.shape)} and {tuple(z_b.shape)}")
    counts = gather_counts(len(z_a), device=z_a.device, gather=gather, queue=queue)
    if not _negatives_exist(counts):
        return (z_a.sum() + z_b.sum()).float() * 0.0
    with torch.autocast(z_a.device.type, enabled=False):
        a, b = unit_rows(z_a), unit_rows(z_b)
        everyone_a, everyone_b, own = _everyone(a.detach(), b.detach(), counts[:, 0].tolist())
        past_a, past_b, ids = a.new_zeros(0, a.shape[1]), a.new_zeros(0, a.shape[1]), None
        if queue is not None:
            past_a, past_b, past_ids = queue.entries()
            ids = None if lesion_ids is None else (lesion_ids, past_ids)
        block = block_size or (CPU_BLOCK_SIZE if a.device.type == "cpu" else GPU_BLOCK_SIZE)
        past_a, past_b = past_a.to(a), past_b.to(a)
        pool = _Pool(everyone_a, everyone_b, own, len(counts), past_a, past_b, ids, temperature, block)
        similarities = len(a) * (len(a) + len(past_a))
        if block_size is None and pool.processes == 1 and similarities <= DENSE_SIMILARITIES:
            return _dense(a, b, pool)
        return _Tiled.apply(a, b, pool)


def has_negatives(
    pairs: int, *, device: torch.device, queue: NegativeQueue | None = None, gather: bool = False
) -> bool:
    """Whether `nt_xent` of so many pairs has anything to pick from; with `gather` alike on all processes.

    Args:
        pairs: N of this process.
        device: where its embeddings are.
        queue: as given to `nt_xent`.
        gather: as given to `nt_xent`; each process must call.
    """
    return _negatives_exist(gather_counts(pairs, device=device, gather=gather, queue=queue))


def _negatives_exist(counts: Int[Tensor, "process 2"]) -> bool:
    pairs, entries = int(counts[:, 0].sum()), int(counts[:, 1].max())
    return pairs >= 2 or (pairs == 1 and entries > 0)


def _everyone(a: Tensor, b: Tensor, counts: list[int]) -> tuple[Tensor, Tensor, slice]:
    """The rows of all processes, and where those of this one are."""
    if len(counts) == 1:
        return a, b, slice(0, len(a))
    both = gather_rows(torch.cat([a, b], dim=1), counts)
    first = sum(counts[: distributed.get_rank()])
    width = a.shape[1]
    return both[:, :width].contiguous(), both[:, width:].contiguous(), slice(first, first + len(a))


def _dense(a: Tensor, b: Tensor, pool: _Pool) -> Tensor:
    """The formula as it stands, with all similarities at once."""
    forth = a @ b.T / pool.temperature
    back = forth.T
    if len(pool.past_a):
        to_past = [x @ past.T / pool.temperature for x, past in ((a, pool.past_b), (b, pool.past_a))]
        if pool.ids is not None:
            same = pool.ids[0][:, None] == pool.ids[1]
            to_past = [x.masked_fill(same, -torch.inf) for x in to_past]
        forth, back = torch.cat([forth, to_past[0]], dim=1), torch.cat([back, to_past[1]], dim=1)
    partner = torch.arange(len(a), device=a.device)
    return (F.cross_entropy(forth, partner) + F.cross_entropy(back, partner)) / 2


class _Tiled(torch.autograd.Function):
    """The same, a tile of similarities at a time; from pass to pass only sums over rows and columns are kept."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor, pool: _Pool) -> Tensor:
        sums_a = a.new_full((len(pool.a),), -torch.inf)
        sums_a[pool.own], sums_b = _log_sums(a, pool.b, pool)
        if len(pool.past_a):
            for sums, x, past in ((sums_a, a, pool.past_b), (sums_b, b, pool.past_a)):
                sums[pool.own] = torch.logaddexp(sums[pool.own], _log_sums(x, past, pool, ids=pool.ids)[0])
        if pool.processes > 1:
            # Each process has seen its own rows of a: whole sums for those, parts of the sums for every row of b.
            parts = [a.new_empty(2, len(pool.a)) for _ in range(pool.processes)]
            distributed.all_gather(parts, torch.stack([sums_a, sums_b]))
            sums_a, sums_b = torch.stack(parts).logsumexp(dim=0)
        ctx.save_for_backward(a, b, sums_a, sums_b)
        ctx.pool = pool
        partner = (pool.a * pool.b).sum(dim=1) / pool.temperature
        return (sums_a + sums_b - 2.0 * partner).mean() / 2

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:
        a, b, sums_a, sums_b = ctx.saved_tensors
        pool = ctx.pool
        with torch.autocast(a.device.type, enabled=False):
            pull_a, pull_b = -2.0 * b, -2.0 * a
            own_a, own_b = sums_a[pool.own], sums_b[pool.own]
            if pool.processes == 1:
                _pull(a, b, (own_a, own_b), pool, onto=(pull_a, pull_b))
            else:
                # Softmaxes of the other processes' rows pull too; their sums are here, so nothing need be sent.
                _pull(a, pool.b, (own_a, sums_b), pool, onto=(pull_a, None))
                _pull(b, pool.a, (own_b, sums_a), pool, onto=(pull_b, None))
            if len(pool.past_a):
                _pull(a, pool.past_b, (own_a, None), pool, onto=(pull_a, None), ids=pool.ids)
                _pull(b, pool.past_a, (own_b, None), pool, onto=(pull_b, None), ids=pool.ids)
            scale = grad * pool.processes / (2.0 * len(pool.a) * pool.temperature)
            return pull_a * scale, pull_b * scale, None


_Ids = tuple[Tensor, Tensor] | None


def _tiles(x: Tensor, y: Tensor, pool: _Pool, ids: _Ids) -> Iterator[tuple[slice, slice, Tensor]]:
    """Similarities over the temperature of rows x with rows y, minus infinity where both are of one lesion."""
    for i in range(0, len(x), pool.block):
        rows = slice(i, i + pool.block)
        scaled = x[rows] / pool.temperature
        for j in range(0, len(y), pool.block):
            columns = slice(j, j + pool.block)
            tile = scaled @ y[columns].T
            if ids is not None:
                tile.masked_fill_(ids[0][rows, None] == ids[1][columns], -torch.inf)
            yield rows, columns, tile


def _log_sums(x: Tensor, y: Tensor, pool: _Pool, *, ids: _Ids = None) -> tuple[Tensor, Tensor]:
    """Logarithms of the sums of exponentials over the rows and over the columns of the similarities."""
    over_rows, over_columns = x.new_full((len(x),), -torch.inf), x.new_full((len(y),), -torch.inf)
    for rows, columns, tile in _tiles(x, y, pool, ids):
        over_rows[rows] = torch.logaddexp(over_rows[rows], tile.logsumexp(dim=1))
        over_columns[columns] = torch.logaddexp(over_columns[columns], tile.logsumexp(dim=0))
    return over_rows, over_columns


def _pull(
    x: Tensor,
    y: Tensor,
    sums: tuple[Tensor, Tensor | None],
    pool: _Pool,
    *,
    onto: tuple[Tensor, Tensor | None],
    ids: _Ids = None,
) -> None:
    """Add to each row the other rows, weighted by the softmaxes over rows and, where they have sums, columns."""
    for rows, columns, tile in _tiles(x, y, pool, ids):
        weights = (tile - sums[0][rows, None]).exp_()
        if sums[1] is not None:
            weights += tile.sub_(sums[1][columns]).exp_()
        onto[0][rows].addmm_(weights, y[columns])
        if onto[1] is not None:
            onto[1][columns].addmm_(weights.T, x[rows])
