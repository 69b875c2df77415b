from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dgccl import lesion as lesion_module
from dgccl.cohort import Cohort, open_cohort
from dgccl.ingest import ingest
from dgccl.ingest_patient import IngestSettings
from dgccl.lesion import BoxSettings, LesionArrays
from dgccl.phantom.dicom import write_phantom
from dgccl.phantom.memory import draw_lesion, draw_lesions, lesion_table
from dgccl.phantom.patient import draw_patient, sample_cohort
from dgccl.volume import Grid, box_grid

PATIENTS, SEED = 6, 1
BOXES = {"default": BoxSettings(), "other": BoxSettings(box_mm=84.0, ct_spacing_mm=1.5, pet_spacing_mm=3.0)}


@dataclass(frozen=True)
class Ingested:
    cohort: Cohort
    box: BoxSettings
    centers_mm: list[np.ndarray]


@contextmanager
def _box_centers() -> Iterator[list[np.ndarray]]:
    """Records around which points boxes are laid, twice a lesion: for CT and for PET."""
    found: list[np.ndarray] = []

    def spy(center_mm: np.ndarray, *, box_mm: float, spacing_mm: float) -> Grid:
        found.append(center_mm)
        return box_grid(center_mm, box_mm=box_mm, spacing_mm=spacing_mm)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lesion_module, "box_grid", spy)
        yield found


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_phantom(tmp_path_factory.mktemp("memory") / "dicom", patients=PATIENTS, seed=SEED, workers=1)


@pytest.fixture(scope="module", params=BOXES)
def ingested(
    files: Path, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Ingested:
    out, box = tmp_path_factory.mktemp("memory") / "cohort", BOXES[request.param]
    with _box_centers() as centers:
        ingest(files, out, labels_csv=files / "labels.csv", settings=IngestSettings(box=box))
    return Ingested(open_cohort(out), box, centers)


def _same(one: LesionArrays, other: LesionArrays) -> bool:
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in vars(one))


def test_patients_cover_sites_and_kinds_of_outline(files: Path) -> None:
    assert sample_cohort(PATIENTS, SEED)["site"].nunique() == 3
    assert {path.parent.name for path in files.rglob("outline.dcm")} == {"RTSTRUCT", "SEG"}


def test_memory_holds_what_files_and_ingestion_give(ingested: Ingested) -> None:
    drawn = sample_cohort(PATIENTS, SEED)
    lesion_ids = lesion_table(drawn)["lesion_id"]
    differing = voxels = 0
    for index, row in enumerate(drawn.to_dict("records")):
        memory = draw_lesion(row, SEED, index, box=ingested.box)
        stored = ingested.cohort.arrays(lesion_ids[index])
        np.testing.assert_array_equal(memory.mask_ct, stored.mask_ct)
        np.testing.assert_array_equal(memory.mask_pet, stored.mask_pet)
        off = np.abs(memory.ct_hu.astype(int) - stored.ct_hu)
        assert off.max() <= 1
        differing, voxels = differing + int((off > 0).sum()), voxels + off.size
        step = draw_patient(row, SEED, index)[0].pet.array.max() / 32767
        np.testing.assert_allclose(memory.suv_bw, stored.suv_bw, rtol=0, atol=step)
    # Where a value lies on .5, the last digit of a position's decimal string decides: measured 6 in a million.
    assert differing / voxels < 1e-4


def test_boxes_lie_where_ingestion_puts_them(ingested: Ingested) -> None:
    with _box_centers() as centers:
        for index, row in enumerate(sample_cohort(PATIENTS, SEED).to_dict("records")):
            draw_lesion(row, SEED, index, box=ingested.box)
    assert len(centers) == 2 * PATIENTS
    np.testing.assert_allclose(centers, ingested.centers_mm, rtol=0, atol=1e-6)


def test_table_says_what_ingestion_says(ingested: Ingested) -> None:
    table = lesion_table(sample_cohort(PATIENTS, SEED), box=ingested.box)
    expected = ingested.cohort.lesions.set_index("lesion_id").loc[table["lesion_id"]].reset_index()
    # lesions.csv holds seven digits.
    pd.testing.assert_frame_equal(table, expected[list(table.columns)], rtol=1e-6, check_dtype=False)


def test_lesions_come_in_the_order_asked_for_from_any_number_of_workers() -> None:
    cohort = sample_cohort(12, SEED)
    indices, box = [7, 0, 11, 3, 3, 1], BoxSettings(32.0, 2.0, 4.0)
    rows = cohort.to_dict("records")
    alone = list(draw_lesions(cohort, SEED, indices, box=box))
    for index, arrays in zip(indices, alone, strict=True):
        assert _same(arrays, draw_lesion(rows[index], SEED, index, box=box))
    together = list(draw_lesions(cohort, SEED, np.array(indices), box=box, workers=2))
    assert all(map(_same, alone, together))


def test_lesions_are_drawn_as_they_are_read() -> None:
    """A reader that stops early leaves no process behind and waits for no lesion."""
    cohort = sample_cohort(500, SEED)
    lesions = draw_lesions(cohort, SEED, range(500), box=BoxSettings(32.0, 2.0, 4.0), workers=2)
    assert next(lesions).ct_hu is not None
    lesions.close()
