"""Pre-training end to end on tiny cohorts: what it leaves, the same bits after a kill, no labels, no collapse."""

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.numpy import load_file

from dgccl.cohort import Cohort
from dgccl.dataset import choose_quantities, load_images
from dgccl.errors import CohortError, ConfigError, TrainingError
from dgccl.fold_data import PosedLesions
from dgccl.pretraining import pretrain
from dgccl.pretraining.encoders import EncodersAlone, batch_norms, settle_statistics
from dgccl.pretraining.folder import file_sha256
from dgccl.pretraining.lightning import PretrainingModule, initial_encoders
from dgccl.pretraining.run import check_pairs, embed, hold_out

from ..tiny_cohort import tiny_config, write_tiny_cohort
from .conftest import every_modality, pretraining_experiment


def posed(cohort: Cohort, config: Any) -> PosedLesions:
    quantities = choose_quantities(cohort.lesions, config.modalities)
    return PosedLesions(load_images(cohort, config.modalities, quantities=quantities), config)


def weights(folder: Path) -> dict[str, bytes]:
    return {name: value.tobytes() for name, value in load_file(folder / "encoders.safetensors").items()}


def test_a_folder_says_what_was_learned_from_what(pretrained: Path, unlabelled: Cohort) -> None:
    manifest = json.loads((pretrained / "pretraining.json").read_text())
    assert manifest["cohort_sha256"] == unlabelled.sha256
    assert manifest["encoders_sha256"] == file_sha256(pretrained / "encoders.safetensors")
    assert (manifest["seed"], manifest["quantities"]) == (7, {"ct": "hu", "pet": "sul"})
    assert manifest["command"]
    assert manifest["finished"]
    lesions = pd.read_csv(pretrained / "lesions.csv")
    assert lesions["lesion_id"].tolist() == unlabelled.lesions["lesion_id"].tolist()
    counts = lesions["split"].value_counts().to_dict()
    assert counts == manifest["n_lesions"]
    assert lesions.groupby("patient_id")["split"].nunique().max() == 1
    history = pd.read_csv(pretrained / "history.csv")
    assert set(history) == {"epoch", "loss", "contrastive", "masked", "cross", "spread_ct", "spread_pet"}
    assert history["epoch"].tolist() == [0, 1, 2]
    assert np.isfinite(history.to_numpy()).all()
    held_out = unlabelled.lesions.loc[(lesions["split"] == "validation").to_numpy()]
    both = int((held_out["has_ct"] & held_out["has_pet"]).sum())
    assert set(manifest["retrieval"]) == {"ct->pet", "pet->ct"}
    for result in manifest["retrieval"].values():
        assert (result["n"], result["chance_at_1"]) == (both, 1 / both)
        assert result["recall_at_1"]["ci_low"] <= result["recall_at_1"]["estimate"] <= 1
    assert not (pretrained / "unfinished.safetensors").exists()
    assert list((pretrained / "tensorboard").rglob("events.*"))


class Killed(BaseException):
    """Stands for the power going off."""


