"""NIfTI geometry against nibabel's own affine, round trips, and files that must be refused."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from dgccl.errors import DgcclError
from dgccl.nifti import read_nifti, read_nifti_labels, write_nifti
from dgccl.volume import Volume

AFFINE = np.array([[-2.0, 0, 0, 10], [0, 0, -3, 20], [0, 1.5, 0, -30], [0, 0, 0, 1]])


def save(
    path: Path, data: np.ndarray, affine: np.ndarray | None = AFFINE, *, sform: int = 1, qform: int = 1
) -> Path:
    image = nib.Nifti1Image(data, affine)
    image.header.set_xyzt_units("mm")
    image.set_sform(affine, code=sform)
    image.set_qform(affine, code=qform)
    nib.save(image, path)
    return path


def code_of(path: Path, kind: str = "ct_hu") -> str:
    with pytest.raises(DgcclError) as caught:
        read_nifti(path, kind=kind)
    assert path.name in caught.value.message
    assert str(path.parent) not in caught.value.message
    return caught.value.code


@st.composite
def affines(draw: st.DrawFn) -> np.ndarray:
    """Any orientation, also mirrored, any spacing, any origin (RAS)."""
    turn = Rotation.from_euler("zyx", [draw(st.floats(-180, 180)) for _ in range(3)], degrees=True)
    spacing = np.diag([draw(st.floats(0.3, 10)) * draw(st.sampled_from([-1, 1])) for _ in range(3)])
    affine = np.eye(4)
    affine[:3, :3] = turn.as_matrix() @ np.eye(3)[:, list(draw(st.permutations(range(3))))] @ spacing
    affine[:3, 3] = [draw(st.floats(-500, 500)) for _ in range(3)]
    return affine


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(affine=affines())
def test_every_voxel_lies_where_nibabel_puts_it(tmp_path: Path, affine: np.ndarray) -> None:
    data = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    volume = read_nifti(save(tmp_path / "a.nii", data, affine), kind="ct_hu")
    stored = nib.load(tmp_path / "a.nii").affine
    for i, j, k in np.ndindex(2, 3, 4):
        right, front, up = (stored @ [i, j, k, 1])[:3]
        assert volume.array[k, j, i] == data[i, j, k]
        np.testing.assert_allclose(
            volume.grid.to_patient(np.array([[k, j, i]], float))[0], [-right, -front, up]
        )


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(affine=affines(), seed=st.integers(0, 2**32 - 1), gz=st.booleans())
def test_write_and_read_give_the_same_volume(tmp_path: Path, affine: np.ndarray, seed: int, gz: bool) -> None:
    volume = Volume(np.random.default_rng(seed).normal(size=(4, 3, 2)).astype(np.float32), affine)
    path = tmp_path / ("b.nii.gz" if gz else "b.nii")
    write_nifti(volume, path)
    back = read_nifti(path, kind="suv_bw")
    np.testing.assert_array_equal(back.array, volume.array)
    np.testing.assert_allclose(back.affine, volume.affine, rtol=1e-5, atol=1e-4)


def test_a_skewed_affine_survives_in_the_sform_alone(tmp_path: Path) -> None:
    affine = np.array([[0.0, 0, 1, 0], [0, 1, 0, 0], [2, 0.5, 0, 0], [0, 0, 0, 1]])  # gantry tilt
    write_nifti(Volume(np.zeros((2, 2, 2), np.float32), affine), tmp_path / "a.nii")
    assert nib.load(tmp_path / "a.nii").header["qform_code"] == 0
    np.testing.assert_allclose(read_nifti(tmp_path / "a.nii", kind="ct_hu").affine, affine)


@pytest.mark.parametrize(
    ("array", "kind"),
    [
        (np.array([[[0, 1]]], bool), "mask"),
        (np.array([[[-1024, 3071]]], np.int16), "ct_hu"),
        (np.array([[[0.5, 7.25]]], np.float64), "suv_bw"),
        (np.array([[[5, 9]]], np.int64), "ct_hu"),
    ],
)
def test_types_are_written_and_read(tmp_path: Path, array: np.ndarray, kind: str) -> None:
    write_nifti(Volume(array, np.eye(4)), tmp_path / "a.nii.gz")
    back = read_nifti(tmp_path / "a.nii.gz", kind=kind).array
    np.testing.assert_array_equal(back, array)
    assert back.dtype == (bool if kind == "mask" else np.float32)


def test_scaling_of_the_file_is_applied(tmp_path: Path) -> None:
    path = save(tmp_path / "a.nii", np.array([[[0, 10]]], np.int16))
    raw = bytearray(path.read_bytes())
    raw[112:120] = np.array([0.5, -1000.0], "<f4").tobytes()  # scl_slope and scl_inter of nifti1.h
    path.write_bytes(raw)
    assert read_nifti(path, kind="ct_hu").array.ravel().tolist() == [-1000.0, -995.0]


def test_one_frame_is_dropped_and_more_are_refused(tmp_path: Path) -> None:
    assert read_nifti(
        save(tmp_path / "a.nii", np.ones((2, 3, 4, 1), np.int16)), kind="ct_hu"
    ).array.shape == (4, 3, 2)
    assert code_of(save(tmp_path / "b.nii", np.ones((2, 3, 4, 2), np.int16))) == "nifti_not_3d"
    assert code_of(save(tmp_path / "c.nii", np.ones((2, 3), np.int16))) == "nifti_not_3d"


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_values_that_are_no_numbers_are_refused(tmp_path: Path, bad: float) -> None:
    data = np.zeros((2, 2, 2), np.float32)
    data[1, 0, 1] = bad
    path = save(tmp_path / "a.nii", data)
    assert code_of(path, "mask") == "nan_in_mask"
    assert code_of(path, "ct_hu") == code_of(path, "suv_bw") == "nan_in_image"
    with pytest.raises(DgcclError) as caught:
        read_nifti_labels(path)
    assert caught.value.code == "nan_in_mask"


def test_labels_become_one_mask_each(tmp_path: Path) -> None:
    data = np.array([[[0, 1, 1], [4, 0, 4]]], np.float32)
    path = save(tmp_path / "a.nii", data)
    labels = read_nifti_labels(path)
    assert list(labels) == [1, 4]
    for label, volume in labels.items():
        assert volume.array.dtype == bool
        np.testing.assert_array_equal(volume.array, (data == label).transpose(2, 1, 0))
    assert code_of(path, "mask") == "mask_not_binary"
    assert read_nifti_labels(save(tmp_path / "b.nii", np.zeros((2, 2, 2), np.uint8))) == {}
    assert code_of(save(tmp_path / "c.nii", data * 0.5 + 0.25), "mask") == "labels_not_whole_numbers"


def test_the_affine_must_be_stated_once(tmp_path: Path) -> None:
    data = np.ones((5, 6, 7), np.int16)
    assert code_of(save(tmp_path / "none.nii", data, sform=0, qform=0)) == "nifti_without_affine"
    only_s = read_nifti(save(tmp_path / "s.nii", data, qform=0), kind="ct_hu")
    only_q = read_nifti(save(tmp_path / "q.nii", data, sform=0), kind="ct_hu")
    np.testing.assert_allclose(only_s.affine, only_q.affine, atol=1e-4)
    image = nib.load(tmp_path / "s.nii")
    moved = AFFINE.copy()
    moved[2, 3] += 1.0
    image.set_qform(moved, code=1)
    nib.save(image, tmp_path / "both.nii")
    assert code_of(tmp_path / "both.nii") == "nifti_affines_disagree"


def test_meters_are_read_as_millimeters(tmp_path: Path) -> None:
    image = nib.Nifti1Image(np.ones((2, 2, 2), np.int16), np.diag([0.002, 0.002, 0.003, 1.0]))
    image.header.set_xyzt_units("meter")
    nib.save(image, tmp_path / "a.nii")
    assert read_nifti(tmp_path / "a.nii", kind="ct_hu").grid.spacing_mm == pytest.approx((3.0, 2.0, 2.0))


def test_what_is_no_nifti_is_refused(tmp_path: Path) -> None:
    text = tmp_path / "a.nii"
    text.write_text("not an image")
    assert code_of(text) == "nifti_unreadable"
    whole = save(
        tmp_path / "b.nii.gz", np.random.default_rng(0).integers(0, 999, (20, 20, 20)).astype(np.int16)
    )
    cut = tmp_path / "c.nii.gz"
    cut.write_bytes(whole.read_bytes()[:3000])
    assert code_of(cut) == "nifti_unreadable"
    assert code_of(tmp_path / "absent.nii") == "nifti_not_found"
    colors = np.zeros((2, 2, 2), dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])
    assert code_of(save(tmp_path / "d.nii", colors)) == "nifti_not_numeric"
    nib.save(nib.MGHImage(np.ones((2, 2, 2), np.float32), np.eye(4)), tmp_path / "e.mgz")
    assert code_of(tmp_path / "e.mgz") == "nifti_unreadable"


def test_what_cannot_be_written_is_refused(tmp_path: Path) -> None:
    for array, name, code in (
        (np.zeros((1, 1, 1), np.complex64), "a.nii", "nifti_unwritable_type"),
        (np.full((1, 1, 1), 2**40), "a.nii", "nifti_unwritable_type"),
        (np.zeros((1, 1, 1)), "a.txt", "nifti_bad_name"),
    ):
        with pytest.raises(DgcclError) as caught:
            write_nifti(Volume(array, np.eye(4)), tmp_path / name)
        assert caught.value.code == code
    assert list(tmp_path.iterdir()) == []
