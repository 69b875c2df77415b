"""Embeddings, a filled queue and the dense formula, for the tests of the contrastive loss."""

import torch
from torch.nn import functional as F

from dgccl.model.negatives import NegativeQueue


def embeddings(pairs: int, width: int = 8, *, seed: int = 0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    z_a = torch.randn(pairs, width, generator=generator, dtype=dtype)
    z_b = z_a + torch.randn(pairs, width, generator=generator, dtype=dtype)
    return z_a.requires_grad_(), z_b.requires_grad_()


def reference(z_a, z_b, temperature, past_a=None, past_b=None, same=None):
    """The dense formula: partners on the diagonal, then the entries of the queue that are not the same lesion."""
    a, b = F.normalize(z_a, dim=1), F.normalize(z_b, dim=1)
    forth, back = a @ b.T, b @ a.T
    if past_a is not None:
        forth, back = torch.cat([forth, a @ past_b.T], dim=1), torch.cat([back, b @ past_a.T], dim=1)
        if same is not None:
            hidden = torch.cat([torch.zeros(len(a), len(a), dtype=torch.bool), same], dim=1)
            forth, back = (x.masked_fill(hidden, -torch.inf) for x in (forth, back))
    partner = torch.arange(len(a))
    both = [F.cross_entropy(x / temperature, partner) for x in (forth, back)]
    return sum(both) / 2


def with_gradients(loss, *inputs):
    return loss.detach(), *torch.autograd.grad(loss, inputs)


def filled_queue(entries: int, width: int = 8, *, capacity: int | None = None, ids=None) -> NegativeQueue:
    queue = NegativeQueue(capacity or entries, width).double()
    queue.update(*embeddings(entries, width, seed=99), lesion_ids=ids)
    return queue
