"""Does a map show what was learned? It must not look like the map of a network that learned nothing.

Source: Adebayo et al. 2018, Sanity checks for saliency maps, arXiv:1810.03292 (the model randomization test).
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float64
from scipy import stats
from torch import Tensor, nn

from dgccl.config import ExperimentConfig
from dgccl.explain.saliency import Question, Saliency, saliency
from dgccl.model import build_model
from dgccl.model.table import TableEncoder

FEWEST_RANKED = 20
"""Values from which a map has a rank correlation: a table of two columns agrees with any other half of the time."""


@dataclass(frozen=True, eq=False)
class SaliencySanity:
    """A lesion's maps beside those of networks with random weights.

    Attributes:
        rank_correlation: per modality Spearman's correlation of |map| between the trained and the random networks,
            over pixels or columns; None where a map has one value only, or fewer than `FEWEST_RANKED`.
        random: the maps of the random networks.
        seed: of the random weights.
    """

    rank_correlation: dict[str, float | None]
    random: Saliency
    seed: int


def saliency_sanity(
    question: Question, trained: Saliency, *, baselines: Mapping[str, Tensor], seed: int = 0
) -> SaliencySanity:
    """Compare a lesion's maps with those of networks of the same build whose weights were never trained.

    A correlation near 1 says that the map shows the image or the build of the network, not what was learned.

    Args:
        question: lesion and trained networks.
        trained: their maps, of `saliency`.
        baselines: as they were made with.
        seed: of the random weights.

    Raises:
        ConfigError: as `saliency`.
    """
    networks = tuple(
        random_network(network, question.config, seed=seed + index)
        for index, network in enumerate(question.networks)
    )
    found = saliency(replace(question, networks=networks), settings=trained.settings, baselines=baselines)
    correlation = {name: _rank_correlation(trained.maps[name], found.maps[name]) for name in trained.maps}
    return SaliencySanity(correlation, found, seed)


def random_network(network: nn.Module, config: ExperimentConfig, *, seed: int) -> nn.Module:
    """A network of the same build with fresh weights; a table keeps the mean and deviation of its columns.

    Args:
        network: any classifier of `dgccl.model`.
        config: experiment it was built from.
        seed: of the weights; the global generator stays as it is.
    """
    assert isinstance(network.architecture, dict)
    device = next(network.parameters()).device
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        fresh = build_model(config, network.architecture["model"])
    for own, learned in zip(fresh.modules(), network.modules(), strict=True):
        if isinstance(own, TableEncoder) and isinstance(learned, TableEncoder):
            own.mean.copy_(learned.mean)
            own.sd.copy_(learned.sd)
    return fresh.to(device).eval()


def _rank_correlation(a: Float64[np.ndarray, "..."], b: Float64[np.ndarray, "..."]) -> float | None:
    first, second = np.abs(a).ravel(), np.abs(b).ravel()
    if len(first) < FEWEST_RANKED or np.ptp(first) == 0.0 or np.ptp(second) == 0.0:
        return None
    return float(stats.spearmanr(first, second).statistic)
