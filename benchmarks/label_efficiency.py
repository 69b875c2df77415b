"""What a start without labels is worth: AUC of gated_residual by the share of labels, from scratch and from each start.

Usage: python benchmarks/label_efficiency.py [--pool 800 --test 2000 --seeds 1 2] [--out benchmarks/results]

Phantom lesions are drawn in memory with the images and the recommended network of `configs/benchmark/phantom.toml`, but
from seeds of its own. A pool of lesions is there without labels: every start is pre-trained on all of it. Of some share
of the pool the labels are known (shares are nested, classes in proportion); a fifth of those lesions is watched. Every
training of a seed has about as many steps, keeps its last weights and is tested on the same other lesions. The pairs of
areas are compared by DeLong's test for the same cases, seeds as strata. Each training is kept in --work, so that a
stopped run goes on.
"""

import argparse
import json
import math
import shlex
import shutil
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from dgccl import stats
from dgccl.benchmark.bank import BankPlan, PoseBank, draw_bank
from dgccl.benchmark.jobs import score_bank
from dgccl.benchmark.settings import BenchmarkConfig, identity, load_benchmark, method_experiment
from dgccl.config import ExperimentConfig
from dgccl.files import write_atomically
from dgccl.fold_data import FoldData
from dgccl.folds import Split
from dgccl.lightning_fold import fit_fold, initial_network
from dgccl.lightning_state import quiet_lightning
from dgccl.model import load_weights, save_weights
from dgccl.predict import resolve_device
from dgccl.pretraining.encoders import EncodersAlone
from dgccl.pretraining.lightning import fit_encoders
from dgccl.pretraining.run import judge_encoders
from dgccl.pretraining.start import Start

STARTS = {
    "contrastive": {"contrastive_weight": 1.0, "masked_weight": 0.0, "cross_weight": 0.0},
    "masked": {"contrastive_weight": 0.0, "masked_weight": 1.0, "cross_weight": 0.5},
    "both": {"contrastive_weight": 1.0, "masked_weight": 1.0, "cross_weight": 0.5},
}
SCRATCH, MODEL = "scratch", "gated_residual"
TEST_SEED = 5_000_000  # added to a pool's seed for its test lesions
SEED_BASE = 40_000  # keeps these lesions apart from those of every other benchmark


def experiment_of(config: BenchmarkConfig, seed: int) -> ExperimentConfig:
    """The recommended network on the images of the standard benchmark."""
    method = next(method for method in config.methods if method.group == "recommended")
    return method_experiment(config, method, seed=SEED_BASE + seed)


def banks_of(config: BenchmarkConfig, options: argparse.Namespace, seed: int) -> tuple[PoseBank, PoseBank]:
    """Lesions of the pool in random poses, and test lesions as they lie."""
    experiment, first = config.experiment, SEED_BASE + seed
    plans = {
        "pool": BankPlan(first, options.pool, options.poses, "training", experiment),
        "test": BankPlan(first + TEST_SEED, options.test, 1, "prediction", experiment),
    }
    banks = []
    for name, plan in plans.items():
        folder = options.work / "lesions" / f"{name}-{seed}-{plan.identity[:12]}"
        print(f"lesions: {folder.name}", flush=True)
        banks.append(draw_bank(folder, plan, workers=options.workers))
    return banks[0], banks[1]


