"""What missing modalities cost, all models and patterns of a run taken as one family of tests."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from dgccl import stats
from dgccl.evaluation.results import ModelResult


def with_corrected_drops(models: Mapping[str, ModelResult]) -> dict[str, ModelResult]:
    """The models with Holm's correction over every drop of theirs that has a p value.

    Args:
        models: results by model.
    """
    known = {
        (name, pattern): found.drop.p
        for name, model in models.items()
        for pattern, found in model.patterns.items()
        if found.drop.p is not None
    }
    corrected = stats.holm(np.array(list(known.values()), dtype=np.float64))
    p_holm = dict(zip(known, map(float, corrected), strict=True))
    return {
        name: replace(
            model,
            patterns={
                pattern: replace(found, drop=replace(found.drop, p_holm=p_holm.get((name, pattern))))
                for pattern, found in model.patterns.items()
            },
        )
        for name, model in models.items()
    }
