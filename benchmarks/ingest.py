"""Ingestion of one patient against merely reading and decoding the same files with pydicom, side by side.

Usage: .venv/bin/python benchmarks/ingest.py PATIENT_DIR [--repeats 15] [--json]

Both sides run in turn in one process, files in the page cache, one thread. `ratio` is the median of the ratios
of neighboring runs, which a noisy machine disturbs less than a ratio of medians. Target: at most 2.
"""

import argparse
import json
import resource
import shutil
import tempfile
import time
from pathlib import Path
from statistics import median

import pydicom

from dgccl.ingest import ingest


def read_and_decode(paths: list[Path]) -> None:
    """What cannot be left out: parse every file, decode the pixels of every image."""
    for path in paths:
        dataset = pydicom.dcmread(path)
        if "PixelData" in dataset:
            _ = dataset.pixel_array


def timed(function, *arguments, **named) -> float:
    start = time.perf_counter()
    function(*arguments, **named)
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("patient", type=Path, help="folder with one patient's CT, PET and outlines")
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()

    paths = sorted(path for path in options.patient.rglob("*") if path.is_file())
    patient_id = str(pydicom.dcmread(paths[0], stop_before_pixels=True).PatientID)
    pairs = []
    with tempfile.TemporaryDirectory() as folder:
        labels = Path(folder) / "labels.csv"
        labels.write_text(f"patient_id,label\n{patient_id},0\n")
        for repeat in range(options.repeats + 1):
            cohort = Path(folder) / "cohort"
            reading = timed(read_and_decode, paths)
            ingesting = timed(ingest, options.patient, cohort, labels_csv=labels)
            shutil.rmtree(cohort)
            if repeat:  # the first round warms caches and imports
                pairs.append((reading, ingesting))
    result = {
        "patient": patient_id,
        "files": len(paths),
        "repeats": options.repeats,
        "pydicom_read_and_decode_s": round(median(a for a, _ in pairs), 4),
        "ingest_s": round(median(b for _, b in pairs), 4),
        "ratio": round(median(b / a for a, b in pairs), 3),
        "peak_memory_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
    }
    if options.json:
        print(json.dumps(result))
    else:
        for name, value in result.items():
            print(f"{name:<28} {value}")


if __name__ == "__main__":
    main()
