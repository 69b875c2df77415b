"""Training that begins with pre-trained encoders: what fits, and what must not have been seen before.

A cross-validation tests every lesion of its cohort in some fold. Encoders that learned from one of them, though without
its label, have seen test images: the result is transductive and says too much about new patients. So the rule is
that no lesion of the cohort, and no patient, may be among those that the encoders learned from.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from dgccl.cohort import Cohort
from dgccl.config import ExperimentConfig
from dgccl.errors import TrainingError
from dgccl.model import build_model, load_weights
from dgccl.pretraining.encoders import EncodersAlone, describe_encoders
from dgccl.pretraining.folder import (
    LESION_KEYS,
    WEIGHTS,
    file_sha256,
    read_lesions,
    read_manifest,
    read_pretraining_config,
)

PREFIX = "encoders."


@dataclass(frozen=True, eq=False)
class Start:
    """Pre-trained encoders that a training begins with.

    Attributes:
        weights: of the encoders, by their names in a classifier.
        record: what the run notes about them.
    """

    weights: dict[str, Tensor]
    record: dict[str, Any]

    def begin(self, drawn: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Weights to begin with: the pre-trained ones in the encoders, the drawn ones behind them.

        Args:
            drawn: state of a freshly built network.
        """
        return {name: self.weights.get(name, tensor) for name, tensor in drawn.items()}


def open_start(
    start_dir: Path | None,
    *,
    cohort: Cohort,
    config: ExperimentConfig,
    quantities: Mapping[str, str],
    allow_transductive: bool,
) -> Start | None:
    """Open pre-trained encoders for a training, if they fit it and have not seen its test lesions.

    Args:
        start_dir: folder that `dgccl pretrain` wrote; None for a training from freshly drawn weights.
        cohort: what will be trained on and tested.
        config: of the training.
        quantities: quantity each modality shows in it.
        allow_transductive: begin all the same where test lesions were learned from, and note it.

    Returns:
        The start; None without a folder.

    Raises:
        TrainingError: `not_a_pretraining`, `pretraining_unfinished`, `start_changed` (the weights are not those that
            the folder's manifest names), `start_does_not_fit`, `start_without_encoders` (a model has no such
            encoders), `transductive_start`, or what `load_weights` raises.
    """
    if start_dir is None:
        return None
    manifest = read_manifest(start_dir)
    if manifest["finished"] is None:
        raise TrainingError(
            "pretraining_unfinished",
            f"The pre-training in {start_dir} is not finished.",
            remedy="Finish it by calling `dgccl pretrain` with the same arguments again.",
        )
    pretrained = read_pretraining_config(start_dir)
    encoders = EncodersAlone(pretrained)
    load_weights(encoders, start_dir / WEIGHTS)
    if file_sha256(start_dir / WEIGHTS) != manifest["encoders_sha256"]:
        raise TrainingError(
            "start_changed",
            f"{WEIGHTS} in {start_dir} is not the file that the pre-training wrote.",
            remedy="Pre-train again into a new folder.",
        )
    _check_settings(pretrained, manifest, config, quantities)
    weights = dict(encoders.state_dict())
    check_models(weights, config)
    seen = lesions_seen(read_lesions(start_dir), cohort.lesions)
    count, total = int(seen.sum()), len(seen)
    told = f"{count} of the {total} lesions that will be tested, or other lesions of their patients, were learned from"
    if count and not allow_transductive:
        raise TrainingError(
            "transductive_start",
            f"{told} in the pre-training {start_dir}: its encoders have seen test images.",
            remedy="Pre-train on other patients, or give --allow-transductive, which the run will note.",
        )
    record = {
        "folder": str(start_dir),
        "encoders_sha256": manifest["encoders_sha256"],
        "config_sha256": manifest["config_sha256"],
        "cohort_sha256": manifest["cohort_sha256"],
        "data_kind": manifest["data_kind"],
        "transductive_lesions": count,
        "warning": f"Transductive: {told} without labels in the pre-training." if count else None,
    }
    return Start(weights, record)


def lesions_seen(learned: pd.DataFrame, lesions: pd.DataFrame) -> pd.Series:
    """Which lesions, or whose patients, a pre-training has learned from.

    A lesion is known by its id, its patient or the hash of its arrays. Ids are compared as they stand: two cohorts that
    number their patients alike by chance are taken for one.

    Args:
        learned: columns `LESION_KEYS` and `split`, of which `train` was learned from.
        lesions: columns `LESION_KEYS`.

    Returns:
        True where seen, one a row of `lesions`.
    """
    train = learned.loc[learned["split"] == "train"]
    seen = pd.Series(False, index=lesions.index)
    for key in LESION_KEYS:
        known = set(train[key]) - {""}
        seen |= lesions[key].astype(str).isin(known)
    return seen


def check_models(weights: Mapping[str, Tensor], config: ExperimentConfig) -> None:
    """Refuse models that have no encoder of one modality alone, which is what was pre-trained.

    Args:
        weights: of pre-trained encoders.
        config: of the training.

    Raises:
        TrainingError: `start_without_encoders`.
    """
    lacking = []
    for name in config.trained:
        own, built = config.variant(name)
        with torch.device("meta"):  # shapes only: nothing is drawn
            encoders = [key for key in build_model(own, built).state_dict() if key.startswith(PREFIX)]
        same = describe_encoders(own) == describe_encoders(config)
        if not encoders or not set(encoders) <= set(weights) or not same:
            lacking.append(name)
    if lacking:
        raise TrainingError(
            "start_without_encoders",
            f"{', '.join(lacking)} cannot begin with pre-trained encoders: it has no encoder of each modality alone, "
            "or is an ablation with encoders of its own.",
            remedy="Leave it out of `models` or `ablations`, or train it in a run of its own without --start.",
        )


def _check_settings(
    pretrained: ExperimentConfig,
    manifest: Mapping[str, Any],
    config: ExperimentConfig,
    quantities: Mapping[str, str],
) -> None:
    """Refuse encoders of other settings or quantities; name the first that differs."""
    found, expected = describe_encoders(pretrained), describe_encoders(config)
    del expected["modalities"]  # a training may use fewer of them
    found |= {f"{name}: resolved quantity": value for name, value in manifest["quantities"].items()}
    expected |= {f"{name}: resolved quantity": value for name, value in quantities.items()}
    for key, value in expected.items():
        if found.get(key) != value:
            raise TrainingError(
                "start_does_not_fit",
                f"{key} is {found.get(key, 'absent')} in the pre-training and {value} in this training.",
                remedy="Train with the modalities and embedding_width of the pre-training (config.json in its folder).",
            )
