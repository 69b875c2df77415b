"""A pre-training of the tiny cohort, and one of every kind of modality."""

from pathlib import Path

import pytest

from dgccl.cohort import Cohort
from dgccl.config import ExperimentConfig
from dgccl.pretraining import pretrain

from ..tiny_cohort import LEVELS, tiny_config, write_tiny_cohort

SETTINGS = {"epochs": 3, "batch_size": 8, "validation_fraction": 0.3, "predictor_hidden": 16}


def pretraining_experiment(**settings: object) -> ExperimentConfig:
    """The tiny experiment with a table `pretraining`."""
    raw = tiny_config().model_dump(mode="json") | {"pretraining": SETTINGS | settings}
    return ExperimentConfig.model_validate(raw)


def every_modality(**settings: object) -> ExperimentConfig:
    """Planes as channels (pyramid), planes one by one (ViT), a cube (average), and a table."""
    image = {"quantity": "hu", "window": [-1000.0, 1000.0], "field_mm": 48.0}
    small = {"encoder": "cnn", "encoder_width": 8, "token_width": 8}
    modalities = {
        "ct": image | small | {"input_px": 20},
        "pet": image
        | {"quantity": "suv_bw", "window": [0.0, 10.0], "input_px": 32, "planes": "shared"}
        | {"encoder": "vit_small", "encoder_width": 64, "token_width": 8},
        "mr": image
        | small
        | {"quantity": "intensity", "window": [-2.0, 3.0], "view": "volume", "input_px": 16}
        | {"pooling": "average"},
        "clinical": {
            "quantity": "table",
            "numbers": ["cea_ng_ml", "sul_per_suv_bw"],
            "categories": {"smoking": list(LEVELS)},
            "encoder_width": 8,
            "token_width": 8,
        },
    }
    raw = tiny_config().model_dump(mode="json") | {"modalities": modalities}
    return ExperimentConfig.model_validate(raw | {"pretraining": SETTINGS | settings})


@pytest.fixture(scope="session")
def unlabelled(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    """Lesions to pre-train on."""
    return write_tiny_cohort(tmp_path_factory.mktemp("unlabelled") / "cohort")


@pytest.fixture(scope="session")
def pretrained(unlabelled: Cohort, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a pre-training that was never interrupted."""
    out_dir = tmp_path_factory.mktemp("pretrained") / "start"
    return pretrain(unlabelled, out_dir, pretraining_experiment(), device="cpu")
