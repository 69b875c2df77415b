"""Pre-training of the encoders on all lesions of a cohort, without their labels."""

from collections.abc import Callable
from dataclasses import asdict
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float32, Int64
from torch import Tensor

from dgccl.cohort import Cohort
from dgccl.config import ExperimentConfig
from dgccl.dataset import choose_quantities, load_images
from dgccl.errors import CohortError
from dgccl.files import write_atomically
from dgccl.fold_data import LesionSource, PosedLesions, derive_seed
from dgccl.lightning_state import quiet_lightning
from dgccl.model import save_weights
from dgccl.predict import resolve_device
from dgccl.pretraining.encoders import STATISTICS_BATCH, EncodersAlone
from dgccl.pretraining.folder import (
    HISTORY,
    MANIFEST,
    UNFINISHED,
    WEIGHTS,
    begin_folder,
    file_sha256,
    read_manifest,
)
from dgccl.pretraining.lightning import PRETRAINING, fit_encoders
from dgccl.pretraining.objectives import embedding_spread, pretraining_config
from dgccl.pretraining.retrieval import RetrievalResult, retrieval
from dgccl.run_dir import utc_now, write_json

COLLAPSED = 0.1
"""Spread of held-out embeddings below which a warning is written; 0 is a single point, near 1 every direction."""
SPLIT = 2  # what a seed is for, beside initialization (0) and epochs (1)

Progress = Callable[[str, int, int], None]


def pretrain(
    cohort: Cohort,
    out_dir: Path,
    config: ExperimentConfig,
    *,
    device: str = "auto",
    progress: Progress | None = None,
) -> Path:
    """Pre-train the encoders of an experiment, going on where an earlier call was killed.

    No label is read. A share of the patients is held out; on their lesions retrieval between modalities is measured.

    Args:
        cohort: opened cohort.
        out_dir: folder to write; new, or of the same configuration and cohort.
        config: the experiment, with its table `pretraining`.
        device: `auto`, `cpu` or `cuda`.
        progress: told after every epoch what was done, how many epochs, and of how many.

    Returns:
        The folder, with `pretraining.json`, `encoders.safetensors`, `lesions.csv`, `history.csv` and logs.

    Raises:
        ConfigError: `pretraining_not_configured`.
        CohortError: `too_few_patients`, `too_few_pairs`, or the cohort lacks what the configuration asks for.
        TrainingError: the folder holds something else, the device is absent, or the loss is no number.
    """
    where = resolve_device(device)
    settings = pretraining_config(config)
    split = hold_out(cohort.lesions["patient_id"], fraction=settings.validation_fraction, seed=config.seed)
    quantities = choose_quantities(cohort.lesions, config.modalities)
    images = load_images(cohort, config.modalities, quantities=quantities)
    rows = {name: torch.from_numpy(np.flatnonzero(split == name)) for name in ("train", "validation")}
    check_pairs(images.modality_present[rows["train"]], config)
    begin_folder(out_dir, cohort=cohort, config=config, quantities=quantities, split=split, device=where)
    if read_manifest(out_dir)["finished"] is not None:
        return out_dir
    source = PosedLesions(images, config)

    def report(epochs: int) -> None:
        if progress is not None:
            progress("Pre-training", epochs, settings.epochs)

    with quiet_lightning():
        network, history = fit_encoders(
            source,
            rows["train"],
            config=config,
            device=where,
            state_file=out_dir / UNFINISHED,
            log_dir=out_dir / "tensorboard" / "pretraining",
            on_epoch=report,
        )
    metadata = {"config_name": config.name, "seed": str(config.seed), "cohort_sha256": cohort.sha256}
    save_weights(network, out_dir / WEIGHTS, metadata=metadata)
    write_atomically(out_dir / HISTORY, pd.DataFrame(history).to_csv(index=False))
    finish(out_dir, judge_encoders(network, source, rows["validation"], config))
    return out_dir


def finish(out_dir: Path, judged: dict[str, Any]) -> None:
    """Write what was found on the held-out lesions into the manifest and mark the pre-training as finished."""
    sha256 = file_sha256(out_dir / WEIGHTS)
    done = {**judged, "encoders_sha256": sha256, "finished": utc_now()}
    write_json(out_dir / MANIFEST, read_manifest(out_dir) | done)
    (out_dir / UNFINISHED).unlink(missing_ok=True)


