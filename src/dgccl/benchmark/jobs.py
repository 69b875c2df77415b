"""One job: one method trained on one seed, and its scores of that seed's test lesions."""

import json
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float64
from torch import Tensor, nn

from dgccl.benchmark.bank import BankPlan, PoseBank
from dgccl.benchmark.settings import BenchmarkConfig, Method, identity, method_experiment
from dgccl.config import SINGLE, ExperimentConfig
from dgccl.files import write_atomically
from dgccl.fold_data import FoldData
from dgccl.folds import Split
from dgccl.lightning_fold import fit_fold
from dgccl.model.cost import measure_cost
from dgccl.predict import modality_patterns
from dgccl.training import quiet_lightning

SCORING_BATCH = 250
BEGUN = "begun"
"""File that says of which settings a job's unfinished state is."""


@dataclass(frozen=True)
class Job:
    """One method on one seed."""

    method: Method
    seed: int

    @property
    def name(self) -> str:
        """Name of the job's folder."""
        return f"{self.method.name}-{self.seed}"


@dataclass(frozen=True)
class JobBanks:
    """Lesions of one job.

    Attributes:
        train: training lesions.
        validation: lesions by whose loss the epoch is chosen.
        tests: test lesions by seed: those of the job's own seed, or of all seeds for the lower bound.
    """

    train: PoseBank
    validation: PoseBank
    tests: dict[int, PoseBank]


class JoinedSource:
    """Training lesions, then validation lesions, as one source of a fold."""

    def __init__(self, train: PoseBank, validation: PoseBank) -> None:
        self.train, self.validation = train, validation
        self.first = len(train.lesions)

    @property
    def modality_present(self) -> Tensor:
        """Every lesion has every modality, (n, M)."""
        return torch.cat([self.train.modality_present, self.validation.modality_present])

    def training_inputs(
        self, rows: Tensor, *, epoch: int, shown: Tensor, generator: torch.Generator, device: torch.device
    ) -> dict[str, Tensor]:
        """Planes of training lesions in the pose of an epoch."""
        return self.train.training_inputs(rows, epoch=epoch, shown=shown, generator=generator, device=device)

    def inputs(self, rows: Tensor, *, shown: Tensor, device: torch.device) -> dict[str, Tensor]:
        """Planes of validation lesions as they lie, or of training lesions in their first pose."""
        if bool((rows < self.first).all()):
            return self.train.inputs(rows, shown=shown, device=device)
        return self.validation.inputs(rows - self.first, shown=shown, device=device)


def job_plan(config: BenchmarkConfig, job: Job) -> str:
    """Hash of all that decides a job's scores."""
    experiment = method_experiment(config, job.method, seed=job.seed)
    of_large = set() if job.method.large else {"large", "large_poses", "large_seed"}
    return identity(config.data.model_dump(exclude=of_large), experiment, job.method.poses)


def is_done(folder: Path, config: BenchmarkConfig, job: Job) -> bool:
    """Whether a job's scores are there and were made with these settings."""
    stamp = folder / job.name / "job.json"
    return stamp.exists() and json.loads(stamp.read_text(encoding="utf-8"))["identity"] == job_plan(
        config, job
    )


def run_job(
    folder: Path,
    config: BenchmarkConfig,
    job: Job,
    banks: JobBanks,
    *,
    device: str,
    on_epoch: Callable[[int], None] = lambda epochs: None,
) -> None:
    """Train a method on the lesions of a seed, score the test lesions, and keep scores and costs.

    Args:
        folder: of all jobs.
        config: the benchmark.
        job: method and seed.
        banks: the job's lesions.
        device: `cpu` or `cuda`.
        on_epoch: called with the number of epochs done.
    """
    experiment = method_experiment(config, job.method, seed=job.seed)
    own = folder / job.name
    begin_job(own, job_plan(config, job))
    train, validation = len(banks.train.lesions), len(banks.validation.lesions)
    split = Split(0, np.arange(train), np.arange(train, train + validation), np.empty(0, np.int64))
    labels = torch.cat([banks.train.y_true, banks.validation.y_true])
    start = time.perf_counter()
    with quiet_lightning():
        network, history = fit_fold(
            FoldData(JoinedSource(banks.train, banks.validation), labels, split),
            config=experiment,
            model=job.method.model,
            device=device,
            state_file=own / "unfinished.safetensors",
            log_dir=own / "log",
            on_epoch=on_epoch,
        )
    seconds = time.perf_counter() - start
    scores = [
        score_bank(network, bank, experiment, poses=job.method.poses).assign(seed=seed)
        for seed, bank in banks.tests.items()
    ]
    pd.concat(scores, ignore_index=True).to_parquet(own / "scores.parquet", index=False)
    pd.DataFrame(history).to_csv(own / "history.csv", index=False)
    cost = measure_cost(network.cpu(), experiment)
    facts = {
        "identity": job_plan(config, job),
        "method": job.method.name,
        "seed": job.seed,
        "training_s": round(seconds, 1),
        "epochs": len(history),
        "device": device,
        "threads": torch.get_num_threads(),
        **asdict(cost),
    }
    write_atomically(own / "job.json", json.dumps(facts, indent=1))
    (own / "unfinished.safetensors").unlink(missing_ok=True)
    shutil.rmtree(own / "log", ignore_errors=True)


