"""Where late fusion is optimal nothing may claim to beat it; where the modalities explain each other, fusion wins."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from dgccl.benchmark.latents import latent_config, latent_images, latent_scores, study_latents
from dgccl.folds import Split
from dgccl.phantom.law import LesionLaw, sample_lesions
from dgccl.stats import delong_paired

PAIRLESS_TERMS = {"invariance_weight": 0.1, "contrastive_weight": 0.1, "compensation_weight": 0.1}
MODELS = ("summed_logits", "gated_residual", "concatenation", "dgccl")


def test_nothing_claims_to_beat_late_fusion_where_it_is_optimal() -> None:
    """CT and PET are independent given the class: the log likelihood ratios add up, and the sum is the optimum."""
    study = study_latents(
        LesionLaw(conditional_independence=True), MODELS, seed=11, train=1200, test=3000, epochs=12
    )
    assert study.summed_ideal == pytest.approx(study.ideal["both"], abs=1e-9)
    for model, test in study.against_summed.items():
        assert not (test.difference > 0 and study.p_holm[model] < 0.05), model
        assert study.auroc[model].estimate < study.ideal["both"]
    assert study.auroc["summed_logits"].estimate > study.ideal["both"] - 0.03


def test_fusion_beats_late_fusion_where_the_modalities_explain_each_other() -> None:
    study = study_latents(LesionLaw(), MODELS[:2], seed=11, train=1200, test=3000, epochs=12)
    assert study.summed_ideal < study.ideal["both"] - 0.02
    assert study.against_summed["gated_residual"].difference > 0.01
    assert study.p_holm["gated_residual"] < 0.001


def test_late_fusion_must_be_among_the_methods() -> None:
    with pytest.raises(ValueError, match="summed_logits"):
        study_latents(LesionLaw(), ["dgccl"], seed=0)


def test_cases_without_pet_help_more_than_dropping_them() -> None:
    """The smaller half of the lesions was sent to no PET, as in clinics; the term that needs no pairs uses them.

    Lesions that lack PET at random teach too little beside the noise between two trainings of 80 and 160 lesions
    for any test (docs/experiments.md); lesions of a kind that only CT has seen teach what the others cannot.
    """
    train, validation, test, seeds = 160, 120, 3000, (4, 5, 6)
    found = []
    for seed in seeds:
        lesions = sample_lesions(np.random.default_rng(seed), train + validation + test)
        has_pet = (lesions["diameter_mm"] >= lesions["diameter_mm"].median()).to_numpy()
        config = latent_config(["dgccl"], seed=seed, epochs=40)
        config = config.model_copy(
            update={
                "model": config.model.model_copy(update=PAIRLESS_TERMS),
                "augmentation": config.augmentation.model_copy(update={"modality_dropout": 0.3}),
                "training": config.training.model_copy(update={"batch_size": 32}),
            }
        )
        images, label = latent_images(lesions, config), torch.tensor(lesions["label"].to_numpy())
        present = images.modality_present.clone()
        present[:, 1] = torch.tensor(has_pet)
        rows = np.arange(len(lesions))
        everyone = Split(0, rows[:train], rows[train : train + validation], rows[train + validation :])
        complete = replace(everyone, train=rows[:train][has_pet[:train]])
        images = replace(images, modality_present=present)
        used, dropped = (
            latent_scores(images, label, config, split, model="dgccl") for split in (everyone, complete)
        )
        found.append((label.numpy()[everyone.test], used, dropped))
    label, used, dropped = (np.concatenate(column) for column in zip(*found, strict=True))
    gain = delong_paired(label, used, dropped, stratum=np.repeat(seeds, test))
    assert gain.difference > 0.02
    assert gain.p < 0.001
