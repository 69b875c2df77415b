"""Verb that learns without labels: pretrain."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from dgccl.cli.app import app
from dgccl.cli.options import DataKindOption, JsonOption, progress_bars


@app.command()
def pretrain(
    cohort_dir: Annotated[
        Path,
        typer.Argument(
            metavar="COHORT",
            help="Cohort folder that `dgccl ingest` wrote, or a CSV of values. Labels are not read.",
        ),
    ],
    out_dir: Annotated[Path, typer.Argument(help="Folder to write.")],
    config: Annotated[Path, typer.Option(help="Experiment with a table [pretraining].")],
    data_kind: DataKindOption = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    as_json: JsonOption = False,
) -> None:
    """Train the encoders without labels, for `dgccl train --start`; resumes where it was killed.

    Example: `dgccl pretrain unlabelled/ runs/start --config configs/pretrain.toml`
    """
    from dgccl.config import load_config
    from dgccl.pretraining.folder import read_manifest
    from dgccl.pretraining.run import pretrain as run_pretrain
    from dgccl.table_cohort import open_data

    experiment = load_config(config)
    cohort = open_data(cohort_dir, data_kind=data_kind)
    with progress_bars(as_json) as progress:
        run_pretrain(cohort, out_dir, experiment, device=device, progress=progress)
    manifest = read_manifest(out_dir)
    if as_json:
        print(json.dumps({"folder": str(out_dir), **manifest}))
    else:
        _print_findings(out_dir, manifest)


def _print_findings(out_dir: Path, manifest: dict[str, Any]) -> None:
    """Retrieval with its intervals and chance levels, the spread of the embeddings, and the warnings."""

    def recall(figure: dict[str, float]) -> str:
        return f"{figure['estimate']:.2f} ({figure['ci_low']:.2f} to {figure['ci_high']:.2f})"

    counts = manifest["n_lesions"]
    print(
        f"Pre-trained on {counts['train']} lesions of {manifest['data_kind'].upper()} data without labels; "
        f"{counts['validation']} held out. Encoders in {out_dir}"
    )
    for direction, found in manifest["retrieval"].items():
        if found is not None:
            print(
                f"  {direction}: recall at 1 {recall(found['recall_at_1'])}, by chance {found['chance_at_1']:.2f}; "
                f"at 10 {recall(found['recall_at_10'])}, by chance {found['chance_at_10']:.2f} (n {found['n']})"
            )
    spreads = [f"{name} {value:.2f}" for name, value in manifest["spread"].items() if value is not None]
    print(f"  spread of embeddings (0 collapsed, near 1 full): {', '.join(spreads) or 'not measured'}")
    for warning in manifest["warnings"]:
        print(f"! {warning}")