def begin_job(own: Path, plan: str) -> None:
    """Empty the folder of a job unless it holds a part of this very job, which then goes on."""
    begun = own / BEGUN
    if (own / "job.json").exists() or not begun.exists() or begun.read_text(encoding="utf-8") != plan:
        shutil.rmtree(own, ignore_errors=True)
    write_atomically(begun, plan)


def score_bank(
    network: nn.Module, bank: PoseBank, experiment: ExperimentConfig, *, poses: int
) -> pd.DataFrame:
    """Log odds of class 1 and gate weights of every lesion of a bank, in every pattern that the model can judge.

    Args:
        network: trained.
        bank: lesions.
        experiment: that it was trained in.
        poses: poses whose probabilities are averaged.

    Returns:
        Columns `lesion`, `pattern`, `y_true`, `score` (log odds), `score_upright` (the first pose alone) and one
        `gate_*` a modality, NaN without a gate.
    """
    names = experiment.modality_names
    device = next(network.parameters()).device
    single = experiment.models[0].removeprefix(SINGLE) if experiment.models[0].startswith(SINGLE) else None
    tables = []
    for pattern in modality_patterns(names):
        if single is not None and single not in pattern:
            continue
        shown = torch.tensor([name in pattern for name in names])
        probability, upright, gates = _score_pattern(network, bank, shown, poses=poses, device=device)
        table = pd.DataFrame({"lesion": np.arange(len(bank.lesions)), "pattern": "+".join(pattern)})
        table["y_true"] = bank.lesions["label"].to_numpy()
        table["score"], table["score_upright"] = _log_odds(probability), _log_odds(upright)
        for index, name in enumerate(names):
            table[f"gate_{name}"] = gates[:, index] if name in pattern else np.nan
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def _score_pattern(
    network: nn.Module, bank: PoseBank, shown: Tensor, *, poses: int, device: torch.device
) -> tuple[Float64[np.ndarray, "n"], Float64[np.ndarray, "n"], Float64[np.ndarray, "n modality"]]:
    """Probability of class 1 averaged over poses, the same in the first pose, and gate weights."""
    everyone = torch.arange(len(bank.lesions))
    probability = np.zeros((poses, len(everyone)))
    gates = np.full((poses, len(everyone), len(shown)), np.nan)
    with torch.inference_mode():
        for rows in everyone.split(SCORING_BATCH):
            present = shown.expand(len(rows), -1)
            for pose in range(poses):
                inputs = bank.inputs(rows, shown=present, device=device, pose=pose)
                output = network(inputs, present.to(device))
                probability[pose, rows] = output.logits.double().softmax(dim=1)[:, 1].cpu().numpy()
                if output.gate_weights is not None:
                    gates[pose, rows] = output.gate_weights.double().cpu().numpy()
    return probability.mean(axis=0), probability[0], gates.mean(axis=0)


def _log_odds(probability: Float64[np.ndarray, "n"]) -> Float64[np.ndarray, "n"]:
    clipped = probability.clip(1e-12, 1 - 1e-12)
    return np.log(clipped) - np.log1p(-clipped)


def bank_plans(config: BenchmarkConfig, seed: int) -> dict[str, BankPlan]:
    """The banks of a seed: `train`, `validation`, `test`; each of its own cohort, so that no lesion is in two."""
    data, experiment = config.data, config.experiment
    return {
        "train": BankPlan(seed, data.train, data.training_poses, "training", experiment),
        "validation": BankPlan(seed + 1_000_000, data.validation, 1, "prediction", experiment),
        "test": BankPlan(seed + 2_000_000, data.test, data.test_poses, "prediction", experiment),
    }


def large_plan(config: BenchmarkConfig) -> BankPlan:
    """The training lesions of the lower bound."""
    data = config.data
    return BankPlan(data.large_seed, data.large, data.large_poses, "training", config.experiment)
