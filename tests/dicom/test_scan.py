import contextlib
import io
import os
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RLELossless,
)

from dgccl.dicom.elements import read_elements
from dgccl.dicom.roi import read_rtstruct
from dgccl.dicom.scan import scan
from dgccl.dicom.select import select_pair
from dgccl.dicom.series import load_series
from dgccl.errors import DgcclError, DicomError

from . import make

SYNTAXES = [
    ImplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    DeflatedExplicitVRLittleEndian,
]


def codes(found):
    return sorted(entry.code for entry in found.rejected)


def test_finds_files_whatever_their_names_and_places(tmp_path: Path):
    datasets = make.stack(make.ramp())
    for k, dataset in enumerate(datasets):
        make.write(dataset, tmp_path / ("deep/" * k) / ["IM1", "scan.txt", ".hidden", "9.DCM"][k])
    (tmp_path / "notes.txt").write_text("no DICOM")
    found = scan(tmp_path)
    (series,) = found.series
    assert (series.patient_id, series.modality, series.frames, series.planes) == ("P1", "CT", 4, 4)
    assert series.slice_spacing_mm == pytest.approx(2.0)
    assert series.box_mm == ((0, 0, 0), (5, 4, 6))
    assert (found.rejected, found.skipped) == ((), 1)


def test_groups_by_patient_study_and_series(tmp_path: Path):
    for patient in ("P2", "P1"):
        for study in ("s1", "s2"):
            for series in ("a", "b"):
                make.write_all(
                    make.stack(make.ramp(), patient=patient, study=study, series=study + series),
                    tmp_path / patient / study / series,
                )
    found = scan(tmp_path)
    assert [patient.patient_id for patient in found.patients] == ["P1", "P2"]
    assert all(len(patient.studies) == 2 for patient in found.patients)
    assert all(len(study.series) == 2 for patient in found.patients for study in patient.studies)
    assert "Secret" not in repr(found)


@pytest.mark.parametrize("syntax", SYNTAXES)
@pytest.mark.parametrize("preamble", [True, False])
def test_elements_agree_with_pydicom(tmp_path: Path, syntax, preamble):
    if not preamble and syntax == DeflatedExplicitVRLittleEndian:
        pytest.skip("without file meta information nothing says that the data set is deflated")
    dataset = make.image(make.ramp()[0], (1, 2, 3))
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.StudyDescription = "Größe"
    dataset.add_new(0x00091001, "SQ", [make.item(CodeValue="private")])
    dataset.RadiopharmaceuticalInformationSequence = [
        make.item(RadionuclideTotalDose="1e8", RadionuclideCodeSequence=[make.item(CodeValue="C-111A1")])
    ]
    dataset["RadiopharmaceuticalInformationSequence"].is_undefined_length = True
    dataset.RadiopharmaceuticalInformationSequence[0].is_undefined_length_sequence_item = True
    path = make.write(dataset, tmp_path / "x", syntax=syntax, preamble=preamble)
    ours = read_elements(path, pixels=True).to_dataset(pixels=True)
    reference = pydicom.dcmread(path, force=True)
    assert ours.to_json_dict() == reference.to_json_dict()
    assert ours.StudyDescription == "Größe"
    header = read_elements(path, pixels=False).to_dataset(pixels=False)
    assert "PixelData" not in header
    assert header.to_json_dict().keys() == reference.to_json_dict().keys() - {"7FE00010"}


def test_elements_agree_with_pydicom_on_real_files(real_data: Path):
    for path in sorted((real_data / "sts" / "STS_002").rglob("*.dcm"))[::16]:
        ours, reference = read_elements(path, pixels=True).to_dataset(pixels=True), pydicom.dcmread(path)
        assert list(ours.keys()) == list(reference.keys())
        for tag in ("PatientWeight", "ImagePositionPatient", "ROIContourSequence", "PixelData"):
            assert ours.get(tag) == reference.get(tag)


def test_header_read_stops_before_large_pixels(tmp_path: Path):
    dataset = make.image(np.zeros((600, 600), "<i2"), (0, 0, 0))
    dataset.add_new(0x00091001, "OB", bytes(200_000))  # pushes the end of the header past the first chunk
    elements = read_elements(make.write(dataset, tmp_path / "x"), pixels=False)
    assert elements.uint16(0x00280010) == 600
    assert not elements.pixels_end_early


