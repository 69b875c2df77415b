"""From a configuration to a model."""

from collections.abc import Mapping

from jaxtyping import Bool, Float
from torch import Tensor

from dgccl.config import FUSION_MODELS, SINGLE, ExperimentConfig
from dgccl.errors import ConfigError
from dgccl.model.baselines import Concatenation, LateFusion, SingleModality
from dgccl.model.classifier import DgCcl
from dgccl.model.early import EarlyFusion, JoinedTables
from dgccl.model.experts import ProductOfExperts
from dgccl.model.residual import GatedResidual
from dgccl.model.table import TableEncoder

Classifier = (
    DgCcl | GatedResidual | EarlyFusion | LateFusion | Concatenation | ProductOfExperts | SingleModality
)

ATTENTION_ALONE = {
    "gate": "equal",
    "contrastive_weight": 0.0,
    "compensation_weight": 0.0,
    "invariance_weight": 0.0,
}
"""What makes DG-CCL the plain cross-attention that it is compared with."""


def build_model(config: ExperimentConfig, name: str) -> Classifier:
    """Build a model with fresh weights, drawn from torch's generator: seed it first.

    Args:
        config: the experiment.
        name: one of `config.FUSION_MODELS`, or `single_` and the name of a modality.

    Returns:
        A module with the call `model(images, modality_present) -> ModelOutput`.

    Raises:
        ConfigError: there is no such model, or it cannot be built from these modalities.
    """
    if name.startswith(SINGLE) and name.removeprefix(SINGLE) in config.modalities:
        return SingleModality(config, name.removeprefix(SINGLE))
    if name == "cross_attention":
        return DgCcl(model_config(config, name), name)
    if name in ("late_fusion", "summed_logits"):
        return LateFusion(config, summed=name == "summed_logits")
    builders = {
        "dgccl": DgCcl,
        "gated_residual": GatedResidual,
        "early_fusion": EarlyFusion,
        "concatenation": Concatenation,
        "product_of_experts": ProductOfExperts,
    }
    if name in builders:
        return builders[name](config)
    singles = ", ".join(f"{SINGLE}{modality}" for modality in config.modality_names)
    raise ConfigError(
        "unknown_model", f"There is no model {name!r}; there are {', '.join(FUSION_MODELS)}, {singles}."
    )


def model_config(config: ExperimentConfig, name: str) -> ExperimentConfig:
    """The experiment as a model by this name is built and trained: cross_attention has no gate and no loss of its own.

    Args:
        config: the experiment.
        name: the model's name.
    """
    if name != "cross_attention":
        return config
    alone = config.model.model_copy(update={**ATTENTION_ALONE, "queue_size": 0, "cross_attention": True})
    return config.model_copy(update={"model": alone})


def fit_tables(
    network: Classifier,
    tables: Mapping[str, Float[Tensor, "row _"]],
    modality_present: Bool[Tensor, "row modality"],
) -> None:
    """Take the statistics by which a network standardizes its tables from training rows.

    Args:
        network: any classifier; what it does not read is passed over.
        tables: per table (n, columns), NaN where missing.
        modality_present: (n, M), in the order of the configuration.
    """
    if isinstance(network, EarlyFusion):
        if isinstance(network.join, JoinedTables):
            network.join.encoder.fit(network.join.rows(dict(tables), modality_present))
        return
    for name, branch in network.encoders.branches.items():
        if name in tables and isinstance(branch.encoder, TableEncoder):
            branch.encoder.fit(tables[name])
