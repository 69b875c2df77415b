"""When fusion pays: methods on the phantom's latents under each setting of its law, beside the best possible score.

The latents stand in two tables (no image, no noise), so that minutes are enough and only the law differs.

    python benchmarks/dials.py --seed 3 --out runs/dials.md
"""

import argparse
import logging
import warnings
from pathlib import Path

from dgccl.benchmark.latents import LatentStudy, study_latents
from dgccl.phantom.law import LesionLaw

LAWS = {
    "default": LesionLaw(),
    "interaction=0.5": LesionLaw(interaction=0.5),
    "interaction=0": LesionLaw(interaction=0.0),
    "conditional_independence=True": LesionLaw(conditional_independence=True),
    "label_noise=0.1": LesionLaw(label_noise=0.1),
}
MODELS = ("summed_logits", "late_fusion", "concatenation", "dgccl", "gated_residual")


def row(name: str, study: LatentStudy) -> str:
    """One line of the table: ideal AUCs, AUC of each method, difference from summed log odds with its p."""
    cells = [name, f"{study.ideal['both']:.4f}", f"{study.summed_ideal:.4f}"]
    for model in MODELS:
        cell = f"{study.auroc[model].estimate:.4f}"
        if model in study.against_summed:
            test = study.against_summed[model]
            cell += f" ({test.difference:+.4f}, p {study.p_holm[model]:.2g})"
        cells.append(cell)
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    """Train every method under every law and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=3)
    parser.add_argument("--train", type=int, default=2000)
    parser.add_argument("--test", type=int, default=8000)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--out", type=Path, default=Path("runs/dials.md"))
    arguments = parser.parse_args()
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", message=".*LeafSpec.*is deprecated")
    lines = [
        "| law | ideal, both | ideal, summed | " + " | ".join(MODELS) + " |",
        "|" + "---|" * (3 + len(MODELS)),
    ]
    for name, law in LAWS.items():
        study = study_latents(
            law,
            MODELS,
            seed=arguments.seed,
            train=arguments.train,
            test=arguments.test,
            epochs=arguments.epochs,
        )
        lines.append(row(name, study))
        print(lines[-1], flush=True)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
