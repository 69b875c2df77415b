"""Which MR series goes with CT and PET; MR is read in its own units."""

from pathlib import Path

import numpy as np
import pytest

from dgccl.dicom.scan import scan
from dgccl.dicom.select_mr import select_mr
from dgccl.dicom.series import load_series
from dgccl.errors import DicomError

from . import make

MR_CLASS = "1.2.840.10008.5.1.4.1.1.4"
FRAME = make.uid("P1", "study", "frame")


def write_mr(folder: Path, series: str, description: str, **elements: object) -> str:
    usual = {"SOPClassUID": MR_CLASS, "RescaleSlope": None, "RescaleIntercept": None}
    more = {**usual, "SeriesDescription": description, **elements}
    make.write_all(make.stack(make.ramp(), modality="MR", series=series, **more), folder / series)
    return make.uid("P1", series)


def select(folder: Path, pattern: str = "", frames: tuple[str, ...] = (FRAME,)):
    return select_mr(scan(folder).series, name="mr", pattern=pattern, frames_of_reference=frames)


def test_stored_values_are_read_where_there_is_no_rescale(tmp_path: Path) -> None:
    write_mr(tmp_path, "t2", "T2 axial")
    chosen, decisions = select(tmp_path)
    assert chosen is not None
    assert [(d.kept, d.code) for d in decisions] == [(True, "selected")]
    np.testing.assert_array_equal(load_series(chosen).volume.array, make.ramp().astype(np.float32))


def test_a_rescale_is_applied_and_half_a_rescale_refused(tmp_path: Path) -> None:
    write_mr(tmp_path / "whole", "t2", "T2", RescaleSlope="2", RescaleIntercept="-3")
    chosen, _ = select(tmp_path / "whole")
    assert chosen is not None
    np.testing.assert_array_equal(load_series(chosen).volume.array, make.ramp() * 2.0 - 3.0)
    write_mr(tmp_path / "half", "t2", "T2", RescaleSlope="2")
    chosen, _ = select(tmp_path / "half")
    assert chosen is not None
    with pytest.raises(DicomError) as caught:
        load_series(chosen)
    assert caught.value.code == "missing_rescale"


def test_of_several_the_description_chooses(tmp_path: Path) -> None:
    uids = {name: write_mr(tmp_path, name, f"{name.upper()} tra") for name in ("t1", "t2")}
    with pytest.raises(DicomError, match="mr=PATTERN") as caught:
        select(tmp_path)
    assert caught.value.code == "several_series"
    chosen, decisions = select(tmp_path, "^t2")
    assert chosen is not None
    assert chosen.series_uid == uids["t2"]
    assert {d.series_uid: d.code for d in decisions} == {
        uids["t1"]: "other_description",
        uids["t2"]: "selected",
    }
    assert select(tmp_path, "flair")[0] is None


def test_another_frame_of_reference_needs_registration_first(tmp_path: Path) -> None:
    write_mr(tmp_path, "t2", "T2", FrameOfReferenceUID=make.uid("elsewhere"))
    chosen, decisions = select(tmp_path)
    assert chosen is None
    assert [d.code for d in decisions] == ["other_frame_of_reference"]
    assert select(tmp_path, frames=())[0] is not None


def test_localizers_and_single_slices_are_left_out(tmp_path: Path) -> None:
    write_mr(tmp_path, "scout", "T2 scout", ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    (one,) = make.stack(make.ramp((1, 5, 6)), modality="MR", series="one", SOPClassUID=MR_CLASS)
    make.write(one, tmp_path / "one.dcm")
    chosen, decisions = select(tmp_path)
    assert chosen is None
    assert {d.code for d in decisions} == {"localizer", "single_slice"}
