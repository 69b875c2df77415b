"""Verb that compares methods on the phantom: benchmark."""

import json
from pathlib import Path
from typing import Annotated

import typer

from dgccl.cli.app import app
from dgccl.cli.options import JsonOption, WorkersOption, cores, progress_bars

benchmark = typer.Typer(help="Compare methods where the best possible score is known.", no_args_is_help=True)
app.add_typer(benchmark, name="benchmark")


@benchmark.command()
def phantom(
    out: Annotated[Path, typer.Option(help="Folder of the tables.")] = Path("benchmarks/results"),
    config: Annotated[Path, typer.Option(help="Settings of the benchmark.")] = Path(
        "configs/benchmark/phantom.toml"
    ),
    work: Annotated[Path, typer.Option(help="Folder of drawn lesions and finished trainings.")] = Path(
        "runs/benchmark"
    ),
    only: Annotated[list[str] | None, typer.Option(help="Train this method only; repeatable.")] = None,
    without: Annotated[
        list[str] | None, typer.Option(help="Leave this method out, of the tables too; repeatable.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    workers: WorkersOption = cores(),
    as_json: JsonOption = False,
) -> None:
    """Train every method on the standard phantom benchmark and write its tables; resumes where it was stopped.

    Hours on a few cores. With --only, methods are trained and the tables wait until all are; with --without, the
    tables do not wait for that method, and say so.

    Example: `dgccl benchmark phantom --workers 2`
    """
    from dgccl.benchmark.run import run_benchmark
    from dgccl.benchmark.settings import load_benchmark
    from dgccl.files import this_command, write_atomically
    from dgccl.report.benchmark_page import benchmark_markdown, draw_curves

    settings = load_benchmark(config)
    command = this_command()
    with progress_bars(as_json) as progress:
        found = run_benchmark(
            settings,
            work,
            command=command,
            only=only or (),
            without=without or (),
            workers=workers,
            device=device,
            progress=progress,
        )
    if found is None:
        message = "Some methods are still to be trained; call again without --only for the tables."
        print(json.dumps({"finished": False}) if as_json else message)
        return
    results, _ = found
    text = results.to_json()
    write_atomically(out / f"{settings.name}.json", text)
    write_atomically(out / f"{settings.name}-missing.svg", draw_curves(json.loads(text)))
    write_atomically(out / f"{settings.name}.md", benchmark_markdown(json.loads(text)))
    reached = sum(target.reached for target in results.targets)
    if as_json:
        print(
            json.dumps(
                {"finished": True, "folder": str(out), "reached": reached, "targets": len(results.targets)}
            )
        )
    else:
        print(
            f"{reached} of {len(results.targets)} targets reached; tables in {out / (settings.name + '.md')}"
        )


@benchmark.command()
def throughput(
    config: Annotated[Path, typer.Option(help="Experiment.")] = Path("configs/paper.toml"),
    model: Annotated[str, typer.Option(help="Name of the model.")] = "dgccl",
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    batch: Annotated[int | None, typer.Option(min=2, help="Lesions a step; default by device.")] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Timed steps; default by device.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Time training steps: samples a second, and the share of the device's peak in bfloat16.

    Example: `dgccl benchmark throughput --config configs/paper.toml`
    """
    from dataclasses import asdict

    from dgccl.benchmark.throughput import measure_throughput
    from dgccl.config import load_config

    found = measure_throughput(load_config(config), model, device=device, batch=batch, steps=steps)
    if as_json:
        print(json.dumps(asdict(found)))
        return
    print(f"{found.model} on {found.device}, {found.precision}, batch {found.batch}, {found.steps} steps")
    print(f"  {found.samples_per_s:,.1f} samples a second, {found.tflops:.2f} TFLOP/s")
    if found.share_of_peak is not None:
        print(f"  {found.share_of_peak:.1%} of the device's peak of {found.peak_tflops:,.0f} TFLOP/s")
    if found.memory_gib is not None:
        print(f"  {found.memory_gib:.1f} GiB of memory at most")
    if found.note:
        print(f"  {found.note}")
