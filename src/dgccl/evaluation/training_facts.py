"""Facts of the training that decide how far a run's figures can be trusted."""

import numpy as np
import pandas as pd
from sklearn.metrics import log_loss

from dgccl.evaluation.run_tables import RunTables


def training_warnings(tables: RunTables) -> list[str]:
    """What a reader must know of the networks before any figure."""
    start = tables.run.get("start") or {}
    warnings = [str(start["warning"])] if start.get("warning") else []
    for model in (*tables.models, *tables.ablations):
        rows = tables.rows(model, split="validation", pattern=tables.full_pattern)
        untaught = [str(fold) for fold, part in rows.groupby("fold") if not _beats_prevalence(part, tables)]
        if untaught:
            warnings.append(
                f"{model}, fold {', '.join(untaught)}: on the validation lesions its loss is not below that of always "
                "answering the classes' shares. It has hardly been trained, or is far too sure; its scores may rank "
                "lesions by chance or upside down. Train longer or on more lesions."
            )
    return warnings


def _beats_prevalence(rows: pd.DataFrame, tables: RunTables) -> bool:
    """Whether probabilities have a lower cross-entropy than the classes' shares among the same lesions, in nats."""
    classes, columns = len(tables.class_names), tables.score_columns
    scores = rows[columns].to_numpy(np.float64)
    probability = np.hstack([1.0 - scores, scores]) if classes == 2 else scores
    # Half precision and missing digits leave sums that are 1 but for a thousandth (run_tables.SUM_TOLERANCE).
    probability = probability / probability.sum(axis=1, keepdims=True)
    shares = np.bincount(rows["y_true"], minlength=classes) / len(rows)
    known = shares[shares > 0]
    entropy = float(-(known * np.log(known)).sum())
    return len(known) < 2 or log_loss(rows["y_true"], probability, labels=range(classes)) < entropy
