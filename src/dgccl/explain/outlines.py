"""The lesion's outline as its networks would see it, beside their maps; the networks themselves are not shown it."""

import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor

from dgccl.config import ImageConfig
from dgccl.explain.saliency import Question
from dgccl.lesion import LesionArrays
from dgccl.sampling import plane_points_mm, sample_modality


def lesion_outlines(
    arrays: LesionArrays, question: Question, *, box_mm: float
) -> dict[str, Bool[np.ndarray, "..."]]:
    """Where the lesion lies in each image: its outline on that modality, else the one on the other.

    Args:
        arrays: of the lesion.
        question: whose images.
        box_mm: edge of the box that the arrays cover.

    Returns:
        Per image modality that the lesion has, in its input shape: pixels covered at least by half. Without any
        outline there is none.
    """
    found = {}
    for name in question.images:
        settings = question.config.images[name]
        own, other = arrays.mask_ct, arrays.mask_pet
        if settings.quantity not in ("hu", "intensity"):
            own, other = other, own
        mask = other if own is None else own
        if mask is not None:
            found[name] = _mask_planes(torch.from_numpy(mask), settings, box_mm)
    return found


def _mask_planes(mask: Tensor, settings: ImageConfig, box_mm: float) -> Bool[np.ndarray, "..."]:
    points = plane_points_mm(settings, torch.eye(3, 4)[None]) * (2.0 / box_mm)
    covered = sample_modality(mask[None], points, window=(0.0, 1.0)) >= 0.5
    return covered.view(settings.input_shape).numpy()
