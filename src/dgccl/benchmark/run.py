"""The whole benchmark: draw, train, compute, write; every finished piece is kept."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd
import torch

from dgccl.benchmark.bank import BankPlan, PoseBank, Progress, draw_bank
from dgccl.benchmark.jobs import Job, JobBanks, bank_plans, is_done, large_plan, run_job
from dgccl.benchmark.results import BenchmarkResults, compute_results
from dgccl.benchmark.scores import BenchmarkScores, read_scores
from dgccl.benchmark.settings import BenchmarkConfig, check_methods, leave_out
from dgccl.errors import ConfigError
from dgccl.predict import resolve_device
from dgccl.workers import keep_freed_memory, map_in_processes


def run_benchmark(
    config: BenchmarkConfig,
    work: Path,
    *,
    command: str,
    only: Sequence[str] = (),
    without: Sequence[str] = (),
    workers: int = 1,
    device: str = "auto",
    progress: Progress | None = None,
) -> tuple[BenchmarkResults, BenchmarkScores] | None:
    """Draw the lesions, train every method on every seed, and compute the tables; go on where a call was killed.

    Args:
        config: the benchmark.
        work: folder of drawn lesions and finished jobs; a later call takes up what it finds there.
        command: what was called, to stand beside the figures.
        only: names of the methods to train now, all if empty; the tables need all of them.
        without: names of the methods that are neither trained nor in the tables; the results name them.
        workers: processes, of one thread each.
        device: `auto`, `cpu` or `cuda`.
        progress: called with (what, done, total).

    Returns:
        Results and the scores behind them; None if some methods are still to be trained.

    Raises:
        ConfigError: `only` or `without` names a method that the benchmark does not have, or what is left out is the
            recommended method or is asked for in `only`.
        CohortError: `work` holds lesions of other settings.
        TrainingError: a loss is not a number, or the device is absent.
    """
    left_out = [method for method in config.methods if method.name in set(without)]
    check_methods(config, only)
    both = sorted(set(only) & set(without))
    if both:
        raise ConfigError(
            "method_left_out_and_asked_for", f"{', '.join(both)} is both asked for alone and left out."
        )
    config = leave_out(config, without)
    where = resolve_device(device)
    plans = _plans(config)
    jobs = [
        Job(method, seed)
        for method in config.methods
        for seed in ((config.data.large_seed,) if method.large else config.seeds)
    ]
    todo = [
        job
        for job in jobs
        if not is_done(work / "jobs", config, job) and (not only or job.method.name in only)
    ]
    needed = sorted({name for job in todo for name in _banks_of(config, job)} | set(_test_banks(config)))
    for name in needed:
        draw_bank(work / "lesions" / name, plans[name], workers=workers, progress=progress)
    arguments = [(work, config, job, where, workers) for job in todo]
    done = sum(is_done(work / "jobs", config, job) for job in jobs)
    for count, _ in enumerate(map_in_processes(_train, arguments, workers=workers), start=done + 1):
        if progress is not None:
            progress("Training", count, len(jobs))
    if not all(is_done(work / "jobs", config, job) for job in jobs):
        return None
    tests = {
        seed: pd.read_parquet(work / "lesions" / f"{seed}-test" / "lesions.parquet") for seed in config.seeds
    }
    scores = read_scores(work / "jobs", config, tests)
    return compute_results(scores, command=command, left_out=left_out), scores


def _plans(config: BenchmarkConfig) -> dict[str, BankPlan]:
    plans = {
        f"{seed}-{split}": plan for seed in config.seeds for split, plan in bank_plans(config, seed).items()
    }
    return plans | {"large": large_plan(config)}


def _test_banks(config: BenchmarkConfig) -> list[str]:
    return [f"{seed}-test" for seed in config.seeds]


def _banks_of(config: BenchmarkConfig, job: Job) -> list[str]:
    """Names of the banks that a job reads: training, validation, then tests."""
    if job.method.large:
        return ["large", f"{config.seeds[0]}-validation", *_test_banks(config)]
    return [f"{job.seed}-{split}" for split in ("train", "validation", "test")]


def _train(argument: tuple[Path, BenchmarkConfig, Job, str, int]) -> None:
    work, config, job, device, workers = argument
    keep_freed_memory()
    if workers > 1:
        torch.set_num_threads(1)
    plans = _plans(config)
    open_bank: Callable[[str], PoseBank] = lambda name: draw_bank(  # noqa: E731 (drawn already: this opens it)
        work / "lesions" / name, plans[name], workers=1
    )
    train, validation, *tests = _banks_of(config, job)
    seeds = config.seeds if job.method.large else (job.seed,)
    banks = JobBanks(
        open_bank(train),
        open_bank(validation),
        dict(zip(seeds, [open_bank(name) for name in tests], strict=True)),
    )
    run_job(work / "jobs", config, job, banks, device=device)
