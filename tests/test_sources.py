"""Whose is which file: NIfTI beside DICOM or alone, links, odd names."""

import json
from pathlib import Path

import numpy as np
import pytest

from dgccl.errors import CohortError
from dgccl.nifti import write_nifti
from dgccl.sources import find_sources
from dgccl.volume import Volume


def add(folder: Path, *names: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        write_nifti(Volume(np.ones((2, 2, 2), np.float32), np.eye(4)), folder / name)


def found(folder: Path) -> dict[str, tuple[int, list[str]]]:
    """Number of images and names of masks of each patient."""
    return {p.patient_id: (len(p.nifti), [m.name for m in p.masks]) for p in find_sources(folder).patients}


def test_a_mask_is_of_the_patient_whose_whole_id_it_bears(tmp_path: Path) -> None:
    add(tmp_path / "1", "ct.nii", "pet.nii", "mass.nii")
    add(tmp_path / "10", "ct.nii", "pet.nii", "10_mass.nii")
    add(tmp_path / "masks", "1_second.nii", "10-second.nii")
    assert found(tmp_path) == {
        "1": (2, ["mass.nii", "1_second.nii"]),
        "10": (2, ["10_mass.nii", "10-second.nii"]),
    }


def test_the_folder_counts_more_than_the_file_name(tmp_path: Path) -> None:
    add(tmp_path / "A", "ct.nii", "pet.nii")
    add(tmp_path / "B", "ct.nii", "pet.nii", "A-like.nii")
    assert found(tmp_path) == {"A": (2, []), "B": (2, ["A-like.nii"])}


def test_links_and_capital_suffixes_are_followed(tmp_path: Path) -> None:
    add(tmp_path / "elsewhere" / "A", "ct.nii", "pet.nii.gz", "mass.nii.gz")
    real = tmp_path / "elsewhere" / "A"
    (real / "mass.nii.gz").rename(real / "MASS.NII.GZ")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "A").symlink_to(real)
    assert found(tmp_path / "in") == {"A": (2, ["MASS.NII.GZ"])}


def test_a_dead_link_and_a_folder_with_a_file_name_are_no_images(tmp_path: Path) -> None:
    add(tmp_path / "A", "ct.nii", "pet.nii", "mass.nii")
    (tmp_path / "A" / "gone.nii").symlink_to(tmp_path / "nowhere")
    (tmp_path / "A" / "folder.nii").mkdir()
    assert found(tmp_path) == {"A": (2, ["mass.nii"])}
    assert [d.code for d in find_sources(tmp_path).decisions] == ["unreadable_file"]


@pytest.mark.parametrize("text", ["junk", "[]", json.dumps({"kind": "phantom"})])
def test_a_damaged_mark_is_not_taken_for_real_data(tmp_path: Path, text: str) -> None:
    add(tmp_path / "A", "ct.nii", "pet.nii")
    (tmp_path / "phantom.json").write_text(text)
    with pytest.raises(CohortError) as caught:
        find_sources(tmp_path)
    assert caught.value.code == "phantom_mark_damaged"
