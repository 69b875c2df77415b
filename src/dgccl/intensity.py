"""Images without a scale of their own, such as MR, brought to one that is the same for every scanner."""

import numpy as np

from dgccl.errors import CohortError
from dgccl.volume import Volume


def normalize_intensity(image: Volume, *, name: str) -> Volume:
    """Robust z-score over the body: (value - median) / interquartile range, of the voxels brighter than the mean.

    MR signal has arbitrary units, which change with scanner, coil and sequence. Voxels above the mean of the whole
    image stand for the body, so that the air around it, of which an image may hold any share, does not move the
    scale. It is computed once over the image as acquired, not over a lesion's box: a bright lesion stays bright.
    In the resulting unit 0 is typical tissue, and half of the body lies within a range of 1; a `window` of
    (-2, 4) shows most of it. Multiplying the image by a positive factor or adding a constant changes nothing.

    Args:
        image: arbitrary units, finite.
        name: of the modality, for messages.

    Returns:
        float32 image on the same grid, no unit.

    Raises:
        CohortError: `no_contrast`, half of the brighter voxels or more have one value, so that there is no scale.
    """
    values = image.array.astype(np.float64).ravel()
    body = values[values > values.mean()]
    q1, median, q3 = np.percentile(body, (25, 50, 75)) if body.size else (0.0, 0.0, 0.0)
    if not q3 > q1:
        raise CohortError(
            "no_contrast",
            f"The brighter half of the {name} image has no range of values, found {q1:g} to {q3:g}: a mask or an "
            "empty image, where an image of tissue was expected.",
            remedy="Check which file or series was taken.",
        )
    return Volume(((image.array - median) / (q3 - q1)).astype(np.float32), image.affine)
