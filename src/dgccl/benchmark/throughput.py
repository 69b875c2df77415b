"""How fast a preset trains on this machine: samples a second, and the share of the device's peak in bfloat16."""

import platform
import time
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.optim import AdamW

from dgccl.config import ExperimentConfig
from dgccl.model import Objective, build_model, model_config
from dgccl.model.cost import measure_cost
from dgccl.predict import channels_last, resolve_device

PEAK_BF16_TFLOPS = {
    "H200": 989.0,
    "H100 PCIe": 756.0,
    "H100 NVL": 835.0,
    "H100": 989.0,
    "A100": 312.0,
    "L40S": 362.0,
    "L4": 121.0,
}
"""Peak of dense bfloat16 products by a part of the device's name, more special names first; NVIDIA's data sheets."""
WARM_UP_STEPS = 5
BACKWARD = (
    2  # a backward pass does the products of the forward pass twice: for the inputs and for the weights
)


@dataclass(frozen=True)
class Throughput:
    """Speed of the training step (forward, loss, backward, optimizer), inputs being on the device.

    Attributes:
        model: its name.
        device: its name.
        precision: of the products.
        batch: lesions a step.
        steps: timed steps.
        samples_per_s: lesions a second.
        flops_per_sample: of a training step: the forward pass as torch counts it, three times.
        tflops: achieved, 10^12 operations a second.
        peak_tflops: of the device in bfloat16; None if unknown or on a CPU.
        share_of_peak: achieved over peak; None if the peak is.
        memory_gib: highest memory of the device; None on a CPU.
        note: what to know about this run.
    """

    model: str
    device: str
    precision: str
    batch: int
    steps: int
    samples_per_s: float
    flops_per_sample: int
    tflops: float
    peak_tflops: float | None
    share_of_peak: float | None
    memory_gib: float | None
    note: str


def measure_throughput(
    config: ExperimentConfig,
    model: str,
    *,
    device: str = "auto",
    batch: int | None = None,
    steps: int | None = None,
    seed: int = 0,
) -> Throughput:
    """Time training steps of a model on random inputs.

    Args:
        config: the experiment.
        model: name of the model.
        device: `auto` takes a CUDA device where there is one.
        batch: lesions a step; by default 256 on an accelerator, 4 on a CPU.
        steps: timed steps; by default 50 on an accelerator, 3 on a CPU.
        seed: of weights and inputs.

    Raises:
        TrainingError: the device is absent.
    """
    where = resolve_device(device)
    accelerated = where == "cuda"
    batch, steps = batch or (256 if accelerated else 4), steps or (50 if accelerated else 3)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = channels_last(build_model(config, model))
        inputs = {name: torch.rand(batch, *m.input_shape) for name, m in config.modalities.items()}
        for name, table in config.tables.items():
            inputs[name][:, len(table.numbers) :] = 0.0
        y_true = torch.arange(batch) % config.model.classes
    flops = (1 + BACKWARD) * measure_cost(network, config).flops
    network = network.to(where).train()
    objective = Objective(model_config(config, model).model, modalities=len(inputs)).to(where).train()
    optimizer = AdamW([*network.parameters(), *objective.parameters()], fused=True)
    inputs, y_true = {name: value.to(where) for name, value in inputs.items()}, y_true.to(where)
    present = torch.ones(batch, len(inputs), dtype=torch.bool, device=where)

    def step() -> Tensor:
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(where, dtype=torch.bfloat16):
            output = network(inputs, present)
        loss = objective(output, y_true, present).total
        loss.backward()
        optimizer.step()
        return loss

    for _ in range(WARM_UP_STEPS if accelerated else 1):
        step()
    _wait(where)
    start = time.perf_counter()
    for _ in range(steps):
        step()
    _wait(where)
    seconds = time.perf_counter() - start
    name = torch.cuda.get_device_name() if accelerated else platform.processor() or platform.machine()
    peak = _peak(name) if accelerated else None
    achieved = flops * batch * steps / seconds / 1e12
    return Throughput(
        model=model,
        device=name,
        precision="bfloat16 autocast",
        batch=batch,
        steps=steps,
        samples_per_s=batch * steps / seconds,
        flops_per_sample=flops,
        tflops=achieved,
        peak_tflops=peak,
        share_of_peak=None if peak is None else achieved / peak,
        memory_gib=torch.cuda.max_memory_allocated() / 2**30 if accelerated else None,
        note=_note(accelerated, peak),
    )


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def _peak(name: str) -> float | None:
    return next((peak for part, peak in PEAK_BF16_TFLOPS.items() if part in name), None)


def _note(accelerated: bool, peak: float | None) -> str:
    if not accelerated:
        return "No accelerator here: a small run on the CPU, which says nothing about training at full size."
    return "" if peak is not None else "The peak of this device is not known here, so its share is not given."