def hold_out(patients: pd.Series, *, fraction: float, seed: int) -> pd.Series:
    """Split lesions by patient into `train` and `validation`, whatever their labels.

    Args:
        patients: patient of each lesion.
        fraction: share of the patients that is held out; at least one, and two are left.
        seed: of the draw.

    Returns:
        `train` or `validation`, one a lesion.

    Raises:
        CohortError: `too_few_patients`: fewer than three.
    """
    names = np.array(sorted(patients.unique()))
    if len(names) < 3:
        raise CohortError(
            "too_few_patients",
            f"Pre-training needs lesions of three patients or more, one of them held out; found {len(names)}.",
            remedy="Add patients; their labels do not matter.",
        )
    count = int(np.clip(round(fraction * len(names)), 1, len(names) - 2))
    rng = np.random.default_rng(derive_seed(seed, PRETRAINING, SPLIT))
    held_out = set(rng.permutation(names)[:count])
    return patients.map(lambda name: "validation" if name in held_out else "train")


def check_pairs(modality_present: Tensor, config: ExperimentConfig) -> None:
    """Refuse lesions of which no two have the same two modalities, where modalities are to learn from each other.

    Args:
        modality_present: (n, M), of the lesions to learn from.
        config: the experiment.

    Raises:
        CohortError: `too_few_pairs`.
    """
    settings = pretraining_config(config)
    if not settings.contrastive_weight + settings.cross_weight:
        return
    present = modality_present.long()
    both = (present.T @ present).fill_diagonal_(0)
    if int(both.max()) < 2:
        raise CohortError(
            "too_few_pairs",
            f"Of {len(present)} lesions to learn from, at most {int(both.max())} have the same two of "
            f"{', '.join(config.modality_names)}; contrasting modalities needs two.",
            remedy="Set pretraining.contrastive_weight = 0 and cross_weight = 0, or add complete lesions.",
        )


def judge_encoders(
    network: EncodersAlone, source: LesionSource, rows: Int64[Tensor, "n"], config: ExperimentConfig
) -> dict[str, Any]:
    """Retrieval between every two modalities, and the spread of each, on held-out lesions as they lie.

    Args:
        network: pre-trained.
        source: inputs.
        rows: held-out lesions, (n,).
        config: the experiment.

    Returns:
        `retrieval` (by direction, `ct->pet`; None where fewer than two lesions have both), `spread` (by modality; None
        where fewer than two lesions have it) and `warnings`.
    """
    present = source.modality_present[rows].numpy()
    embeddings = embed(network, source, rows)
    names = config.modality_names
    spread: dict[str, float | None] = {}
    for index, name in enumerate(names):
        own = torch.from_numpy(embeddings[present[:, index], index])
        spread[name] = float(embedding_spread(own)) if len(own) >= 2 else None
    found: dict[str, RetrievalResult | None] = {}
    for a, b in permutations(range(len(names)), 2):
        both = present[:, a] & present[:, b]
        pair = embeddings[both, a], embeddings[both, b]
        found[f"{names[a]}->{names[b]}"] = retrieval(*pair) if both.sum() >= 2 else None
    warnings = [
        f"The embeddings of {name} have collapsed: their spread on held-out lesions is {value:.3f} (near 1 is full)."
        for name, value in spread.items()
        if value is not None and value < COLLAPSED
    ]
    warnings += [
        f"Retrieval {direction} was not measured: fewer than two held-out lesions have both."
        for direction, result in found.items()
        if result is None
    ]
    results = {direction: None if result is None else asdict(result) for direction, result in found.items()}
    return {"retrieval": results, "spread": spread, "warnings": warnings}


def embed(
    network: EncodersAlone, source: LesionSource, rows: Int64[Tensor, "n"]
) -> Float32[np.ndarray, "n modality width"]:
    """Embeddings of lesions as they lie, zero where a modality is absent.

    Args:
        network: encoders.
        source: inputs.
        rows: lesions, (n,).
    """
    device = next(network.parameters()).device
    network.eval()
    parts = []
    with torch.inference_mode():
        for part in rows.split(STATISTICS_BATCH):
            present = source.modality_present[part]
            inputs = source.inputs(part, shown=present, device=device)
            parts.append(network(inputs, present.to(device)).embeddings.float().cpu())
    return torch.cat(parts).numpy()
