"""The phantom's latents as two tables: what fusion can gain under each setting of the law, in seconds.

No image, blur or noise: CT's table holds what CT can show, PET's what PET can show. What a method gains or cannot
gain here is due to the law alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float32, Float64, Int64
from torch import Tensor

from dgccl import stats
from dgccl.config import ExperimentConfig
from dgccl.dataset import LesionImages
from dgccl.fold_data import FoldData, PosedLesions
from dgccl.folds import Split
from dgccl.lightning_fold import fit_fold
from dgccl.phantom.law import TYPES, VIEWS, LesionLaw, log_likelihood_ratio, sample_lesions
from dgccl.predict import Predictor
from dgccl.training import quiet_lightning

CT_NUMBERS = ("log_diameter", "solid_fraction", "spiculation", "density_hu", "inflammation")
PET_NUMBERS = ("log_uptake", "log_diameter")


@dataclass(frozen=True)
class LatentStudy:
    """What methods reach on the latents of one law.

    Attributes:
        ideal: AUC of the exact likelihood ratio, by view.
        summed_ideal: AUC of the sum of the exact log likelihood ratios of CT and of PET.
        auroc: AUC of each method on the test lesions.
        against_summed: each other method against `summed_logits`, paired DeLong.
        p_holm: Holm's correction of those.
    """

    ideal: dict[str, float]
    summed_ideal: float
    auroc: dict[str, stats.Estimate]
    against_summed: dict[str, stats.PairedComparison]
    p_holm: dict[str, float]


def latent_config(models: Sequence[str], *, seed: int, epochs: int) -> ExperimentConfig:
    """Two tables, each with the encoder of a table, and the benchmark's kind of training."""
    table = {"quantity": "table", "encoder_width": 64, "token_width": 32}
    return ExperimentConfig.model_validate(
        {
            "name": "latents",
            "seed": seed,
            "models": list(models),
            "modalities": {
                "ct": {**table, "numbers": CT_NUMBERS, "categories": {"density_type": TYPES}},
                "pet": {**table, "numbers": PET_NUMBERS},
            },
            "model": {
                "embedding_width": 32,
                "attention_heads": 4,
                "gate_hidden": 32,
                "head_hidden": 32,
                "contrastive_weight": 0.0,
                "compensation_weight": 0.0,
                "auxiliary_weight": 1.0,
            },
            "augmentation": {"modality_dropout": 0.0},
            "training": {
                "epochs": epochs,
                "batch_size": 64,
                "learning_rate": 3e-3,
                "patience": epochs,
                "weight_average": 0.98,
            },
        }
    )


def study_latents(
    law: LesionLaw,
    models: Sequence[str],
    *,
    seed: int,
    train: int = 2000,
    test: int = 4000,
    epochs: int = 20,
) -> LatentStudy:
    """Train methods on the latents of a law and compare them with the best possible scores.

    Args:
        law: of the lesions.
        models: names of methods; `summed_logits` must be among them.
        seed: of lesions, weights and order.
        train: training lesions; a quarter as many validate.
        test: test lesions.
        epochs: passes over the training lesions.
    """
    if "summed_logits" not in models:
        raise ValueError("summed_logits must be among the models: the others are compared with it")
    validation = train // 4
    lesions = sample_lesions(np.random.default_rng(seed), train + validation + test, law=law)
    config = latent_config(models, seed=seed, epochs=epochs)
    rows = np.arange(len(lesions))
    split = Split(0, rows[:train], rows[train : train + validation], rows[train + validation :])
    images, label = latent_images(lesions, config), torch.tensor(lesions["label"].to_numpy())
    scores = {model: latent_scores(images, label, config, split, model=model) for model in models}
    tested = lesions.iloc[split.test]
    y_true = tested["label"].to_numpy()
    ratios = {view: log_likelihood_ratio(tested, view, law=law) for view in VIEWS}
    against = {
        model: stats.delong_paired(y_true, score, scores["summed_logits"])
        for model, score in scores.items()
        if model != "summed_logits"
    }
    adjusted = stats.holm(np.array([test.p for test in against.values()], dtype=np.float64))
    return LatentStudy(
        ideal={view: stats.auroc(y_true, ratio) for view, ratio in ratios.items()},
        summed_ideal=stats.auroc(y_true, ratios["ct"] + ratios["pet"]),
        auroc={model: stats.auroc_delong(y_true, score) for model, score in scores.items()},
        against_summed=against,
        p_holm=dict(zip(against, adjusted.tolist(), strict=True)),
    )


def latent_images(lesions: pd.DataFrame, config: ExperimentConfig) -> LesionImages:
    """Latent lesions as two tables in memory."""
    values = lesions.assign(
        log_diameter=np.log(lesions["diameter_mm"]),
        log_uptake=np.log(lesions["uptake_suv"]),
        density_type=lesions["density_type"].map(dict(zip(TYPES, range(len(TYPES)), strict=True))),
    )

    def table(columns: Sequence[str]) -> Float32[np.ndarray, "lesion column"]:
        return values[list(columns)].to_numpy(np.float32)

    tables = {name: torch.from_numpy(table(settings.columns)) for name, settings in config.tables.items()}
    present = torch.ones(len(lesions), len(tables), dtype=torch.bool)
    return LesionImages(volumes={}, modality_present=present, box_mm=1.0, tables=tables)


def latent_scores(
    images: LesionImages, label: Int64[Tensor, "n"], config: ExperimentConfig, split: Split, *, model: str
) -> Float64[np.ndarray, "test"]:
    """Train one method and score the test lesions.

    Args:
        images: of `latent_images`; `modality_present` says what each lesion has.
        label: recorded class of every lesion, (n,).
        config: of `latent_config`.
        split: rows that train, validate and test.
        model: name of the method.

    Returns:
        Probability of class 1 of the test lesions.
    """
    data = FoldData(PosedLesions(images, config), label, split)
    with TemporaryDirectory() as folder, quiet_lightning():
        network, _ = fit_fold(
            data,
            config=config,
            model=model,
            device="cpu",
            state_file=Path(folder) / "state.safetensors",
            log_dir=Path(folder) / "log",
            on_epoch=lambda epochs: None,
        )
    predictor = Predictor((network,), config, dict.fromkeys(config.tables, "table"), "cpu")
    return predictor.predict(images, rows=split.test).probability[:, 1].astype(np.float64)
