"""Cross-validation: every model on every fold, each finished fold kept, one predictions table at the end."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float32

from dgccl.cohort import Cohort
from dgccl.config import SINGLE, ExperimentConfig, TrainingConfig
from dgccl.dataset import LesionImages, choose_quantities, load_images
from dgccl.errors import CohortError
from dgccl.fold_data import FoldData, PosedLesions
from dgccl.folds import Split, split_folds
from dgccl.lightning_fold import fit_fold, initial_network
from dgccl.lightning_state import quiet_lightning
from dgccl.model import save_weights
from dgccl.predict import Prediction, Predictor, resolve_device
from dgccl.prediction_table import prediction_rows
from dgccl.pretraining.start import Start, open_start
from dgccl.run_dir import (
    FoldResult,
    assemble,
    has_fold,
    is_finished,
    open_run,
    resume_path,
    save_fold,
    weights_path,
    write_folds,
)
from dgccl.workers import keep_freed_memory

Progress = Callable[[str, int, int], None]
"""Called with what is being done, the epochs done of all folds, and the epochs there are at most."""


def train(
    cohort: Cohort,
    run_dir: Path,
    config: ExperimentConfig,
    *,
    device: str = "auto",
    progress: Progress | None = None,
    start: Path | None = None,
    allow_transductive: bool = False,
) -> Path:
    """Train and cross-validate every model and ablation of an experiment, going on where an earlier call was killed.

    Args:
        cohort: opened cohort.
        run_dir: folder of the run; new, or of the same configuration and cohort.
        config: the experiment.
        device: `auto`, `cpu` or `cuda`.
        progress: told after every epoch what was done, how many epochs, and of how many.
        start: folder of a pre-training, whose encoders every model begins with; freshly drawn ones if None.
        allow_transductive: begin so even where the pre-training has learned from lesions of this cohort, each of
            which is tested in some fold; `run.json` then says so.

    Returns:
        The run's folder, which holds the predictions table, embeddings, weights, history and logs.

    Raises:
        CohortError: the cohort cannot be split, or lacks what the configuration asks for.
        TrainingError: the folder holds another run, the device is absent, a loss is not a number, or the start does
            not fit or has seen lesions of this cohort.
    """
    where = resolve_device(device)
    _check_labels(cohort.lesions, config)
    training = config.training
    splits = split_folds(
        cohort.lesions,
        folds=training.folds,
        validation_fraction=training.validation_fraction,
        seed=config.seed,
        by=training.fold_by,
    )
    quantities = choose_quantities(cohort.lesions, config.modalities)
    begun = open_start(
        start, cohort=cohort, config=config, quantities=quantities, allow_transductive=allow_transductive
    )
    record = None if begun is None else begun.record
    # What the cohort lacks is told before a run folder is begun.
    images = None if is_finished(run_dir) else load_images(cohort, config.modalities, quantities=quantities)
    open_run(run_dir, cohort=cohort, config=config, quantities=quantities, device=where, start=record)
    if images is None:
        return run_dir
    _check_single_models(images, splits, config)
    y_true = torch.tensor(cohort.lesions["label"].to_numpy())
    write_folds(run_dir, cohort.lesions, splits=splits)
    for model in config.trained:
        own, built = config.variant(model)
        for split in splits:
            report = partial(_report, progress, model, split.fold, own.training)
            if not has_fold(run_dir, model, split.fold):
                data = FoldData(PosedLesions(images, own), y_true, split)
                result = _train_fold(
                    data,
                    images,
                    cohort.lesions,
                    run_dir,
                    own,
                    quantities,
                    model=model,
                    built=built,
                    device=where,
                    report=report,
                    start=begun,
                )
                save_fold(run_dir, result, model=model, fold=split.fold)
            report(own.training.epochs)
    assemble(run_dir, config)
    return run_dir


def _train_fold(
    data: FoldData,
    images: LesionImages,
    lesions: pd.DataFrame,
    run_dir: Path,
    config: ExperimentConfig,
    quantities: dict[str, str],
    *,
    model: str,
    built: str,
    device: str,
    report: Callable[[int], None],
    start: Start | None,
) -> FoldResult:
    """Train one model on one fold and score its validation and test lesions with the best weights.

    `config` and `built` are those of `model`: an ablation has its own settings and the network of its full model.
    """
    keep_freed_memory()
    fold, test = data.split.fold, data.split.test
    untrained = initial_network(config, built, fold=fold)
    weights = None
    if start is not None:
        weights = start.begin(untrained.state_dict())
        untrained.load_state_dict(weights)
    untrained = untrained.to(device).eval()
    before = Predictor((untrained,), config, quantities, device).predict(images, rows=test)
    with quiet_lightning():
        network, history = fit_fold(
            data,
            config=config,
            model=built,
            device=device,
            state_file=resume_path(run_dir, model, fold),
            log_dir=run_dir / "tensorboard" / f"{model}-fold{fold}",
            on_epoch=report,
            start=weights,
        )
    path = weights_path(run_dir, model, fold)
    path.parent.mkdir(exist_ok=True)
    save_weights(network, path, metadata={"fold": str(fold), "config_name": config.name})
    predictor = Predictor((network,), config, quantities, device)
    tables = [
        prediction_rows(predictor, images, lesions=lesions, rows=rows).assign(split=name)
        for name, rows in (("validation", data.split.validation), ("test", test))
    ]
    after = predictor.predict(images, rows=test)
    embeddings = _split_embeddings(after, config.modality_names)
    for name, vectors in _split_embeddings(before, config.modality_names).items():
        if name != "fused":
            embeddings[f"{name}_untrained"] = vectors
    identity = lesions.iloc[test]
    return FoldResult(
        predictions=pd.concat(tables).assign(model=model, fold=fold),
        history=pd.DataFrame(history).assign(model=model, fold=fold),
        embeddings=embeddings,
        test_lesions=identity[["lesion_id", "patient_id"]].assign(fold=fold, y_true=identity["label"]),
    )


def _split_embeddings(
    prediction: Prediction, names: tuple[str, ...]
) -> dict[str, Float32[np.ndarray, "lesion width"]]:
    """Embeddings of one network by name: each modality and `fused`, where the model has them."""
    vectors = {}
    if prediction.embeddings is not None:
        vectors = {name: prediction.embeddings[:, index].copy() for index, name in enumerate(names)}
    return vectors if prediction.fused is None else vectors | {"fused": prediction.fused}


def _report(progress: Progress | None, model: str, fold: int, training: TrainingConfig, epochs: int) -> None:
    if progress is not None:
        done = fold * training.epochs + epochs
        progress(f"Training {model}", done, training.folds * training.epochs)


def _check_labels(lesions: pd.DataFrame, config: ExperimentConfig) -> None:
    """Refuse labels that the models have no class for, and classes of which there is no lesion."""
    classes = config.model.classes
    found = set(lesions["label"].unique())
    strange = sorted(found - set(range(classes)))
    if not strange and 1 < len(found) < classes:
        lacking = [str(index) for index in range(classes) if index not in found]
        raise CohortError(
            "class_without_lesions",
            f"The configuration has {classes} classes; the cohort has no lesion of label {', '.join(lacking)}.",
            remedy="Set model.classes to the number of classes in the cohort, labels from 0 without a gap.",
        )
    if strange:
        raise CohortError(
            "label_out_of_range",
            f"Labels must be 0 to {classes - 1}; the cohort also has {', '.join(map(str, strange[:5]))}.",
            remedy="Correct the label column, or set model.classes in the configuration.",
        )


def _check_single_models(images: LesionImages, splits: Sequence[Split], config: ExperimentConfig) -> None:
    """Refuse a model of one modality where a split has no lesion that it could judge."""
    for index, name in enumerate(config.modality_names):
        if f"{SINGLE}{name}" not in config.models:
            continue
        for split in splits:
            for part, rows in split.items():
                if not images.modality_present[torch.from_numpy(rows), index].any():
                    raise CohortError(
                        "nothing_to_judge",
                        f"{SINGLE}{name} cannot judge any of the {len(rows)} {part} lesions of fold {split.fold}: "
                        f"none has {name}.",
                        remedy=f"Leave {SINGLE}{name} out of `models`, lower `folds`, or change the seed.",
                    )