@pytest.mark.parametrize("settings", [{}, {"masked_weight": 0.0, "cross_weight": 0.0, "queue_size": 6}])
def test_a_killed_pretraining_ends_in_the_same_bits(
    settings: dict[str, Any],
    unlabelled: Cohort,
    pretrained: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = pretraining_experiment(**settings)
    whole = pretrained if not settings else pretrain(unlabelled, tmp_path / "whole", config, device="cpu")

    def after_two(what: str, done: int, total: int) -> None:
        if done == 2:
            raise Killed

    with pytest.raises(Killed):
        pretrain(unlabelled, tmp_path / "out", config, device="cpu", progress=after_two)
    real, steps = PretrainingModule.training_step, []

    def failing(self: PretrainingModule, rows: torch.Tensor, batch_idx: int) -> torch.Tensor:
        steps.append(self.current_epoch)
        if len(steps) == 2:
            raise Killed
        return real(self, rows, batch_idx)

    monkeypatch.setattr(PretrainingModule, "training_step", failing)
    with pytest.raises(Killed):
        pretrain(unlabelled, tmp_path / "out", config, device="cpu")
    assert set(steps) == {2}, "the epochs that were done are not done again"
    monkeypatch.undo()

    def after_all(what: str, done: int, total: int) -> None:
        raise Killed

    with pytest.raises(Killed):  # between the last epoch and the end
        pretrain(unlabelled, tmp_path / "out", config, device="cpu", progress=after_all)
    assert not (tmp_path / "out" / "encoders.safetensors").exists()
    pretrain(unlabelled, tmp_path / "out", config, device="cpu")
    assert weights(tmp_path / "out") == weights(whole)
    assert (tmp_path / "out" / "history.csv").read_text() == (whole / "history.csv").read_text()


def test_labels_are_not_read(unlabelled: Cohort, pretrained: Path, tmp_path: Path) -> None:
    shuffled = write_tiny_cohort(tmp_path / "cohort")
    table = pd.read_csv(tmp_path / "cohort" / "lesions.csv")
    table["label"] = np.random.default_rng(0).permutation(table["label"]) * 5 - 1
    relabelled = dataclasses.replace(
        shuffled, lesions=shuffled.lesions.assign(label=table["label"].to_numpy())
    )
    out_dir = pretrain(relabelled, tmp_path / "out", pretraining_experiment(), device="cpu")
    assert weights(out_dir) == weights(pretrained)
    found, expected = (json.loads((f / "pretraining.json").read_text()) for f in (out_dir, pretrained))
    assert found["retrieval"] == expected["retrieval"]
    without = dataclasses.replace(shuffled, lesions=shuffled.lesions.drop(columns="label"))
    assert weights(pretrain(without, tmp_path / "none", pretraining_experiment(), device="cpu")) == weights(
        pretrained
    )


@pytest.mark.parametrize(
    "settings", [{}, {"contrastive_weight": 0.0}, {"masked_weight": 0.0, "cross_weight": 0.0}]
)
def test_embeddings_do_not_collapse(settings: dict[str, Any], tmp_path: Path) -> None:
    cohort = write_tiny_cohort(tmp_path / "cohort", lesions=48)
    config = pretraining_experiment(epochs=15, learning_rate=3e-3, **settings)
    out_dir = pretrain(cohort, tmp_path / "out", config, device="cpu")
    history = pd.read_csv(out_dir / "history.csv")
    for name in ("masked", "contrastive"):
        if history[name].iloc[0]:
            assert history[name].iloc[-1] < history[name].iloc[0]
    manifest = json.loads((out_dir / "pretraining.json").read_text())
    assert min(manifest["spread"].values()) > 0.1, manifest["spread"]
    assert not any("collapsed" in warning for warning in manifest["warnings"])


def test_every_kind_of_modality_takes_part(tmp_path: Path) -> None:
    cohort = write_tiny_cohort(tmp_path / "cohort", mr_px=8, clinical=True)
    config = every_modality(epochs=1)
    out_dir = pretrain(cohort, tmp_path / "out", config, device="cpu")
    before = EncodersAlone(config).state_dict()
    fresh = {name: value.numpy().tobytes() for name, value in initial_encoders(config).state_dict().items()}
    after = weights(out_dir)
    assert after.keys() == before.keys()
    trained = [name for name in after if after[name] != fresh[name]]
    for name in config.modalities:
        assert any(key.startswith(f"encoders.branches.{name}.") for key in trained)
    found = json.loads((out_dir / "pretraining.json").read_text())
    assert len(found["retrieval"]) == 12


def test_lesions_of_one_modality_take_part_in_the_masked_objective(unlabelled: Cohort) -> None:
    config = pretraining_experiment(contrastive_weight=0.0)
    source = posed(unlabelled, config)
    alone = (source.modality_present.sum(dim=1) == 1).nonzero()[:, 0]
    assert len(alone) == 3
    module = PretrainingModule(initial_encoders(config), config=config, source=source, rows=alone)
    module.on_train_epoch_start()
    module.training_step(alone, 0).backward()
    figures = module.epoch_figures()
    assert figures["masked"] > 0
    assert figures["cross"] == 0
    assert all(p.grad is None for p in module.teacher.parameters())
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in module.student.parameters())


