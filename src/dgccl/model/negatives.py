"""Where further negatives come from: a queue of past embeddings and the other processes."""

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor, distributed, nn
from torch.nn import functional as F

UNKNOWN_LESION = -1


class NegativeQueue(nn.Module):
    """Ring buffer of the last embeddings of two modalities, to be picked from as further negatives.

    Its content is part of the checkpoint, so that a resumed training goes on bit for bit. For M modalities keep
    one queue for each pair of them.

    Args:
        capacity: K, lesions that it holds.
        width: D of the embeddings.

    Raises:
        ValueError: `capacity` or `width` is not positive.

    Source: He et al. 2020, arXiv:1911.05722 (queue of negatives; here without a momentum encoder).
    """

    z_a: Float[Tensor, "capacity width"]
    z_b: Float[Tensor, "capacity width"]
    lesion_ids: Int[Tensor, "capacity"]
    written: Int[Tensor, ""]

    def __init__(self, capacity: int, width: int) -> None:
        super().__init__()
        if capacity < 1 or width < 1:
            raise ValueError(f"capacity and width must be positive, found {capacity} and {width}")
        self.register_buffer("z_a", torch.zeros(capacity, width))
        self.register_buffer("z_b", torch.zeros(capacity, width))
        self.register_buffer("lesion_ids", torch.full((capacity,), UNKNOWN_LESION))
        self.register_buffer("written", torch.tensor(0))

    @property
    def filled(self) -> int:
        """Entries that can be picked."""
        return min(int(self.written), len(self.z_a))

    def entries(
        self,
    ) -> tuple[Float[Tensor, "entry width"], Float[Tensor, "entry width"], Int[Tensor, "entry"]]:
        """Copies of the rows of both modalities and of their lesions' ids, in no particular order."""
        filled = self.filled
        return self.z_a[:filled].clone(), self.z_b[:filled].clone(), self.lesion_ids[:filled].clone()

    @torch.no_grad()
    def update(
        self,
        z_a: Float[Tensor, "pair width"],
        z_b: Float[Tensor, "pair width"],
        *,
        lesion_ids: Int[Tensor, "pair"] | None = None,
        gather: bool = False,
    ) -> None:
        """Enter the pairs of a batch in place of the oldest entries; call it after the batch's loss.

        Rows that are not finite are left out: a step that overflows and is skipped must not spoil those after it.

        Args:
            z_a: (N, D), embeddings of one modality, of any length but zero; only lesions that have both.
            z_b: (N, D), embeddings of the other, row by row the same lesions.
            lesion_ids: (N,), integers from 0 that name the lesions; None enters them without a name.
            gather: enter the pairs of all processes, by rank, so that their queues stay equal; each must call.
        """
        if lesion_ids is None:
            lesion_ids = self.lesion_ids.new_full((len(z_a),), UNKNOWN_LESION)
        rows = torch.cat([unit_rows(z_a), unit_rows(z_b)], dim=1).to(self.z_a)
        finite = rows.isfinite().all(dim=1)
        rows, lesion_ids = rows[finite], lesion_ids.to(self.lesion_ids)[finite]
        if processes(gather) > 1:
            counts = gather_counts(len(rows), device=rows.device, gather=gather)[:, 0].tolist()
            rows, lesion_ids = gather_rows(rows, counts), gather_rows(lesion_ids, counts)
        capacity, total = len(self.z_a), int(self.written) + len(rows)
        rows, lesion_ids = rows[-capacity:], lesion_ids[-capacity:]
        place = torch.arange(total - len(rows), total, device=rows.device) % capacity
        self.z_a[place], self.z_b[place] = rows.chunk(2, dim=1)
        self.lesion_ids[place] = lesion_ids
        self.written.fill_(total)


def unit_rows(z: Float[Tensor, "row width"]) -> Float[Tensor, "row width"]:
    """Rows scaled to length 1, in float32 or better.

    Args:
        z: (N, D); a row of zeros stays one.
    """
    return F.normalize(z if z.dtype == torch.float64 else z.float(), dim=-1)


def processes(gather: bool) -> int:
    """Processes that take part: those of torch.distributed's default group if it is to be used and exists, else 1."""
    if gather and distributed.is_available() and distributed.is_initialized():
        return distributed.get_world_size()
    return 1


def gather_counts(
    pairs: int, *, device: torch.device, gather: bool, queue: NegativeQueue | None = None
) -> Int[Tensor, "process 2"]:
    """Pairs and queue entries of every process, by rank.

    Args:
        pairs: N of this process.
        device: one that the process group communicates on.
        gather: whether other processes take part; each must call.
        queue: of this process.
    """
    own = torch.tensor([pairs, 0 if queue is None else queue.filled], device=device)
    if processes(gather) == 1:
        return own[None]
    everyone = [torch.empty_like(own) for _ in range(processes(gather))]
    distributed.all_gather(everyone, own)
    return torch.stack(everyone)


def gather_rows(rows: Shaped[Tensor, "row *rest"], counts: list[int]) -> Shaped[Tensor, "everyone *rest"]:
    """The rows of every process, by rank and without gradient.

    Args:
        rows: (N, ...), those of this process.
        counts: N of every process.
    """
    # Collectives want equal shapes: short processes send a tail that is cut off again.
    padded = rows.new_zeros(max(counts), *rows.shape[1:])
    padded[: len(rows)] = rows.detach()
    everyone = [torch.empty_like(padded) for _ in counts]
    distributed.all_gather(everyone, padded)
    return torch.cat([part[:count] for part, count in zip(everyone, counts, strict=True)])
