"""Networks: encoders, fusion, classifiers, losses, checkpoints."""

from dgccl.model.checkpoint import load_weights, save_weights
from dgccl.model.classifier import ModelOutput
from dgccl.model.factory import Classifier, build_model, model_config
from dgccl.model.loss import LossTerms, Objective, training_loss

__all__ = [
    "Classifier",
    "LossTerms",
    "ModelOutput",
    "Objective",
    "build_model",
    "load_weights",
    "model_config",
    "save_weights",
    "training_loss",
]
