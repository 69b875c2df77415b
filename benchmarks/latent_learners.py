"""What a finite number of labels lets anyone learn: AUC of several learners that are given the exact latents.

Usage: python benchmarks/latent_learners.py [--train 2000 --test 8000 --seeds 21 22 23] [--epochs 20 40 80]

No image is read: CT's and PET's latents stand in tables. What is missing to the ideal observer here is what the
labels of so few lesions do not teach; a network on images cannot be blamed for that part of its regret.
"""

import argparse
from collections.abc import Callable

import numpy as np
import pandas as pd
import torch
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler

from dgccl import stats
from dgccl.benchmark.latents import latent_config, latent_images, latent_scores
from dgccl.folds import Split
from dgccl.phantom.law import TYPES, log_likelihood_ratio, sample_lesions


def polynomial(degree: int, strength: float) -> Callable:
    """Logistic regression on all products of up to `degree` latents; `strength` is scikit-learn's C."""
    return lambda: make_pipeline(
        StandardScaler(),
        PolynomialFeatures(degree, include_bias=False),
        StandardScaler(),
        LogisticRegression(C=strength, max_iter=3000),
    )


LEARNERS = {
    "logistic regression": polynomial(1, 1.0),
    "logistic regression, products of 2": polynomial(2, 0.1),
    "logistic regression, products of 3": polynomial(3, 0.03),
    "boosted trees": lambda: HistGradientBoostingClassifier(
        learning_rate=0.03,
        max_iter=200,
        max_depth=4,
        l2_regularization=10,
        min_samples_leaf=30,
        random_state=0,
    ),
}
NETWORKS = ("gated_residual", "concatenation")


def columns(lesions: pd.DataFrame) -> np.ndarray:
    """The latents of both views, (n, 9)."""
    plain = lesions[["solid_fraction", "spiculation", "density_hu", "inflammation"]].to_numpy()
    logs = np.log(lesions[["diameter_mm", "uptake_suv"]].to_numpy())
    types = np.stack([lesions["density_type"] == name for name in TYPES], axis=1)
    return np.hstack([plain, logs, types])


def of_seed(options: argparse.Namespace, seed: int) -> dict[str, float]:
    """AUC of every learner on the test lesions of one seed."""
    train, rest = options.train, options.train + options.train // 4
    lesions = sample_lesions(np.random.default_rng(seed), rest + options.test)
    label, table = lesions["label"].to_numpy(), columns(lesions)
    rows = np.arange(len(lesions))
    split = Split(0, rows[:train], rows[train:rest], rows[rest:])
    ideal = log_likelihood_ratio(lesions.iloc[split.test], "both")
    found = {"ideal observer": stats.auroc(label[split.test], ideal)}
    for name, build in LEARNERS.items():
        learner = build().fit(table[split.train], label[split.train])
        found[name] = stats.auroc(label[split.test], learner.predict_proba(table[split.test])[:, 1])
    for model in NETWORKS:
        for epochs in options.epochs:
            config = latent_config([model], seed=seed, epochs=epochs)
            images = latent_images(lesions, config)
            score = latent_scores(images, torch.tensor(label), config, split, model=model)
            found[f"{model}, {epochs} epochs"] = stats.auroc(label[split.test], score)
    return found


def main() -> None:
    """Print one line a learner."""
    parser = argparse.ArgumentParser(
        description="AUC of learners that are given the phantom's exact latents."
    )
    parser.add_argument("--train", type=int, default=2000, help="training lesions; a quarter more validate")
    parser.add_argument("--test", type=int, default=8000, help="test lesions of a seed")
    parser.add_argument("--seeds", type=int, nargs="+", default=[21, 22, 23])
    parser.add_argument("--epochs", type=int, nargs="+", default=[20, 40, 80])
    options = parser.parse_args()
    torch.set_num_threads(1)
    table = pd.DataFrame([of_seed(options, seed) for seed in options.seeds], index=options.seeds)
    print(f"PHANTOM latents, {options.train} training and {options.test} test lesions; AUC")
    for name in table:
        by_seed = " ".join(f"{value:.4f}" for value in table[name])
        print(f"{name:36} {table[name].mean():.4f}   seeds {by_seed}")


if __name__ == "__main__":
    main()
