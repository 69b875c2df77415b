"""The predictions table: one row a lesion, model, fold, split and modality pattern."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Int64

from dgccl.config import SINGLE, score_columns
from dgccl.dataset import LesionImages
from dgccl.errors import TrainingError
from dgccl.model.baselines import SingleModality
from dgccl.predict import Prediction, Predictor, modality_patterns


def prediction_rows(
    predictor: Predictor, images: LesionImages, *, lesions: pd.DataFrame, rows: Int64[np.ndarray, "n"]
) -> pd.DataFrame:
    """Rows of the predictions table for some lesions, in every modality pattern.

    The first pattern names all modalities (`ct+pet`) and has a row for every lesion: it means all that the lesion
    has. The column `modalities_shown` says what that was; for a lesion with CT only it is `ct`. A smaller
    pattern has a row only for the lesions that have every modality it names, and shows them nothing else.
    A network of one modality says nothing without it: lesions that lack it, and patterns that withhold it, have no
    rows.

    Args:
        predictor: networks of one model to score with.
        images: lesions in memory.
        lesions: lesion table, in the order of `images`.
        rows: which lesions, (n,).

    Returns:
        Table with lesion_id, patient_id, site, pattern, modalities_shown, y_true, the probabilities and one gate
        column a modality (NaN where there is no gate or the modality was not shown). Of two classes the
        probability of class 1 is `y_score`; of more, `y_score_0` to `y_score_{C-1}` are those of the classes.

    Raises:
        TrainingError: none of the lesions has the modality of a network of one modality.
    """
    names = predictor.config.modality_names
    judged = _judged_modality(predictor)
    present = images.modality_present[torch.from_numpy(rows)].numpy()
    if judged is not None:
        has = present[:, names.index(judged)]
        rows, present = rows[has], present[has]
        if not len(rows):
            raise TrainingError(
                "nothing_to_judge",
                f"The network of {judged} alone cannot judge any of {len(has)} lesions: none has {judged}.",
                remedy=f"Leave {SINGLE}{judged} out, or give it lesions that have {judged}.",
            )
    tables = []
    for pattern in modality_patterns(names):
        wanted = np.isin(names, pattern)
        fits = present[:, wanted].all(axis=1) | (len(pattern) == len(names))
        if fits.any() and (judged is None or judged in pattern):
            prediction = predictor.predict(images, rows=rows[fits], shown=pattern)
            shown = present[fits] & wanted
            tables.append(_pattern_rows(prediction, lesions.iloc[rows[fits]], pattern, names, shown))
    return pd.concat(tables, ignore_index=True)


def _judged_modality(predictor: Predictor) -> str | None:
    """The modality that the networks judge by alone; None where they judge by any."""
    network = predictor.networks[0]
    return network.modality if isinstance(network, SingleModality) else None


def _pattern_rows(
    prediction: Prediction,
    lesions: pd.DataFrame,
    pattern: Sequence[str],
    names: Sequence[str],
    shown: Bool[np.ndarray, "lesion modality"],
) -> pd.DataFrame:
    """Rows of one pattern; `shown` says what of each lesion the networks saw."""
    table = lesions[["lesion_id", "patient_id", "site"]].assign(
        pattern="+".join(pattern),
        modalities_shown=["+".join(np.array(names)[row]) for row in shown],
        y_true=lesions["label"].to_numpy(),
    )
    probability = prediction.probability.astype(np.float64)
    columns = score_columns(probability.shape[1])
    for column, values in zip(columns, probability.T[-len(columns) :], strict=True):
        table[column] = values
    for index, name in enumerate(names):
        gate = np.nan if prediction.gate_weights is None else prediction.gate_weights[:, index]
        table[f"gate_{name}"] = np.where(shown[:, index], gate, np.nan).astype(np.float64)
    return table
