"""What a model costs: parameters, and floating-point operations of a forward pass by the part that does them."""

import re
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from dgccl.config import ExperimentConfig

ENCODER = re.compile(r"encoders\.branches\.\w+\.encoder|join\.encoder")
HEAD = re.compile(r"head|heads\.\d+")
PARTS = ("encoders", "projections", "fusion", "heads")


@dataclass(frozen=True)
class Cost:
    """Cost of one model.

    Attributes:
        parameters: trainable numbers.
        flops: floating-point operations of one lesion's forward pass, a multiplication and an addition being two.
        flops_by_part: `encoders` (images or tables to tokens), `projections` (tokens to the common width, and
            their pooling), `fusion` (attention, gate, compensation, joining) and `heads`; their sum is `flops`.
    """

    parameters: int
    flops: int
    flops_by_part: dict[str, int]


def measure_cost(network: nn.Module, config: ExperimentConfig, *, batch: int = 2) -> Cost:
    """Count a model's parameters and the operations of its forward pass with every modality present.

    Matrix products, convolutions and attention are counted, as torch's counter does; additions, normalization and
    activations, which it leaves out, are below one percent in these networks.

    Args:
        network: the model, on the CPU; its mode and weights stay as they are.
        config: the experiment that it was built from.
        batch: lesions of the counted batch.
    """
    inputs = {name: torch.zeros(batch, *m.input_shape) for name, m in config.modalities.items()}
    present = torch.ones(batch, len(inputs), dtype=torch.bool)
    training, fast_path = network.training, torch.backends.mha.get_fastpath_enabled()
    counter = FlopCounterMode(display=False)
    try:
        # The fused kernels of attention are unknown to the counter on a CPU; the plain ones do the same sums.
        torch.backends.mha.set_fastpath_enabled(False)
        with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), counter:
            network.eval()(inputs, present)
    finally:
        torch.backends.mha.set_fastpath_enabled(fast_path)
        network.train(training)
    prefix = type(network).__name__
    by_module = {
        name.removeprefix(f"{prefix}."): sum(found.values()) // batch
        for name, found in counter.get_flop_counts().items()
    }
    total = counter.get_total_flops() // batch
    encoders = sum(flops for name, flops in by_module.items() if ENCODER.fullmatch(name))
    heads = sum(flops for name, flops in by_module.items() if HEAD.fullmatch(name))
    projections = by_module.get("encoders", encoders) - encoders + by_module.get("projection", 0)
    rest = total - encoders - heads - projections
    parts = dict(zip(PARTS, (encoders, projections, rest, heads), strict=True))
    return Cost(sum(p.numel() for p in network.parameters() if p.requires_grad), total, parts)
