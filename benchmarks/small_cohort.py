"""Test AUC of a configuration that is trained on as few lesions as a fold of the demo has, on random splits.

Usage: .venv/bin/python benchmarks/small_cohort.py COHORT_DIR --config configs/fast.toml [--model dgccl] [--splits 3]

For choosing settings on a development phantom (`dgccl phantom dev --patients 480 --seed 7`, then `dgccl ingest`),
never on the cohort whose result is reported. Each split has 102 training and 26 validation lesions; the rest is scored
with all modalities and with each alone. The seed of a split is its number.
"""

import argparse
import logging
import tempfile
import warnings
from pathlib import Path

import numpy as np
import torch
from sklearn.metrics import roc_auc_score

from dgccl.cohort import Cohort, open_cohort
from dgccl.config import ExperimentConfig, load_config
from dgccl.dataset import LesionImages, choose_quantities, load_images, model_inputs
from dgccl.fold_data import FoldData, PosedLesions
from dgccl.folds import Split
from dgccl.lightning_fold import fit_fold

TRAINING, VALIDATION = 102, 26


def score(
    network: torch.nn.Module, images: LesionImages, config: ExperimentConfig, rows: torch.Tensor, shown
) -> np.ndarray:
    """Probability of class 1 of each row when only some modalities are shown."""
    scores = []
    with torch.no_grad():
        for part in rows.split(64):
            present = torch.tensor(shown).expand(len(part), -1)
            inputs = model_inputs(images, part, modalities=config.modalities, shown=present)
            scores.append(network(inputs, present).probability[:, 1])
    return torch.cat(scores).numpy()


def run_split(
    cohort: Cohort, images: LesionImages, config: ExperimentConfig, *, model: str, seed: int
) -> list[float]:
    """Test AUC with all modalities, then with each alone."""
    y_true = torch.from_numpy(cohort.lesions["label"].to_numpy())
    order = np.random.default_rng(seed).permutation(len(y_true)).astype(np.int64)
    split = Split(seed, *np.split(order, [TRAINING, TRAINING + VALIDATION]))
    with tempfile.TemporaryDirectory() as folder:
        network, _ = fit_fold(
            FoldData(PosedLesions(images, config), y_true, split),
            config=config,
            model=model,
            device="cpu",
            state_file=Path(folder) / "state",
            log_dir=Path(folder) / "log",
            on_epoch=lambda epoch: None,
        )
    count = len(config.modalities)
    patterns = [[True] * count, *np.eye(count, dtype=bool).tolist()]
    rows = torch.from_numpy(split.test)
    return [roc_auc_score(y_true[rows], score(network, images, config, rows, shown)) for shown in patterns]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("cohort", type=Path)
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--model", default="dgccl")
    parser.add_argument("--splits", type=int, default=3)
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)

    cohort, config = open_cohort(options.cohort), load_config(options.config)
    quantities = choose_quantities(cohort.lesions, config.modalities)
    images = load_images(cohort, config.modalities, quantities=quantities)
    areas = np.array(
        [run_split(cohort, images, config, model=options.model, seed=seed) for seed in range(options.splits)]
    )
    for name, mean, spread in zip(
        ["all", *config.modality_names], areas.mean(axis=0), areas.std(axis=0), strict=True
    ):
        print(f"{options.model} {name:<4} AUC {mean:.3f} (s.d. over {options.splits} splits {spread:.3f})")


if __name__ == "__main__":
    main()
