"""Where late fusion is optimal nothing may claim to beat it; where the modalities explain each other, fusion wins."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from dgccl.benchmark.latents import latent_config, latent_images, latent_scores, study_latents
from dgccl.cohort import Split
from dgccl.phantom.law import LesionLaw, sample_lesions
from dgccl.stats import delong_paired

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
    """Half of the training lesions lack PET; the term that needs no pairs and the gate put them to use."""
    train, validation, seeds = 80, 120, (4, 5, 6)
    found = []
    for seed in seeds:
        lesions = sample_lesions(np.random.default_rng(seed), train + validation + 3000)
        config = latent_config(["dgccl"], seed=seed, epochs=40)
        terms = {"invariance_weight": 0.1, "contrastive_weight": 0.1, "compensation_weight": 0.1}
        config = config.model_copy(
            update={
                "model": config.model.model_copy(update=terms),
                "training": config.training.model_copy(update={"batch_size": 16}),
            }
        )
        images, label = latent_images(lesions, config), torch.tensor(lesions["label"].to_numpy())
        present = images.modality_present.clone()
        present[: train // 2, 1] = False
        rows = np.arange(len(lesions))
        everyone = Split(0, rows[:train], rows[train : train + validation], rows[train + validation :])
        complete = replace(everyone, train=rows[train // 2 : train])
        images = replace(images, modality_present=present)
        used, dropped = (
            latent_scores(images, label, config, split, model="dgccl") for split in (everyone, complete)
        )
        found.append((label.numpy()[everyone.test], used, dropped))
    label, used, dropped = (np.concatenate(column) for column in zip(*found, strict=True))
    test = delong_paired(label, used, dropped, stratum=np.repeat(seeds, 3000))
    assert test.difference > 0.002
    assert test.p < 0.05
