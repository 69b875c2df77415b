"""Throughput: on a machine without an accelerator it says so and runs small."""

import pytest
import torch

from dgccl.benchmark.settings import BenchmarkConfig
from dgccl.benchmark.throughput import _peak, measure_throughput
from dgccl.errors import TrainingError
from dgccl.model import build_model
from dgccl.model.cost import measure_cost


def test_a_run_without_accelerator_says_so(small: BenchmarkConfig) -> None:
    found = measure_throughput(small.experiment, "dgccl", device="cpu", batch=4, steps=2)
    assert found.samples_per_s > 0
    assert found.share_of_peak is None
    assert "No accelerator" in found.note
    forward = measure_cost(build_model(small.experiment, "dgccl"), small.experiment).flops
    assert found.flops_per_sample == 3 * forward
    assert found.tflops == pytest.approx(found.flops_per_sample * found.samples_per_s / 1e12)


def test_an_absent_device_is_refused(small: BenchmarkConfig) -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has a CUDA device")
    with pytest.raises(TrainingError) as caught:
        measure_throughput(small.experiment, "dgccl", device="cuda")
    assert caught.value.code == "device_unavailable"


@pytest.mark.parametrize(
    ("name", "peak"), [("NVIDIA H100 80GB HBM3", 989.0), ("NVIDIA H100 PCIe", 756.0), ("Some GPU", None)]
)
def test_peaks_are_found_by_name(name: str, peak: float | None) -> None:
    assert _peak(name) == peak
