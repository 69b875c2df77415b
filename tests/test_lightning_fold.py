"""Which weights of a fold are kept."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from dgccl.benchmark.latents import latent_config, latent_images
from dgccl.fold_data import FoldData, PosedLesions
from dgccl.folds import Split
from dgccl.lightning_fold import fit_fold
from dgccl.phantom.law import sample_lesions
from dgccl.training import quiet_lightning


@pytest.mark.parametrize("keep_last", [False, True])
def test_the_best_epoch_is_kept_or_the_last(tmp_path: Path, keep_last: bool) -> None:
    """Few lesions, many epochs: the network grows too sure, so that the last epoch is not the best."""
    lesions = sample_lesions(np.random.default_rng(5), 64)
    config = latent_config(["late_fusion"], seed=5, epochs=30)
    config = config.model_copy(
        update={"training": config.training.model_copy(update={"batch_size": 8, "weight_average": 0.0})}
    )
    images, label = latent_images(lesions, config), torch.tensor(lesions["label"].to_numpy())
    rows = np.arange(64)
    data = FoldData(PosedLesions(images, config), label, Split(0, rows[:32], rows[32:], rows[:0]))
    with quiet_lightning():
        network, history = fit_fold(
            data,
            config=config,
            model="concatenation",
            device="cpu",
            state_file=tmp_path / "state.safetensors",
            log_dir=tmp_path / "log",
            on_epoch=lambda epochs: None,
            keep_last=keep_last,
        )
    losses = [row["validation_loss"] for row in history]
    assert len(losses) == 30
    assert min(losses) < losses[-1] - 0.05
    validation = torch.arange(32, 64)
    shown = images.modality_present[validation]
    inputs = data.source.inputs(validation, shown=shown, device=torch.device("cpu"))
    with torch.inference_mode():
        found = F.cross_entropy(network(inputs, shown).logits, label[validation]).item()
    assert found == pytest.approx(losses[-1] if keep_last else min(losses), abs=1e-4)


def test_equal_seeds_give_equal_bits_whatever_was_random_before(tmp_path: Path) -> None:
    """With every loss that has weights of its own, such as the discriminator of the mutual-information term."""
    lesions = sample_lesions(np.random.default_rng(6), 48)
    config = latent_config(["dgccl"], seed=6, epochs=2)
    config = config.model_copy(update={"model": config.model.model_copy(update={"invariance_weight": 0.5})})
    images, label = latent_images(lesions, config), torch.tensor(lesions["label"].to_numpy())
    rows = np.arange(48)
    data = FoldData(PosedLesions(images, config), label, Split(0, rows[:32], rows[32:], rows[:0]))
    found = []
    for run in range(2):
        torch.manual_seed(100 + run)
        with quiet_lightning():
            network, history = fit_fold(
                data, config=config, model="dgccl", device="cpu", state_file=tmp_path / f"{run}.safetensors",
                log_dir=tmp_path / f"log{run}", on_epoch=lambda epochs: None,
            )  # fmt: skip
        found.append((network.state_dict(), [row["train_loss"] for row in history]))
    assert found[0][1] == found[1][1]
    assert all(torch.equal(weight, found[1][0][name]) for name, weight in found[0][0].items())
