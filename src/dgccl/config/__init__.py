"""Typed TOML configuration: one file an experiment, every key checked, every default visible in the run."""

from dgccl.config.base import PositiveInt, Settings
from dgccl.config.experiment import (
    FUSION_MODELS,
    PUBLISHED_MODELS,
    SINGLE,
    ExperimentConfig,
    load_config,
    wrong_settings,
)
from dgccl.config.modalities import ImageConfig, ModalityConfig, TableConfig
from dgccl.config.model import ModelConfig, default_class_names, score_columns
from dgccl.config.training import AugmentationConfig, PredictionConfig, PretrainingConfig, TrainingConfig
from dgccl.config.variants import AblationConfig, adjusted

__all__ = [
    "FUSION_MODELS",
    "PUBLISHED_MODELS",
    "SINGLE",
    "AblationConfig",
    "AugmentationConfig",
    "ExperimentConfig",
    "ImageConfig",
    "ModalityConfig",
    "ModelConfig",
    "PositiveInt",
    "PredictionConfig",
    "PretrainingConfig",
    "Settings",
    "TableConfig",
    "TrainingConfig",
    "adjusted",
    "default_class_names",
    "load_config",
    "score_columns",
    "wrong_settings",
]
