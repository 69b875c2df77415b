"""Two-dimensional layout of embeddings, apart from its drawing."""

import numpy as np
from jaxtyping import Float, Float64
from sklearn.manifold import TSNE

SMALLEST_MAP = 8
"""Fewer points than this have no neighborhoods for t-SNE to keep."""


def tsne_layout(vectors: Float[np.ndarray, "n width"], *, seed: int = 0) -> Float64[np.ndarray, "n 2"]:
    """Positions of embeddings in a plane by t-SNE on cosine distance.

    Args:
        vectors: embeddings of one network, shape (n, width), n at least `SMALLEST_MAP`.
        seed: seed of the optimizer; the start is the principal plane.

    Returns:
        Positions, shape (n, 2), centered, the larger extent scaled to [-1, 1].

    Source: van der Maaten and Hinton, J Mach Learn Res 9 (2008) 2579-2605.
    """
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    # On unit vectors the squared Euclidean distance is twice the cosine distance.
    unit = np.divide(vectors, length, out=np.zeros_like(vectors), where=length > 0)
    perplexity = min(30.0, (len(vectors) - 1) / 3.0)
    tsne = TSNE(perplexity=perplexity, init="pca", learning_rate="auto", random_state=seed)
    layout = np.asarray(tsne.fit_transform(unit.astype(np.float64)), dtype=np.float64)
    layout -= (layout.max(axis=0) + layout.min(axis=0)) / 2
    return layout / max(float(np.abs(layout).max()), 1e-12)
