"""Phantom lesions drawn into memory once, in the poses in which every method will see them.

A lesion is drawn as ingestion would store it, its planes are sampled in each pose, and only the planes are kept. All
methods then train on the same lesions in the same poses, and a hundred trainings cost one drawing.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float, Int64
from numpy.lib.format import open_memmap
from torch import Generator, Tensor

from dgccl.augmentation import random_poses
from dgccl.benchmark.settings import identity
from dgccl.config import ExperimentConfig
from dgccl.dataset import sample_planes, stack_images
from dgccl.errors import CohortError
from dgccl.files import write_atomically
from dgccl.fold_data import derive_seed
from dgccl.phantom.dicom import sample_cohort
from dgccl.phantom.law import LAW_VERSION
from dgccl.phantom.memory import draw_lesion, lesion_table
from dgccl.predict import prediction_poses
from dgccl.workers import keep_freed_memory, map_in_processes

CHUNK = 200  # lesions drawn at a time; what a killed run loses at most
POSES = 2  # what a seed is for, beside initialization (0) and epochs (1)
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class BankPlan:
    """What a bank holds.

    Attributes:
        seed: of the cohort.
        lesions: how many.
        poses: poses of each lesion.
        kind: `training` poses are random, a new one each time; `prediction` poses are those of a `Predictor`.
        config: modalities and the ranges of the poses.
    """

    seed: int
    lesions: int
    poses: int
    kind: Literal["training", "prediction"]
    config: ExperimentConfig

    @property
    def identity(self) -> str:
        """Hash of all that decides a bank's content."""
        shown = ("quantity", "window", "view", "field_mm", "input_px")
        images = {name: {key: getattr(m, key) for key in shown} for name, m in self.config.images.items()}
        augmentation = self.config.augmentation.model_dump(mode="json", exclude={"modality_dropout"})
        return identity(LAW_VERSION, self.seed, self.lesions, self.poses, self.kind, images, augmentation)


@dataclass(frozen=True, eq=False)
class PoseBank:
    """Lesions whose planes were sampled beforehand.

    Attributes:
        planes: per modality (n, pose, channel, height, width), windowed to [0, 1], float16 on disk.
        lesions: the latents, acquisitions and log likelihood ratios of `sample_cohort`, one row a lesion.
    """

    planes: dict[str, np.ndarray]
    lesions: pd.DataFrame

    @property
    def modality_present(self) -> Bool[Tensor, "lesion modality"]:
        """Every lesion has every modality."""
        return torch.ones(len(self.lesions), len(self.planes), dtype=torch.bool)

    @property
    def y_true(self) -> Int64[Tensor, "lesion"]:
        """Recorded labels."""
        return torch.tensor(self.lesions["label"].to_numpy())

    @property
    def poses(self) -> int:
        """Poses of each lesion."""
        return next(iter(self.planes.values())).shape[1]

    def training_inputs(
        self,
        rows: Int64[Tensor, "batch"],
        *,
        epoch: int,
        shown: Tensor,
        generator: Generator,
        device: torch.device,
    ) -> dict[str, Tensor]:
        """Planes in the pose of an epoch."""
        return self.inputs(rows, shown=shown, device=device, pose=epoch % self.poses)

    def inputs(
        self, rows: Int64[Tensor, "batch"], *, shown: Tensor, device: torch.device, pose: int = 0
    ) -> dict[str, Float[Tensor, "batch channel height width"]]:
        """Planes in one pose, by modality."""
        index = rows.numpy()
        return {
            name: torch.from_numpy(planes[index, pose].astype(np.float32)).to(device)
            for name, planes in self.planes.items()
        }


