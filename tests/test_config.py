"""Configurations: every preset builds its models and gives a loss; every wrong file is named with what is wrong."""

from pathlib import Path

import pytest
import torch

from dgccl.config import ExperimentConfig, load_config
from dgccl.errors import ConfigError
from dgccl.model import build_model, training_loss

CONFIGS = Path(__file__).resolve().parents[1] / "configs"
PRESETS = sorted(CONFIGS.glob("*.toml"))


@pytest.mark.parametrize("path", PRESETS, ids=lambda path: path.stem)
def test_every_preset_builds_its_models(path: Path) -> None:
    config = load_config(path)
    assert config.name == path.stem
    present = torch.ones(3, len(config.modalities), dtype=torch.bool)
    present[1, 1:] = False
    images = {name: torch.rand(3, *modality.input_shape) for name, modality in config.modalities.items()}
    for name, modality in config.tables.items():
        images[name][:, len(modality.numbers) :] = torch.tensor([0.0, 1.0, torch.nan])[:, None]
    for name in config.models:
        torch.manual_seed(0)
        output = build_model(config, name)(images, present)
        loss = training_loss(output, torch.tensor([0, 1, 1]), present, config.model)
        assert output.logits.shape == (3, config.model.classes)
        assert torch.isfinite(loss.total)


def test_a_preset_is_the_method_as_published() -> None:
    paper = load_config(CONFIGS / "paper.toml")
    assert (paper.modalities["ct"].encoder, paper.modalities["pet"].encoder) == ("resnet50_spp", "vit_small")
    assert (paper.model.embedding_width, paper.model.attention_heads) == (768, 8)
    assert (paper.model.gate_hidden, paper.model.head_hidden, paper.model.temperature) == (64, 512, 0.1)
    assert paper.augmentation.modality_dropout == 0.3
    assert paper.training.folds == 5


def test_a_resolved_configuration_reads_back_as_itself() -> None:
    config = load_config(CONFIGS / "fast.toml")
    assert ExperimentConfig.model_validate_json(config.model_dump_json()) == config


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("epochs = ", "epoch = ", "training.epoch"),
        ("batch_size = 16", "batch_size = 0", "training.batch_size"),
        ("window = [-1000.0, 1000.0]", "window = [5.0, 5.0]", "modalities.ct"),
        ('encoder = "cnn"', 'encoder = "vgg"', "modalities.ct.encoder"),
        ("attention_heads = 4", "attention_heads = 5", "model"),
        ('"dgccl"', '"magic"', "models"),
        ('name = "fast"', "", "name"),
    ],
)
def test_wrong_settings_are_named(tmp_path: Path, old: str, new: str, named: str) -> None:
    text = (CONFIGS / "fast.toml").read_text(encoding="utf-8")
    assert old in text
    (tmp_path / "mine.toml").write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_config(tmp_path / "mine.toml")
    assert caught.value.code == "config_invalid"
    assert named in str(caught.value)


def test_a_file_that_is_no_toml_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text("epochs: 3", encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_config(tmp_path / "mine.toml")
    assert caught.value.code == "config_not_toml"
    with pytest.raises(ConfigError) as caught:
        load_config(tmp_path / "absent.toml")
    assert caught.value.code == "config_not_found"
