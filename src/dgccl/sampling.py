"""Where the pixels of an encoder's planes and cubes lie, and what a lesion's box holds there."""

import torch
from jaxtyping import Float, Shaped
from torch import Tensor
from torch.nn.functional import grid_sample

from dgccl.config import ImageConfig

LEFT, BACK, FEET = (1, 0, 0), (0, 1, 0), (0, 0, -1)
PLANE_AXES = {
    "axial": [(BACK, LEFT)],
    "orthogonal": [(BACK, LEFT), (FEET, LEFT), (FEET, BACK)],
}
"""Directions (x, y, z) in LPS along the rows and along the columns of each plane."""


def plane_points_mm(
    settings: ImageConfig, pose: Float[Tensor, "batch 3 4"]
) -> Float[Tensor, "3 batch channel height width"]:
    """Where the pixels of an encoder's planes lie in the box, mm.

    Axial rows run to the back and columns to the patient's left; coronal rows run to the feet and columns to
    the left; sagittal rows run to the feet and columns to the back: the way radiologists look at them. A cube is
    a stack of axial planes from head to feet, so that its slices along each axis are such planes again.

    Args:
        settings: view, field and pixels.
        pose: affine maps from plane points to box points, mm, (batch, 3, 4).

    Returns:
        Offsets from the center of the box: x, y and z of every pixel, (3, batch, plane, height, width); the planes
        of a cube are its depth.
    """
    px = settings.input_px
    step_mm = ((torch.arange(px, dtype=torch.float32) + 0.5) / px - 0.5) * settings.field_mm
    step_mm = step_mm.to(pose.device)
    volume = settings.view == "volume"
    axes = torch.tensor(PLANE_AXES["axial" if volume else settings.view], device=pose.device).float()
    # A posed plane is still spanned by two vectors: one sum a pixel, not one matrix product.
    posed = torch.einsum("bij,paj->aibp", pose[:, :, :3], axes)
    down, right = (posed[..., None] * step_mm).unbind(dim=0)
    right = right + pose[:, :, 3].T[:, :, None, None]
    if volume:
        feet = torch.tensor(FEET, device=pose.device).float()
        right = right + (pose[:, :, :3] @ feet).T[:, :, None, None] * step_mm[:, None]
    return down[..., :, None] + right[..., None, :]


def sample_modality(
    volumes: Shaped[Tensor, "batch _ _ _"],
    points: Float[Tensor, "3 batch channel height width"],
    *,
    window: tuple[float, float],
) -> Float[Tensor, "batch channel height width"]:
    """What the volumes hold at the points, windowed to [0, 1].

    Args:
        volumes: one a lesion, (z, y, x).
        points: x, y and z as shares of half the box, whose outer faces lie at +-1.
        window: values mapped to 0 and 1.

    Returns:
        Values on the pixels; 0 where a point lies outside the box.
    """
    low, high = window
    inside = points.abs().amax(dim=0) <= 1.0
    values = _trilinear(volumes.float(), points.flatten(2, 3)).view_as(inside)
    return values.sub_(low).mul_(1.0 / (high - low)).clamp_(0.0, 1.0).mul_(inside)


def _trilinear(
    volumes: Float[Tensor, "batch z y x"], points: Float[Tensor, "3 batch height width"]
) -> Float[Tensor, "batch height width"]:
    """Interpolate as `grid_sample` does on volumes, by two of its calls on images, which take half the time.

    Torch samples images with vector instructions, volumes point by point. So the slices of a volume are laid one
    below the other as one tall image; each of the two slices around a point gives a bilinear value, and what lies
    between them is linear.
    """
    depth, height = volumes.shape[1:3]
    x, y, z = points
    slice_index = z.add(1.0).mul_(depth / 2).sub_(0.5).clamp_(0, depth - 1)
    below = slice_index.floor().clamp_(max=max(depth - 2, 0))
    row = y.add(1.0).mul_(height / 2).clamp_(0.5, height - 0.5)  # a clamped row stays in its slice
    down = row.add_(below, alpha=height).mul_(2.0 / (depth * height)).sub_(1.0)
    place = torch.stack([x, down])
    tall = volumes.flatten(1, 2)[:, None]
    lower = grid_sample(tall, place.permute(1, 2, 3, 0), padding_mode="border", align_corners=False)
    place[1] += 2.0 / depth
    upper = grid_sample(tall, place.permute(1, 2, 3, 0), padding_mode="border", align_corners=False)
    return torch.lerp(lower[:, 0], upper[:, 0], slice_index - below)