def labelled_rows(y_true: torch.Tensor, share: float, *, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Training and validation rows of the lesions whose labels are known; smaller shares are parts of larger ones."""
    rng = np.random.default_rng((SEED_BASE, seed))
    train, validation = [], []
    for label in (0, 1):
        order = rng.permutation(np.flatnonzero(y_true.numpy() == label))
        known = order[: max(4, math.ceil(share * len(order)))]
        held = np.arange(len(known)) % 5 == 4 if len(known) >= 5 else np.arange(len(known)) == 3
        train.append(known[~held])
        validation.append(known[held])
    return np.concatenate(train).astype(np.int64), np.concatenate(validation).astype(np.int64)


def is_done(folder: Path, stamp: str) -> bool:
    """Whether a piece is there and was made with these settings; one of other settings is removed."""
    path = folder / "piece.json"
    if path.exists() and json.loads(path.read_text(encoding="utf-8"))["identity"] == stamp:
        return True
    if path.exists():
        shutil.rmtree(folder)
    return False


def finish(folder: Path, stamp: str, facts: dict[str, Any]) -> None:
    write_atomically(folder / "piece.json", json.dumps({"identity": stamp, **facts}, indent=1))
    (folder / "state.safetensors").unlink(missing_ok=True)
    shutil.rmtree(folder / "log", ignore_errors=True)


def pretrain_piece(
    name: str,
    pool: PoseBank,
    test: PoseBank,
    config: ExperimentConfig,
    options: argparse.Namespace,
    seed: int,
) -> Start:
    """Encoders pre-trained on the whole pool, and what retrieval finds on the test lesions."""
    settings = {"epochs": options.pretrain_epochs, "batch_size": 64, "learning_rate": 2e-3}
    raw = config.model_dump(mode="json") | {"pretraining": settings | STARTS[name]}
    experiment = ExperimentConfig.model_validate(raw)
    folder = options.work / "starts" / f"{name}-{seed}"
    stamp = identity("start", experiment, options.pool, options.poses)
    if not is_done(folder, stamp):
        folder.mkdir(parents=True, exist_ok=True)
        print(f"pre-training: {name}, seed {seed}", flush=True)
        begun = time.perf_counter()
        with quiet_lightning():
            network, history = fit_encoders(
                pool,
                torch.arange(len(pool.lesions)),
                config=experiment,
                device=options.device,
                state_file=folder / "state.safetensors",
                log_dir=folder / "log",
                on_epoch=lambda epochs: None,
            )
        save_weights(network, folder / "encoders.safetensors", metadata={"start": name})
        pd.DataFrame(history).to_csv(folder / "history.csv", index=False)
        held_out = torch.arange(min(len(test.lesions), options.gallery))
        facts = judge_encoders(network, test, held_out, experiment)
        finish(folder, stamp, {"seconds": round(time.perf_counter() - begun, 1), **facts})
    encoders = EncodersAlone(experiment)
    load_weights(encoders, folder / "encoders.safetensors")
    return Start(dict(encoders.state_dict()), {"identity": stamp})


def train_piece(
    start_name: str,
    start: Start | None,
    share: float,
    pool: PoseBank,
    test: PoseBank,
    config: ExperimentConfig,
    options: argparse.Namespace,
    seed: int,
) -> pd.DataFrame:
    """Scores of the test lesions after a training with the labels of a share of the pool."""
    train, validation = labelled_rows(pool.y_true, share, seed=seed)
    batches = math.ceil(len(train) / config.training.batch_size)
    epochs = max(1, round(options.steps / batches))
    changed = config.training.model_copy(update={"epochs": epochs, "patience": epochs})
    experiment = config.model_copy(update={"training": changed})
    begun_with = None if start is None else start.record["identity"]
    stamp = identity(
        "train to the end", experiment, options.pool, options.test, options.poses, share, begun_with
    )
    folder = options.work / "trainings" / f"{start_name}-{share:g}-{seed}"
    if not is_done(folder, stamp):
        folder.mkdir(parents=True, exist_ok=True)
        print(f"training: {start_name}, {share:.0%} of the labels, seed {seed}", flush=True)
        begun = time.perf_counter()
        drawn = initial_network(experiment, MODEL, fold=0).state_dict()
        with quiet_lightning():
            network, history = fit_fold(
                FoldData(pool, pool.y_true, Split(0, train, validation, np.empty(0, np.int64))),
                config=experiment,
                model=MODEL,
                device=options.device,
                state_file=folder / "state.safetensors",
                log_dir=folder / "log",
                on_epoch=lambda epochs: None,
                start=None if start is None else start.begin(drawn),
                # The loss of a handful of validation lesions cannot choose an epoch: an untrained network, sure of
                # nothing, often has the lowest (docs/experiments.md).
                keep_last=True,
            )
        score_bank(network, test, experiment, poses=1).to_parquet(folder / "scores.parquet", index=False)
        facts = {"epochs": len(history), "train": len(train), "validation": len(validation)}
        finish(folder, stamp, facts | {"seconds": round(time.perf_counter() - begun, 1)})
    scores = pd.read_parquet(folder / "scores.parquet")
    scores = scores.loc[scores["pattern"] == "+".join(config.modality_names)]
    facts = json.loads((folder / "piece.json").read_text(encoding="utf-8"))
    return scores[["lesion", "y_true", "score"]].assign(
        seed=seed, start=start_name, share=share, train=facts["train"], validation=facts["validation"]
    )


def compare(scores: pd.DataFrame) -> list[dict[str, Any]]:
    """One row a start and share: its area, and the difference to the training from scratch on the same lesions."""
    rows = []
    keys = ["seed", "lesion"]
    for share, of_share in scores.groupby("share"):
        scratch = of_share.loc[of_share["start"] == SCRATCH].sort_values(keys)
        y_true, stratum = scratch["y_true"].to_numpy(), scratch["seed"].to_numpy()
        for name in of_share["start"].unique():
            own = of_share.loc[of_share["start"] == name].sort_values(keys)
            area = stats.auroc_delong(y_true, own["score"].to_numpy(), stratum=stratum)
            row = {
                "share": share,
                "labels": int(own["train"].iloc[0] + own["validation"].iloc[0]),
                "start": name,
                "auroc": asdict(area),
                "against_scratch": None,
            }
            if name != SCRATCH:
                paired = stats.delong_paired(
                    y_true, own["score"].to_numpy(), scratch["score"].to_numpy(), stratum=stratum
                )
                row["against_scratch"] = asdict(paired)
            rows.append(row)
    return rows


def markdown(results: dict[str, Any]) -> str:
    """The table, with the command and seeds that made it."""
    lines = [
        "# Label efficiency on the phantom",
        "",
        f"PHANTOM data. AUC of {MODEL} on {results['test']} test lesions a seed (seeds "
        f"{', '.join(map(str, results['seeds']))}), after training with a share of the labels of a pool of "
        f"{results['pool']}; starts are pre-trained on the whole pool without labels. Difference: to the training from "
        "scratch, paired DeLong, 95 % intervals, not adjusted for their number.",
        "",
        f"`{results['command']}`",
        "",
        "| labels | start | AUC | difference to scratch | p |",
        "|---|---|---|---|---|",
    ]
    for row in results["rows"]:
        area, paired = row["auroc"], row["against_scratch"]
        shown = f"{area['estimate']:.3f} ({area['ci_low']:.3f} to {area['ci_high']:.3f})"
        difference = p = ""
        if paired is not None:
            difference = f"{paired['difference']:+.3f} ({paired['ci_low']:+.3f} to {paired['ci_high']:+.3f})"
            p = f"{paired['p']:.2g}"
        label = f"{row['share']:.0%} ({row['labels']})"
        lines.append(f"| {label} | {row['start']} | {shown} | {difference} | {p} |")
    lines += ["", "Retrieval on the test lesions by the pre-trained encoders (95 % Wilson):", ""]
    headings = "start", "seed", "direction", "recall at 1", "recall at 10", "chance at 1, at 10", "spread"
    lines += [f"| {' | '.join(headings)} |", "|---" * len(headings) + "|"]
    for found in results["starts"]:
        spread = ", ".join(f"{name} {value:.2f}" for name, value in found["spread"].items())
        for direction, r in found["retrieval"].items():
            recalls = [
                f"{r[key]['estimate']:.3f} ({r[key]['ci_low']:.3f} to {r[key]['ci_high']:.3f})"
                for key in ("recall_at_1", "recall_at_10")
            ]
            chance = f"{r['chance_at_1']:.3f}, {r['chance_at_10']:.3f}"
            cells = found["start"], str(found["seed"]), direction, *recalls, chance, spread
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config", type=Path, default=Path("configs/benchmark/phantom.toml"))
    parser.add_argument("--pool", type=int, default=800, help="lesions to pre-train on, some with labels")
    parser.add_argument("--test", type=int, default=2000, help="test lesions of a seed")
    parser.add_argument("--poses", type=int, default=8, help="random poses of a lesion of the pool")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--shares", type=float, nargs="+", default=[0.05, 0.1, 0.25, 0.5, 1.0])
    parser.add_argument("--starts", nargs="+", choices=list(STARTS), default=list(STARTS))
    parser.add_argument("--pretrain-epochs", type=int, default=40)
    parser.add_argument("--steps", type=int, default=240, help="steps of each training with labels, about")
    parser.add_argument(
        "--gallery", type=int, default=500, help="test lesions among which retrieval searches"
    )
    parser.add_argument("--workers", type=int, default=1, help="processes that draw lesions")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--work", type=Path, default=Path("runs/label_efficiency"))
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    options = parser.parse_args()
    options.device = resolve_device(options.device)
    return options


def main() -> None:
    options = parse()
    config = load_benchmark(options.config)
    tables, starts = [], []
    for seed in options.seeds:
        pool, test = banks_of(config, options, seed)
        experiment = experiment_of(config, seed)
        for name in (SCRATCH, *options.starts):
            start = None
            if name != SCRATCH:
                start = pretrain_piece(name, pool, test, experiment, options, seed)
                piece = options.work / "starts" / f"{name}-{seed}" / "piece.json"
                starts.append({"start": name, "seed": seed, **json.loads(piece.read_text(encoding="utf-8"))})
            for share in options.shares:
                tables.append(train_piece(name, start, share, pool, test, experiment, options, seed))
    chosen = {key: getattr(options, key) for key in ("pool", "test", "poses", "seeds", "shares")}
    results = chosen | {
        "data_kind": "phantom",
        "command": shlex.join(["python", *sys.argv]),
        "device": options.device,
        "pretrain_epochs": options.pretrain_epochs,
        "steps": options.steps,
        "rows": compare(pd.concat(tables, ignore_index=True)),
        "starts": starts,
    }
    write_atomically(options.out / "label_efficiency.json", json.dumps(results, indent=1) + "\n")
    write_atomically(options.out / "label_efficiency.md", markdown(results))
    print(markdown(results))


if __name__ == "__main__":
    main()