def test_modalities_of_a_lesion_lie_in_poses_of_their_own(unlabelled: Cohort) -> None:
    raw = pretraining_experiment().model_dump(mode="json")
    raw["modalities"]["pet"] = raw["modalities"]["ct"]  # one image twice: only the pose can differ
    config = type(pretraining_experiment()).model_validate(raw)
    source = posed(unlabelled, config)
    module = PretrainingModule(initial_encoders(config), config=config, source=source, rows=torch.arange(4))
    module.on_train_epoch_start()
    drawn = module._inputs(torch.arange(3), source.modality_present[:3])
    assert not torch.allclose(drawn["ct"], drawn["pet"])
    lying = source.inputs(torch.arange(3), shown=source.modality_present[:3], device=torch.device("cpu"))
    assert torch.equal(lying["ct"], lying["pet"])


def test_statistics_are_those_of_the_lesions_as_they_lie(unlabelled: Cohort, pretrained: Path) -> None:
    config = pretraining_experiment()
    source, network = posed(unlabelled, config), initial_encoders(config)
    rows = torch.tensor([0, 1, 2, 5])
    settle_statistics(network, source, rows)
    first = batch_norms(network.encoders.branches["ct"])[0]
    trunk = network.encoders.branches["ct"].encoder.trunk
    lying = source.inputs(rows, shown=source.modality_present[rows], device=torch.device("cpu"))["ct"]
    expected = trunk[0](lying).mean(dim=(0, 2, 3))
    torch.testing.assert_close(first.running_mean, expected.detach())
    assert first.momentum == 0.1
    assert not network.training
    embeddings = embed(network, source, torch.arange(24))
    absent = ~source.modality_present.numpy()
    assert (np.abs(embeddings).sum(axis=2) == 0).tolist() == absent.tolist()


def test_a_loss_that_is_no_number_is_told(unlabelled: Cohort, tmp_path: Path) -> None:
    config = pretraining_experiment(learning_rate=1e30)
    with pytest.raises(TrainingError, match="not a number in epoch") as caught:
        pretrain(unlabelled, tmp_path / "out", config, device="cpu")
    assert caught.value.code == "nan_loss"


def test_folders_are_bound_to_what_they_began_with(
    unlabelled: Cohort, pretrained: Path, tmp_path: Path
) -> None:
    shutil.copytree(pretrained, tmp_path / "out")
    before = (tmp_path / "out" / "pretraining.json").read_bytes()
    with pytest.raises(TrainingError, match="another configuration") as caught:
        pretrain(unlabelled, tmp_path / "out", pretraining_experiment(epochs=4), device="cpu")
    assert caught.value.code == "run_dir_mismatch"
    other = write_tiny_cohort(tmp_path / "other", seed=1)
    with pytest.raises(TrainingError, match="another cohort"):
        pretrain(other, tmp_path / "out", pretraining_experiment(), device="cpu")
    pretrain(unlabelled, tmp_path / "out", pretraining_experiment(), device="cpu")
    assert (tmp_path / "out" / "pretraining.json").read_bytes() == before, "a finished one is left as it is"
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("mine")
    with pytest.raises(TrainingError) as caught:
        pretrain(unlabelled, tmp_path / "mine", pretraining_experiment(), device="cpu")
    assert caught.value.code == "run_dir_not_empty"


def test_without_the_table_nothing_is_begun(unlabelled: Cohort, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        pretrain(unlabelled, tmp_path / "out", tiny_config(), device="cpu")
    assert caught.value.code == "pretraining_not_configured"
    assert not (tmp_path / "out").exists()


def test_patients_are_held_out_whole_and_by_seed() -> None:
    patients = pd.Series([f"P{index // 3}" for index in range(60)])
    first = hold_out(patients, fraction=0.2, seed=1)
    assert first.value_counts().to_dict() == {"train": 48, "validation": 12}
    assert first.groupby(patients).nunique().max() == 1
    pd.testing.assert_series_equal(first, hold_out(patients, fraction=0.2, seed=1))
    assert not first.equals(hold_out(patients, fraction=0.2, seed=2))
    with pytest.raises(CohortError) as caught:
        hold_out(patients[:6], fraction=0.2, seed=1)
    assert caught.value.code == "too_few_patients"


def test_modalities_that_never_meet_cannot_be_contrasted() -> None:
    apart = torch.tensor([[True, False], [False, True], [True, True]])
    with pytest.raises(CohortError) as caught:
        check_pairs(apart, pretraining_experiment())
    assert caught.value.code == "too_few_pairs"
    check_pairs(apart, pretraining_experiment(contrastive_weight=0.0, cross_weight=0.0))
