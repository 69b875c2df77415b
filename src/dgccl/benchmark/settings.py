"""Settings of the benchmark: its data, its methods, its margins; one TOML file fixes them all."""

import hashlib
import json
import tomllib
from collections.abc import Collection
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, model_validator

from dgccl.config import ExperimentConfig, PositiveInt, Settings, adjusted, wrong_settings
from dgccl.errors import ConfigError

Group = Literal["recommended", "published", "rival", "single", "ablation", "part"]
"""What a method is for: `ablation` takes a part from the published method, `part` one from the recommended."""


class DataSettings(Settings):
    """How many lesions are drawn, and in how many poses.

    Attributes:
        train: training lesions of a seed.
        validation: lesions of a seed by whose loss the epoch is chosen.
        test: test lesions of a seed, scored once.
        training_poses: random poses of a training lesion, one an epoch.
        test_poses: poses in which a test lesion is shown: as it lies, then fixed rotations.
        large: training lesions of the lower bound.
        large_poses: random poses of each of them.
        large_seed: seed of those lesions.
    """

    train: PositiveInt
    validation: PositiveInt
    test: PositiveInt
    training_poses: PositiveInt
    test_poses: PositiveInt
    large: PositiveInt
    large_poses: PositiveInt
    large_seed: Annotated[int, Field(ge=0)]


class Margins(Settings):
    """What is to be reached, in AUC."""

    regret_lower: float = 0.015
    regret_upper: float = 0.03
    excess_drop: float = 0.01
    single_non_inferiority: float = 0.01
    flops_non_inferiority: float = 0.005


class Method(Settings):
    """One row of the tables.

    Attributes:
        name: short, unique.
        label: for people.
        model: name of the model, as `models` of an experiment takes it.
        group: what it is for.
        poses: poses whose probabilities are averaged in testing.
        large: trained on the many lesions of the lower bound, on one seed.
        settings: what differs from the benchmark's experiment: keys of `model` and `training`, the `modality_dropout`
            of `augmentation`, and of `images` what every image modality's encoder may differ in. What would need other
            planes is refused: all methods see the same lesions in the same poses.
    """

    name: Annotated[str, Field(pattern=r"^[a-z0-9_]+$")]
    label: str
    model: str
    group: Group
    poses: PositiveInt = 1
    large: bool = False
    settings: Annotated[dict[str, dict[str, Any]], Field(default_factory=dict)]


class BenchmarkConfig(Settings):
    """The whole benchmark as its TOML file states it."""

    name: str
    seeds: Annotated[tuple[int, ...], Field(min_length=1)]
    data: DataSettings
    margins: Margins = Margins()
    experiment: ExperimentConfig
    methods: Annotated[tuple[Method, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _consistent(self) -> "BenchmarkConfig":
        names = [method.name for method in self.methods]
        if len(set(names)) < len(names) or len(set(self.seeds)) < len(self.seeds):
            raise ValueError("methods and seeds must each be named once")
        if self.data.large_seed in self.seeds:
            raise ValueError(
                "large_seed must differ from the benchmark's seeds: its lesions are for training only"
            )
        if any(method.poses > self.data.test_poses for method in self.methods):
            raise ValueError("a method asks for more poses than test_poses draws")
        if sum(method.group == "recommended" for method in self.methods) != 1:
            raise ValueError("exactly one method must be the recommended one")
        for method in self.methods:
            method_experiment(self, method, seed=self.seeds[0])
        return self


def leave_out(config: BenchmarkConfig, names: Collection[str]) -> BenchmarkConfig:
    """The benchmark without some of its methods; all else, and the identity of its jobs, stays.

    Args:
        config: the benchmark.
        names: of the methods to leave out.

    Raises:
        ConfigError: a name is unknown, or is that of the recommended method, with which the others are compared.
    """
    known = {method.name: method for method in config.methods}
    check_methods(config, names)
    if any(known[name].group == "recommended" for name in names):
        raise ConfigError(
            "recommended_left_out",
            "The recommended method cannot be left out: the tables compare the others with it.",
        )
    kept = tuple(method for method in config.methods if method.name not in names)
    return config.model_copy(update={"methods": kept})


def check_methods(config: BenchmarkConfig, names: Collection[str]) -> None:
    """Refuse names of methods that the benchmark does not have.

    Raises:
        ConfigError: `unknown_method`.
    """
    known = [method.name for method in config.methods]
    unknown = sorted(set(names) - set(known))
    if unknown:
        raise ConfigError(
            "unknown_method",
            f"The benchmark has no method {', '.join(unknown)}; it has {', '.join(known)}.",
        )


def method_experiment(config: BenchmarkConfig, method: Method, *, seed: int) -> ExperimentConfig:
    """The experiment of one method and seed.

    Raises:
        ValueError: the method's settings name an unknown table or key, or a value out of range.
    """
    raw = config.experiment.model_dump(mode="json")
    raw = adjusted(raw, method.settings, name=f"method {method.name}", images=tuple(config.experiment.images))
    raw |= {"name": method.name, "seed": seed, "models": [method.model]}
    return ExperimentConfig.model_validate(raw)


def identity(*settings: Any) -> str:
    """Hash by which data and results know the settings that they were made with."""
    dumped = [item.model_dump(mode="json") if isinstance(item, Settings) else item for item in settings]
    return hashlib.sha256(json.dumps(dumped, sort_keys=True).encode()).hexdigest()


def load_benchmark(path: Path) -> BenchmarkConfig:
    """Read and check the benchmark's TOML file.

    Raises:
        ConfigError: the file is absent, is no TOML, or holds an unknown key or a value out of range.
    """
    try:
        return BenchmarkConfig.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError as error:
        raise ConfigError(
            "config_not_found",
            f"There is no configuration {path.name}.",
            remedy="See configs/benchmark/phantom.toml.",
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError("config_not_toml", f"{path.name} is not valid TOML: {error}.") from error
    except ValidationError as error:
        raise ConfigError(
            "config_invalid",
            f"{path.name}: {wrong_settings(error)}.",
            remedy="Compare with configs/benchmark/phantom.toml.",
        ) from error