def cut(path: Path, amount: int) -> None:
    path.write_bytes(path.read_bytes()[:-amount])


@pytest.mark.parametrize("compressed", [False, True])
def test_truncated_slice_is_rejected_and_its_series_refused(tmp_path: Path, compressed):
    datasets = make.stack(make.ramp((4, 32, 32)))
    for k, dataset in enumerate(datasets):
        if compressed:
            make.write(dataset, tmp_path / "ignored")  # gives it the file meta that compress needs
            dataset.compress(RLELossless, encoding_plugin="pydicom")
        make.write(
            dataset, tmp_path / "in" / f"{k}", syntax=RLELossless if compressed else ExplicitVRLittleEndian
        )
    cut(tmp_path / "in" / "3", 50)
    found = scan(tmp_path / "in")
    assert codes(found) == ["truncated_file"]
    with pytest.raises(DicomError) as caught:
        load_series(found.series[0])
    assert caught.value.code == "truncated_file"


def test_every_prefix_of_a_file_is_rejected_or_skipped_but_never_raises(tmp_path: Path):
    dataset = make.image(make.ramp((1, 3, 3))[0], (0, 0, 0))
    dataset.RadiopharmaceuticalInformationSequence = [make.item(RadionuclideTotalDose="1")]
    dataset["RadiopharmaceuticalInformationSequence"].is_undefined_length = True
    whole = make.write(dataset, tmp_path / "whole.dcm").read_bytes()
    path = tmp_path / "in" / "x.dcm"
    path.parent.mkdir()
    for size in range(0, len(whole), 3):
        path.write_bytes(whole[:size])
        (rejected,) = scan(tmp_path / "in").rejected
        assert rejected.code in (
            "empty_file",
            "not_dicom",
            "truncated_file",
            "incomplete_header",
            "missing_pixel_data",
        )


def test_sequences_nested_without_end(tmp_path: Path):
    whole = make.write(make.image(make.ramp()[0], (0, 0, 0)), tmp_path / "whole").read_bytes()
    nested = b"\x54\x00\x16\x00SQ\x00\x00\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff"
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "x").write_bytes(whole.split(b"\xe0\x7f\x10\x00")[0] + nested * 2000)
    assert codes(scan(tmp_path / "in")) == ["malformed_file"]


@pytest.mark.parametrize("seed", range(4))
def test_damaged_bytes_end_in_a_reason_code(tmp_path: Path, seed):
    rng = np.random.default_rng(seed)
    datasets = [
        *make.stack(make.ramp((2, 3, 3)), SpecificCharacterSet="ISO_IR 100"),
        make.enhanced(make.ramp((2, 3, 3)), (0, 1), slopes=[1, 1]),
        make.rtstruct({"a": [np.array([[0.0, 0, 0], [0, 3, 0], [3, 3, 0]])]}, "1.2.3"),
    ]
    syntax = SYNTAXES[seed % 2]
    whole = [make.write(d, tmp_path / "whole", syntax=syntax).read_bytes() for d in datasets]
    (tmp_path / "in").mkdir()
    for _ in range(25):
        for number, content in enumerate(whole):
            damaged = bytearray(content)
            for place in rng.integers(132, len(content), 3):
                damaged[place] = rng.integers(256)
            (tmp_path / "in" / f"{number}.dcm").write_bytes(damaged)
        found = scan(tmp_path / "in")
        select_pair(found.series)
        assert len(found.rejected) + sum(len(series.paths) for series in found.series) >= len(whole)
        for series in found.series:
            with contextlib.suppress(DgcclError):  # any other exception fails the test
                read_rtstruct(series.paths[0], {}) if series.modality == "RTSTRUCT" else load_series(series)


def test_what_is_no_dicom(tmp_path: Path):
    (tmp_path / "text.dcm").write_text("a text file called .dcm, long enough to hold a preamble" * 9)
    (tmp_path / "empty.dcm").touch()
    (tmp_path / "empty").touch()
    (tmp_path / "picture.png").write_bytes(b"\x89PNG" + bytes(500))
    (tmp_path / "zeros").write_bytes(bytes(999))
    (tmp_path / "eight").write_bytes(b"\x08\x00\x00\x00" * 99)
    found = scan(tmp_path)
    assert codes(found) == ["empty_file", "not_dicom"]
    assert found.skipped == 4
    assert found.patients == ()


