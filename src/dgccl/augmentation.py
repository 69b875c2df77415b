"""Random poses and modality dropout, drawn for a whole batch from an explicit generator."""

import torch
from jaxtyping import Bool, Float
from torch import Generator, Tensor

from dgccl.config import AugmentationConfig


def random_poses(
    count: int, *, config: AugmentationConfig, field_mm: float, generator: Generator
) -> Float[Tensor, "count 3 4"]:
    """Draw one pose a lesion, to be used for every modality of that lesion.

    The rotation axis is uniform on the sphere and the angle uniform in +-`rotation_deg`, so no rotation exceeds
    that angle about any axis. The shift along each axis is uniform in +-`translation_fraction` of the field,
    the magnification uniform in `scale`; `flip` mirrors left and right in half of the lesions.

    Args:
        count: lesions.
        config: ranges.
        field_mm: edge of the field that the shift is a fraction of, mm.
        generator: source of all randomness, on the CPU, so that every device sees the same poses.

    Returns:
        Affine maps (3, 4) from points of the shown planes to points of the stored box, mm, (x, y, z) offsets
        from the lesion's center.
    """
    axis = torch.nn.functional.normalize(torch.randn(count, 3, generator=generator), dim=1)
    angle_rad = torch.deg2rad(_uniform(count, 1, -config.rotation_deg, config.rotation_deg, generator))
    shift_mm = config.translation_fraction * field_mm * _uniform(count, 3, -1.0, 1.0, generator)
    scale = _uniform(count, 1, *config.scale, generator)
    mirror = torch.ones(count, 3)
    if config.flip:
        mirror[:, 0] = torch.where(torch.rand(count, generator=generator) < 0.5, -1.0, 1.0)
    # Rodrigues: a rotation is the exponential of the cross-product matrix of its axis times its angle.
    rotation = torch.linalg.matrix_exp(_cross_matrix(axis * angle_rad))
    # What is magnified on the plane comes from a smaller part of the box: points shrink by the scale.
    linear = rotation * mirror[:, None, :] / scale[:, :, None]
    return torch.cat([linear, shift_mm[:, :, None]], dim=2)


def drop_modalities(
    modality_present: Bool[Tensor, "batch modality"], *, probability: float, generator: Generator
) -> Bool[Tensor, "batch modality"]:
    """Take one modality, chosen at random, from a share of the lesions that have two or more.

    Args:
        modality_present: what the lesions have, (batch, modality).
        probability: share of those lesions that lose one.
        generator: source of all randomness, on the CPU.

    Returns:
        What is shown, (batch, modality); at least one stays wherever there was one.
    """
    count, modalities = modality_present.shape
    loses = (torch.rand(count, generator=generator) < probability) & (modality_present.sum(dim=1) >= 2)
    # The present modality with the highest of independent uniform numbers is a fair draw among those present.
    lottery = torch.rand(count, modalities, generator=generator).masked_fill(~modality_present, -1.0)
    chosen = torch.nn.functional.one_hot(lottery.argmax(dim=1), modalities).bool()
    return modality_present & ~(chosen & loses[:, None])


def _uniform(
    count: int, width: int, low: float, high: float, generator: Generator
) -> Float[Tensor, "count width"]:
    return low + (high - low) * torch.rand(count, width, generator=generator)


def _cross_matrix(vector: Float[Tensor, "batch 3"]) -> Float[Tensor, "batch 3 3"]:
    """Matrices K with K v = vector x v."""
    x, y, z = vector.unbind(dim=1)
    zero = torch.zeros_like(x)
    return torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], dim=1).reshape(-1, 3, 3)
