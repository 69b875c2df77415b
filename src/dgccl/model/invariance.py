"""Mutual information between an embedding and its modality, to be minimized; needs no paired cases."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F


@dataclass(frozen=True, eq=False)
class InvarianceTerms:
    """What to minimize and what it stands for, both scalars in nats.

    Attributes:
        loss: the estimate, or 0 where it is negative; its gradient is that of the estimate for the encoders, of
            opposite sign for the discriminator.
        mutual_information: the estimate without gradient, at most log M; below 0 where the discriminator does
            worse than guessing.
    """

    loss: Float[Tensor, ""]
    mutual_information: Float[Tensor, ""]


class ModalityDiscriminator(nn.Module):
    """Tells which modality an embedding is of, from its direction alone: a short embedding hides nothing.

    It has to learn faster than the encoders change, or the bound is loose and what it lowers is not the
    information. Its weights are therefore kept divided by `speed`: under an optimizer that scales each parameter's
    step (Adam), that is a learning rate `speed` times that of everything else in the same parameter group.

    Args:
        width: D of the embeddings.
        modalities: M.
        hidden: units of the hidden layer.
        speed: learning rate relative to the optimizer's, positive.

    Raises:
        ValueError: there are fewer than two modalities, or `speed` is not positive.

    Source: Karras et al. 2018, arXiv:1710.10196, section 4.1 (weights kept on another scale).
    """

    def __init__(self, width: int, *, modalities: int, hidden: int = 64, speed: float = 10.0) -> None:
        super().__init__()
        if modalities < 2:
            raise ValueError(f"there must be modalities to tell apart, found {modalities}")
        if not speed > 0:
            raise ValueError(f"speed must be positive, found {speed}")
        self.speed = speed
        self.first, self.second = nn.Linear(width, hidden), nn.Linear(hidden, modalities)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.div_(speed)

    def forward(self, z: Float[Tensor, "row width"]) -> Float[Tensor, "row modality"]:
        """Logits of the modalities.

        Args:
            z: (N, D), of any length but zero.
        """
        # Entries near 1 at any width, as the layer's initial weights expect.
        x = F.normalize(z, dim=1) * math.sqrt(z.shape[1])
        x = F.gelu(F.linear(x, self.speed * self.first.weight, self.speed * self.first.bias))
        return F.linear(x, self.speed * self.second.weight, self.speed * self.second.bias)


def invariance_loss(
    embeddings: Float[Tensor, "batch modality width"],
    modality_present: Bool[Tensor, "batch modality"],
    discriminator: ModalityDiscriminator,
) -> InvarianceTerms:
    """Mutual information I(z; m) between embedding and modality, for encoders and discriminator in one backward pass.

    I(z; m) = H(m) - H(m|z) >= H(m) + E log q(m|z), with equality where the discriminator q(m|z) is the true
    posterior. The discriminator is trained to tighten this bound, the encoders (by reversal of the gradient) to
    lower it; one optimizer steps both. Each modality of the batch weighs the same however many rows it has: H(m)
    is exactly log k for the k modalities that occur, and q chooses among those. A batch of one modality says
    nothing: 0, with gradients of 0. No case needs two modalities. Where the bound is negative the encoders get no
    gradient, since the information cannot be: reversal alone would go on to reward confidently wrong verdicts,
    which carry as much information as right ones.

    Why not the upper bound vCLUB, E log q(m|z) - E E' log q(m'|z) (Cheng et al. 2020, arXiv:2006.12013), though
    minimizing an upper bound sounds safer: with a learned q it is a bound only where q is close to the posterior,
    and log q of the wrong modality has no floor. Where modalities are told apart with ease, as at the start of
    training, it leaves [0, H(m)] and its gradient grows with the discriminator's confidence. The bound used here
    never exceeds H(m) and, m being categorical, has no gap but the discriminator's.

    Args:
        embeddings: (B, M, D); rows of absent modalities never enter, whatever they hold.
        modality_present: (B, M).
        discriminator: for M modalities; under the same optimizer as the encoders. Its gradient takes the weight
            that the loss is given, which optimizers that scale each parameter's step (Adam) undo.

    Returns:
        Loss and estimate in nats. The estimate bounds the information from below: to report it, fit a fresh
        discriminator on frozen embeddings first.

    Source: Barber & Agakov 2003 (the bound); Ganin et al. 2016, arXiv:1505.07818 (reversal of the gradient).
    """
    rows = embeddings[modality_present]
    rows = rows if rows.dtype == torch.float64 else rows.float()
    modality = modality_present.nonzero()[:, 1]
    occurrences = modality_present.sum(dim=0)
    occurring = int((occurrences > 0).sum())
    with torch.autocast(rows.device.type, enabled=False):
        logits = discriminator(rows).masked_fill(occurrences == 0, -torch.inf)
        weights = 1.0 / (max(occurring, 1) * occurrences[modality])
        each = F.cross_entropy(logits, modality, reduction="none")
        cross_entropy = (weights.to(each) * each).sum()
    estimate = math.log(max(occurring, 1)) - cross_entropy.detach()
    if rows.requires_grad:
        reversal = torch.where(estimate > 0, -1.0, 0.0).to(rows)
        rows.register_hook(lambda gradient: gradient * reversal)
    # The value is the information, so that weighted sums of losses mean something; the gradient is the cross-entropy's.
    loss = cross_entropy + (estimate.clamp(min=0.0) - cross_entropy.detach())
    return InvarianceTerms(loss, estimate)
