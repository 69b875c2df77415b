"""Peak memory and time of NT-Xent's forward and backward pass: in tiles against the plain formula.

Usage: .venv/bin/python benchmarks/contrastive_memory.py [--pairs 256 512 ... 32768] [--width 128] [--repeats 3]

Each cell is a fresh process with one thread. Memory is the highest resident set (VmHWM, Linux) above that just
before the pass, when the inputs and torch are there: all temporaries, what is kept for the backward pass, and the
gradients. Time is the least of the repeats. The plain formula is left out where it would need more than --limit-gb.
Target: 32,768 pairs of width 128 in less than 1.5 GB.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import torch

from dgccl.model import contrastive
from dgccl.model.contrastive import nt_xent

SIZES = (256, 512, 1024, 2048, 4096, 8192, 16384, 32768)
DENSE_MATRICES = 4  # as measured: so many matrices of all similarities live at once
TARGET_BYTES = 1.5e9


def status_bytes(key: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(key):
            return 1024 * int(line.split()[1])
    raise RuntimeError(f"/proc/self/status has no {key}")


def step(z_a: torch.Tensor, z_b: torch.Tensor, block_size: int | None) -> None:
    z_a.grad = z_b.grad = None
    nt_xent(z_a, z_b, temperature=0.1, block_size=block_size).backward()


def measure(pairs: int, width: int, *, dense: bool, repeats: int) -> dict[str, float]:
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(0)
    z_a, z_b = (torch.randn(pairs, width, generator=generator, requires_grad=True) for _ in range(2))
    block_size = None if dense else contrastive.CPU_BLOCK_SIZE
    contrastive.DENSE_SIMILARITIES = pairs**2 if dense else 0
    step(*(z[:16].detach().requires_grad_() for z in (z_a, z_b)), block_size)  # loads libraries
    Path("/proc/self/clear_refs").write_text("5")  # from here on VmHWM counts anew
    before = status_bytes("VmRSS")
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        step(z_a, z_b, block_size)
        times.append(time.perf_counter() - start)
    return {"bytes": status_bytes("VmHWM") - before, "s": min(times)}


def in_process(pairs: int, options: argparse.Namespace, *, dense: bool) -> dict[str, float]:
    command = [sys.executable, __file__, "--one", "dense" if dense else "tiles", "--pairs", str(pairs)]
    command += ["--width", str(options.width), "--repeats", str(options.repeats)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


def table(options: argparse.Namespace) -> None:
    print("| pairs | tiles, MB | plain, MB | plain / tiles | tiles, s | plain, s | plain / tiles |")
    print("|---|---|---|---|---|---|---|")
    tiles = {}
    for pairs in options.pairs:
        tiles[pairs] = found = in_process(pairs, options, dense=False)
        cells = [f"{found['bytes'] / 1e6:.1f}", "-", "-", f"{found['s']:.4f}", "-", "-"]
        if DENSE_MATRICES * 4 * pairs**2 <= options.limit_gb * 1e9:
            plain = in_process(pairs, options, dense=True)
            cells[1:3] = f"{plain['bytes'] / 1e6:.1f}", f"{plain['bytes'] / max(found['bytes'], 1):.1f}"
            cells[4:6] = f"{plain['s']:.4f}", f"{plain['s'] / found['s']:.2f}"
        print(f"| {pairs} | " + " | ".join(cells) + " |", flush=True)
    last = max(tiles)
    if last // 2 in tiles:
        growth = {key: tiles[last][key] / tiles[last // 2][key] for key in ("bytes", "s")}
        print(
            f"\nTwice the pairs ({last // 2} to {last}): {growth['bytes']:.2f} x memory, {growth['s']:.2f} x time."
        )
    verdict = "below" if tiles[last]["bytes"] < TARGET_BYTES else "ABOVE"
    print(
        f"{last} pairs: {tiles[last]['bytes'] / 1e9:.3f} GB, {verdict} the target of {TARGET_BYTES / 1e9} GB."
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pairs", type=int, nargs="+", default=SIZES)
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--limit-gb", type=float, default=5.0)
    parser.add_argument("--one", choices=["dense", "tiles"], help="one cell, in this process, as JSON")
    options = parser.parse_args()
    if options.one:
        cell = measure(options.pairs[0], options.width, dense=options.one == "dense", repeats=options.repeats)
        print(json.dumps(cell))
    else:
        table(options)


if __name__ == "__main__":
    main()