def test_dicomdir_and_files_without_identity(tmp_path: Path):
    dataset = make.image(make.ramp()[0], (0, 0, 0))
    dataset.DirectoryRecordSequence = []
    make.write(dataset, tmp_path / "DICOMDIR")
    make.write(make.image(make.ramp()[0], (0, 0, 0), SeriesInstanceUID=None), tmp_path / "x")
    found = scan(tmp_path)
    assert (codes(found), found.skipped) == (["incomplete_header"], 1)


def test_links_loops_and_special_files(tmp_path: Path):
    make.write_all(make.stack(make.ramp()), tmp_path / "a")
    (tmp_path / "a" / "loop").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "again").symlink_to(tmp_path / "a", target_is_directory=True)
    (tmp_path / "gone.dcm").symlink_to(tmp_path / "nothing")
    os.mkfifo(tmp_path / "pipe.dcm")
    found = scan(tmp_path)
    assert codes(found) == ["unreadable_file"]
    assert (len(found.series), found.series[0].frames, found.series[0].warnings) == (1, 4, ())


def test_unreadable_file(tmp_path: Path, monkeypatch):
    make.write_all(make.stack(make.ramp()), tmp_path)
    real_open = io.open

    def forbidding(path, *args, **kwargs):
        if str(path).endswith("CT001"):
            raise PermissionError(13, "Permission denied")
        return real_open(path, *args, **kwargs)

    monkeypatch.setattr("builtins.open", forbidding)
    assert codes(scan(tmp_path)) == ["unreadable_file"]


def test_missing_folder(tmp_path: Path):
    with pytest.raises(DicomError) as caught:
        scan(tmp_path / "none")
    assert caught.value.code == "no_folder"


def test_copies_are_dropped_even_if_encoded_otherwise(tmp_path: Path):
    datasets = make.stack(make.ramp())
    make.write_all(datasets, tmp_path / "a")
    make.write_all(datasets[:2], tmp_path / "b")
    make.write_all(datasets[2:3], tmp_path / "c", syntax=ImplicitVRLittleEndian)
    (series,) = scan(tmp_path).series
    assert (len(series.paths), series.warnings, series.defects) == (4, ("duplicate_instance",), ())
    assert load_series(series).volume.array.shape == (4, 5, 6)


@pytest.mark.parametrize("element", ["PixelData", "ImagePositionPatient", "RescaleSlope"])
def test_different_content_under_one_uid_refuses_the_series(tmp_path: Path, element):
    datasets = make.stack(make.ramp())
    make.write_all(datasets, tmp_path / "a")
    other = datasets[1]
    setattr(
        other,
        element,
        {"PixelData": bytes(60), "ImagePositionPatient": ["9", "9", "9"], "RescaleSlope": "2"}[element],
    )
    make.write(other, tmp_path / "b" / "x")
    found = scan(tmp_path)
    assert codes(found) == ["conflicting_instances"]
    with pytest.raises(DicomError) as caught:
        load_series(found.series[0])
    assert caught.value.code == "conflicting_instances"


def test_localizers_and_captures_form_their_own_entries(tmp_path: Path):
    datasets = make.stack(make.ramp())
    scout = make.image(make.ramp()[0], (0, 0, 50), ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    capture = make.image(make.ramp()[0], (0, 0, 60), SOPClassUID="1.2.840.10008.5.1.4.1.1.7")
    make.write_all([*datasets, scout, capture], tmp_path)
    entries = scan(tmp_path).series
    assert sorted((entry.localizer, len(entry.paths)) for entry in entries) == [
        (False, 1),
        (False, 4),
        (True, 1),
    ]
    assert len({entry.series_uid for entry in entries}) == 1


def test_references_of_outlines(tmp_path: Path):
    make.write(make.rtstruct({"lesion": []}, "1.2.3"), tmp_path / "rs")
    (series,) = scan(tmp_path).series
    assert (series.modality, series.referenced_series_uids) == ("RTSTRUCT", ("1.2.3",))


def test_real_patient(real_data: Path):
    found = scan(real_data / "sts" / "STS_002")
    assert sorted((s.modality, len(s.paths), s.attenuation_corrected) for s in found.series if s.planes) == [
        ("CT", 48, None),
        ("PT", 48, True),
    ]
    images = {s.series_uid for s in found.series if s.planes}
    assert {uid for s in found.series for uid in s.referenced_series_uids} == images
