"""A benchmark small enough for a test: few lesions, small encoders, two seeds."""

from pathlib import Path

import pytest

from dgccl.benchmark.settings import BenchmarkConfig, load_benchmark

STANDARD = Path(__file__).resolve().parents[2] / "configs" / "benchmark" / "phantom.toml"
KEPT = (
    "recommended",
    "published",
    "single_ct",
    "single_pet",
    "concatenation_full",
    "gate_only",
    "no_contrastive",
)


def shrink(config: BenchmarkConfig) -> BenchmarkConfig:
    """The standard benchmark with everything small; its figures mean nothing."""
    raw = config.model_dump(mode="json")
    raw["seeds"] = [1, 2]
    raw["data"] |= {
        "train": 24,
        "validation": 12,
        "test": 40,
        "training_poses": 2,
        "test_poses": 2,
        "large": 30,
        "large_poses": 1,
        "large_seed": 9,
    }
    for image in raw["experiment"]["modalities"].values():
        image |= {"input_px": 16, "encoder_width": 8, "token_width": 8}
    raw["experiment"]["model"] |= {
        "embedding_width": 8,
        "attention_heads": 2,
        "gate_hidden": 8,
        "head_hidden": 8,
    }
    raw["experiment"]["training"] |= {"epochs": 2, "patience": 2}
    raw["methods"] = [
        method | {"poses": min(method["poses"], 2)}
        for method in raw["methods"]
        if method["name"] in (*KEPT, "lower_bound")
    ]
    return BenchmarkConfig.model_validate(raw)


@pytest.fixture(scope="session")
def standard() -> BenchmarkConfig:
    return load_benchmark(STANDARD)


@pytest.fixture(scope="session")
def small(standard: BenchmarkConfig) -> BenchmarkConfig:
    return shrink(standard)