def draw_bank(folder: Path, plan: BankPlan, *, workers: int, progress: Progress | None = None) -> PoseBank:
    """Draw a bank, or open it, or go on where a killed run stopped.

    Args:
        folder: of the bank.
        plan: what it is to hold.
        workers: processes.
        progress: called with (what, lesions drawn, lesions) chunk by chunk.

    Raises:
        CohortError: the folder holds a bank of another plan.
    """
    cohort = _claim(folder, plan)
    starts = range(0, plan.lesions, CHUNK)
    todo = [start for start in starts if not _mark(folder, start).exists()]
    jobs = [(folder, plan, start, cohort.iloc[start : start + CHUNK]) for start in todo]
    done = len(starts) - len(todo)
    for count, _ in enumerate(map_in_processes(_draw_chunk, jobs, workers=workers), start=done + 1):
        if progress is not None:
            progress(f"Drawing {folder.name}", min(count * CHUNK, plan.lesions), plan.lesions)
    planes = {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in plan.config.images}
    return PoseBank(planes, cohort)


def _claim(folder: Path, plan: BankPlan) -> pd.DataFrame:
    """Make the folder with its empty arrays, or check that it is this plan's."""
    stamp = folder / "bank.json"
    if stamp.exists():
        if json.loads(stamp.read_text(encoding="utf-8"))["identity"] != plan.identity:
            raise CohortError(
                "bank_of_other_settings",
                f"{folder} holds lesions drawn with other settings.",
                remedy="Choose another folder for the benchmark's data, or remove this one.",
            )
        return pd.read_parquet(folder / "lesions.parquet")
    folder.mkdir(parents=True, exist_ok=True)
    cohort = sample_cohort(plan.lesions, plan.seed)
    cohort.to_parquet(folder / "lesions.parquet")
    for name, image in plan.config.images.items():
        shape = (plan.lesions, plan.poses, *image.input_shape)
        open_memmap(folder / f"{name}.npy", mode="w+", dtype=np.float16, shape=shape).flush()
    write_atomically(
        stamp, json.dumps({"identity": plan.identity, "seed": plan.seed, "lesions": plan.lesions})
    )
    return cohort


def _mark(folder: Path, start: int) -> Path:
    """The file that says that a chunk is drawn."""
    return folder / "drawn" / f"{start}"


def _draw_chunk(job: tuple[Path, BankPlan, int, pd.DataFrame]) -> None:
    """Draw the lesions of a chunk and write their planes into the bank."""
    torch.set_num_threads(1)
    keep_freed_memory()
    folder, plan, start, cohort = job
    rows = cohort.to_dict("records")
    arrays = [draw_lesion(row, plan.seed, start + index) for index, row in enumerate(rows)]
    modalities = plan.config.images
    quantities = {name: _quantity(image.quantity) for name, image in modalities.items()}
    images = stack_images(arrays, lesion_table(cohort), modalities=modalities, quantities=quantities)
    everyone = torch.arange(len(rows))
    planes: dict[str, list[np.ndarray]] = {name: [] for name in modalities}
    for pose in _chunk_poses(plan, start, len(rows)):
        for name, values in sample_planes(images, everyone, modalities=modalities, pose=pose).items():
            planes[name].append(values.numpy().astype(np.float16))
    for name, poses in planes.items():
        # One block of the file, written once: a chunk's lesions lie side by side, all poses of each.
        bank = np.load(folder / f"{name}.npy", mmap_mode="r+")
        bank[start : start + len(rows)] = np.stack(poses, axis=1)
        bank.flush()
    write_atomically(_mark(folder, start), "")


def _chunk_poses(plan: BankPlan, start: int, count: int) -> list[Any]:
    if plan.kind == "prediction":
        prediction = plan.config.prediction.model_copy(update={"poses": plan.poses})
        poses = prediction_poses(plan.config.model_copy(update={"prediction": prediction, "seed": 0}))
        return [None if pose is None else pose.expand(count, -1, -1) for pose in poses]
    generator = Generator().manual_seed(derive_seed(plan.seed, POSES, start))
    field_mm = min(image.field_mm for image in plan.config.images.values())
    return [
        random_poses(count, config=plan.config.augmentation, field_mm=field_mm, generator=generator)
        for _ in range(plan.poses)
    ]


def _quantity(quantity: str) -> str:
    """The quantity that is stored; `suv` would depend on who is in the cohort."""
    if quantity == "suv":
        raise CohortError(
            "quantity_ambiguous",
            "The benchmark's PET needs one named quantity.",
            remedy='Set quantity = "suv_bw", in which the phantom\'s law is stated.',
        )
    return quantity
