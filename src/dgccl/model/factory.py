"""From a configuration to a model."""

from dgccl.config import ExperimentConfig
from dgccl.errors import ConfigError
from dgccl.model.baselines import LateFusion
from dgccl.model.classifier import DgCcl

Classifier = DgCcl | LateFusion


def build_model(config: ExperimentConfig, name: str) -> Classifier:
    """Build a model with fresh weights, drawn from torch's generator: seed it first.

    Args:
        config: the experiment.
        name: `dgccl` or `late_fusion`.

    Returns:
        A module with the call `model(images, modality_present) -> ModelOutput`.

    Raises:
        ConfigError: there is no such model, or it cannot be built from these modalities.
    """
    if name == "dgccl":
        return DgCcl(config)
    if name == "late_fusion":
        return LateFusion(config)
    raise ConfigError("unknown_model", f"There is no model {name!r}; there are dgccl and late_fusion.")
