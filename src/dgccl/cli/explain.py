"""Verb that says why: explain."""

import json
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from dgccl.cli.app import app
from dgccl.cli.options import JsonOption, progress_bars


@app.command()
def explain(
    run_dir: Annotated[Path, typer.Argument(help="Run folder that `dgccl train` finished.")],
    lesion_id: Annotated[str, typer.Argument(help="Lesion to explain; leave it out with --cohort.")] = "",
    model: Annotated[
        str, typer.Option(help="Model to explain; by default DG-CCL, or without it the run's first.")
    ] = "",
    cohort: Annotated[bool, typer.Option("--cohort", help="Explain every test lesion of the run.")] = False,
    method: Annotated[
        Literal["integrated_gradients", "occlusion"],
        typer.Option(help="How the maps of one lesion are made."),
    ] = "integrated_gradients",
    baseline: Annotated[
        Literal["low_end", "training_mean"],
        typer.Option(help="What stands for nothing there: low end of the window, or mean training image."),
    ] = "low_end",
    patch_mm: Annotated[float, typer.Option(help="Edge of the occluded patch, mm.")] = 8.0,
    explained_class: Annotated[
        int | None, typer.Option(help="Class whose log odds are explained; by default 1 of two classes.")
    ] = None,
    without: Annotated[
        str,
        typer.Option(
            help="Modality to leave out, e.g. pet: what it was expected to change, beside what it did. By default the "
            "one that the lesion lacks."
        ),
    ] = "",
    out: Annotated[
        Path | None, typer.Option(help="Folder to write; by default within RUN_DIR/explanations.")
    ] = None,
    cohort_dir: Annotated[
        Path | None, typer.Option(help="Cohort folder or CSV, if it has moved since training.")
    ] = None,
    truth: Annotated[
        Path | None, typer.Option(help="A phantom's truth.csv, if it is not beside the cohort.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    as_json: JsonOption = False,
) -> None:
    """Say why: gate weights, each modality's exact share of the answer, and a map of what mattered.

    Always by the network of the fold in which the lesion was tested, which never learned from it. Explaining another
    model or by another method into the same folder replaces what is there.

    Example: `dgccl explain runs/mine P001-lesion`, then `dgccl explain runs/mine --cohort`
    """
    if cohort == bool(lesion_id):
        raise typer.BadParameter("Name one lesion, or give --cohort for all of them.")
    if cohort and without:
        raise typer.BadParameter(
            "--without is asked of one lesion; the table of all is the run's acquisition.csv."
        )
    from dgccl.evaluation.areas import first_model
    from dgccl.evaluation.run_tables import read_tables
    from dgccl.explain.finished_run import open_finished
    from dgccl.explain.saliency import SaliencySettings

    run = open_finished(run_dir, cohort_dir=cohort_dir)
    model = model or first_model(read_tables(run_dir))
    folder = out or run_dir / "explanations" / lesion_id
    if cohort:
        _explain_cohort(
            run,
            folder,
            model=model,
            explained_class=explained_class,
            truth=truth,
            device=device,
            as_json=as_json,
        )
        return
    from dgccl.explain.case import explain_lesion, write_case
    from dgccl.report.explanation import write_case_figure

    settings = SaliencySettings(method=method, baseline=baseline, patch_mm=patch_mm)
    case = explain_lesion(
        run, lesion_id, model=model, settings=settings, explained_class=explained_class, device=device
    )
    _add_outlook(case.facts, run_dir, model=model, without=without)
    write_case(case, folder)
    write_case_figure(folder, case.facts, images=case.images, outlines=case.outlines, maps=case.maps)
    if as_json:
        print(json.dumps(case.facts | {"folder": str(folder)}))
    else:
        _print_case(case.facts, folder)


def _add_outlook(facts: dict[str, Any], run_dir: Path, *, model: str, without: str) -> None:
    """Say what the image that is missing, or asked about, would change: `outlook`; why not, where it cannot be said."""
    lacking = [name for name, found in facts["modalities"].items() if not found["present"]]
    if not without and len(lacking) != 1:
        return
    from dgccl.errors import StatsError
    from dgccl.evaluation.case_outlook import case_outlook
    from dgccl.evaluation.run_tables import read_tables

    tables = read_tables(run_dir)
    facts["outlook_class_name"] = tables.class_names[1]
    try:
        facts["outlook"] = case_outlook(tables, model, facts["lesion_id"], without or lacking[0]).to_json()
    except StatsError as error:
        if error.code != "no_outlook" or without:
            raise
        facts["outlook"] = {"unavailable": error.message}


def _explain_cohort(
    run: Any,
    folder: Path,
    *,
    model: str,
    explained_class: int | None,
    truth: Path | None,
    device: str,
    as_json: bool,
) -> None:
    from dgccl.explain.cohort_level import explain_cohort
    from dgccl.explain.summary import summarize, write_cohort
    from dgccl.report.explained_cohort import write_cohort_figures

    with progress_bars(as_json) as progress:
        explained = explain_cohort(
            run,
            model=model,
            explained_class=explained_class,
            truth_csv=truth,
            device=device,
            progress=progress,
        )
    summary = summarize(run, explained, model=model)
    write_cohort(explained, summary, folder)
    write_cohort_figures(folder, summary, explained.table)
    if as_json:
        print(json.dumps(summary | {"folder": str(folder)}))
        return
    print(
        f"Explained {summary['n_lesions']} {summary['data_kind']} lesions by {model}; tables and figures in {folder}"
    )
    if summary["gate_meaning"] is None:
        print(f"! {summary['no_gate']}")
        return
    for name, found in summary["gate_meaning"]["by_modality"].items():
        print(f"Gate against share, {name}: Spearman {_interval(found['spearman'])}")


def _print_case(facts: dict[str, Any], folder: Path) -> None:
    """The answer and what it is made of, one line a modality."""
    print(
        f"{facts['lesion_id']} ({facts['data_kind']}), {facts['model']} of fold {facts['fold']}: "
        f"p({facts['explained_class_name']}) = {facts['probability']:.3f}, truth {facts['true_class']}"
    )
    print(f"  prior {facts['prior']['log_odds']:+.3f} log odds")
    for name, found in facts["modalities"].items():
        if not found["present"]:
            print(f"  {name}: not there")
            continue
        gate = "no gate" if found["gate_weight"] is None else f"gate {found['gate_weight']:.2f}"
        print(f"  {name}: {found['shapley_log_odds']:+.3f} log odds, {gate}")
    if "outlook" in facts:
        from dgccl.report.case_outlook import outlook_in_words

        print(f"  {outlook_in_words(facts['outlook'], class_name=facts['outlook_class_name'])}")
    print(f"  together {facts['log_odds']:+.3f} log odds; figures in {folder}")


def _interval(found: dict[str, Any]) -> str:
    if found["estimate"] is None:
        return "not defined"
    ends = "no interval" if found["ci_low"] is None else f"{found['ci_low']:.3f} to {found['ci_high']:.3f}"
    return f"{found['estimate']:.3f} ({ends}, n = {found['n']})"
