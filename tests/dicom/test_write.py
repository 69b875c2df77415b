import shutil
import subprocess
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import highdicom as hd
import numpy as np
import pydicom
import pytest
from pydicom.uid import UID

from dgccl.dicom.suv import suv_factors
from dgccl.dicom.write import write_ct, write_pet
from dgccl.dicom.write_headers import CtProtocol, PatientHeader, PetProtocol, StudyHeader
from dgccl.dicom.write_roi import write_rtstruct, write_seg
from dgccl.dicom.write_series import WrittenSeries
from dgccl.errors import GeometryError, RoiError
from dgccl.volume import Volume

START = datetime(2021, 3, 4, 23, 50)
VENDORS = ("siemens", "ge", "philips")
PET = PetProtocol(
    activity_bq=2.5e8,
    injected_at=START - timedelta(minutes=62),
    scan_start=START,
    bed_s=120.0,
    slices_per_bed=4,
)
# Times that cross midnight, units and references as the vendors have them.
CONVENTIONS = {
    "siemens": ("siemens", PET),
    "ge_start": ("ge", replace(PET, slope_per_slice=True, series_delay_s=1800.0)),
    "ge_admin": ("ge", replace(PET, decay_correction="ADMIN")),
    "philips": ("philips", replace(PET, units="CNTS", slope_per_slice=False)),
}


def _study(vendor: str, seed: str = "test") -> StudyHeader:
    return StudyHeader(PatientHeader("PHANTOM-0042", "F", 61, 1.66, 71.5), vendor, "site_x", START, seed)


def _volume(low: float, high: float, *, seed: int = 0) -> Volume:
    affine = np.zeros((4, 4))
    affine[[2, 1, 0], [0, 1, 2]] = (2.5, 1.5, 1.25)
    affine[:3, 3] = (-30.25, 12.5, -110.0)
    affine[3, 3] = 1.0
    array = np.random.default_rng(seed).uniform(low, high, (6, 20, 24)).astype(np.float32)
    return Volume(array, affine)


def _ct(folder: Path, vendor: str = "siemens") -> WrittenSeries:
    return write_ct(
        _volume(-1000, 600), folder, study=_study(vendor), protocol=CtProtocol(slice_thickness_mm=2.5)
    )


def _stack(paths: tuple[Path, ...]) -> tuple[list[pydicom.Dataset], np.ndarray]:
    headers = [pydicom.dcmread(path) for path in paths]
    values = [h.pixel_array * float(h.RescaleSlope) + float(h.RescaleIntercept) for h in headers]
    return headers, np.stack(values)


@pytest.mark.parametrize("vendor", VENDORS)
def test_ct_comes_back(tmp_path: Path, vendor: str) -> None:
    written = _ct(tmp_path, vendor)
    headers, hu = _stack(written.paths)
    np.testing.assert_array_equal(hu, np.rint(written.volume.array))
    for k, header in enumerate(headers):
        corner = written.volume.grid.to_patient(np.array([[k, 0.0, 0.0]]))[0]
        np.testing.assert_allclose(np.array(header.ImagePositionPatient, float), corner, atol=1e-6)
        assert [float(v) for v in header.PixelSpacing] == [1.5, 1.25]
    assert len({h.SOPInstanceUID for h in headers}) == len(headers)
    assert len({h.SeriesInstanceUID for h in headers}) == 1


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_pet_comes_back_as_suv(tmp_path: Path, convention: str) -> None:
    vendor, protocol = CONVENTIONS[convention]
    written = write_pet(_volume(0.0, 12.0), tmp_path, study=_study(vendor), protocol=protocol)
    headers, values = _stack(written.paths)
    factors = suv_factors(headers)
    np.testing.assert_allclose(values * factors.suv_bw_factor, written.volume.array, atol=12.0 / 32767)
    assert factors.units == protocol.units
    assert factors.decay_correction == protocol.decay_correction
    assert factors.uptake_time_min == pytest.approx(62.0)
    times = {header.AcquisitionTime for header in headers}
    assert len(times) == 2  # two bed positions


def test_rescale_slope_is_per_slice_where_asked(tmp_path: Path) -> None:
    volume = _volume(0.0, 5.0)
    each = write_pet(volume, tmp_path / "each", study=_study("siemens"), protocol=PET)
    one = write_pet(
        volume, tmp_path / "one", study=_study("siemens"), protocol=replace(PET, slope_per_slice=False)
    )
    assert len({float(h.RescaleSlope) for h in _stack(each.paths)[0]}) > 1
    assert len({float(h.RescaleSlope) for h in _stack(one.paths)[0]}) == 1


def test_decay_factor_agrees_with_frame_time(tmp_path: Path) -> None:
    written = write_pet(_volume(0.0, 5.0), tmp_path, study=_study("siemens"), protocol=PET)
    for header in _stack(written.paths)[0]:
        seconds = float(header.FrameReferenceTime) / 1000
        assert float(header.DecayFactor) == pytest.approx(2 ** (seconds / 6586.2), rel=1e-6)


def test_uids_are_valid_and_follow_the_seed() -> None:
    one, same, other = _study("ge"), _study("ge"), _study("ge", "other")
    assert one.uid("a", 1) == same.uid("a", 1)
    assert len({one.uid("a", 1), one.uid("a", 2), other.uid("a", 1), one.study_uid}) == 4
    assert UID(one.uid("a", 1)).is_valid


def test_same_input_gives_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        series = _ct(tmp_path / name / "ct")
        write_seg(
            {"Lesion_1": series.volume.array > 0},
            tmp_path / name / "seg.dcm",
            study=_study("siemens"),
            series=series,
        )
    one, two = ({p.name: p.read_bytes() for p in (tmp_path / n).rglob("*.dcm")} for n in ("one", "two"))
    assert one == two


def _square(series: WrittenSeries, k: int) -> np.ndarray:
    corners = np.array([[k, 4.0, 5.0], [k, 4.0, 15.0], [k, 12.0, 15.0], [k, 12.0, 5.0]])
    return series.volume.grid.to_patient(corners)


def test_rtstruct_comes_back(tmp_path: Path) -> None:
    series = _ct(tmp_path / "ct")
    contours = {"Lesion_1": [_square(series, 2), _square(series, 3)], "Lesion_2": [_square(series, 5)]}
    ds = pydicom.dcmread(
        write_rtstruct(contours, tmp_path / "rs.dcm", study=_study("siemens"), series=series)
    )
    assert [roi.ROIName for roi in ds.StructureSetROISequence] == ["Lesion_1", "Lesion_2"]
    for drawn, expected in zip(ds.ROIContourSequence, contours.values(), strict=True):
        for item, points in zip(drawn.ContourSequence, expected, strict=True):
            np.testing.assert_allclose(np.array(item.ContourData, float).reshape(-1, 3), points, atol=1e-3)
    reference = ds.ROIContourSequence[0].ContourSequence[0].ContourImageSequence[0]
    assert reference.ReferencedSOPInstanceUID == pydicom.dcmread(series.paths[2]).SOPInstanceUID


def test_seg_comes_back(tmp_path: Path) -> None:
    series = _ct(tmp_path / "ct")
    mask = np.zeros(series.volume.array.shape, bool)
    mask[2:4, 5:9, 6:12] = True
    path = write_seg({"Lesion_1": mask}, tmp_path / "seg.dcm", study=_study("siemens"), series=series)
    seg = hd.seg.segread(path)
    uids = [pydicom.dcmread(p, stop_before_pixels=True).SOPInstanceUID for p in series.paths]
    frames = seg.get_pixels_by_source_instance(uids[2:4], combine_segments=True)
    np.testing.assert_array_equal(frames.astype(bool), mask[2:4])


def test_empty_outlines_are_refused(tmp_path: Path) -> None:
    series = _ct(tmp_path / "ct")
    with pytest.raises(RoiError, match="Lesion_1"):
        write_rtstruct({"Lesion_1": []}, tmp_path / "rs.dcm", study=_study("siemens"), series=series)
    with pytest.raises(RoiError, match="Lesion_1"):
        write_seg(
            {"Lesion_1": np.zeros(series.volume.array.shape, bool)},
            tmp_path / "seg.dcm",
            study=_study("siemens"),
            series=series,
        )


def test_volume_that_is_not_axial_is_refused(tmp_path: Path) -> None:
    volume = _volume(0, 1)
    flipped = Volume(volume.array, volume.affine * np.array([1.0, -1.0, 1.0, 1.0]))
    with pytest.raises(GeometryError, match="does not run along"):
        write_ct(flipped, tmp_path, study=_study("ge"), protocol=CtProtocol(slice_thickness_mm=1.0))


@pytest.fixture(scope="module")
def every_kind(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """One file of each kind and convention."""
    folder = tmp_path_factory.mktemp("kinds")
    paths = []
    for name, (vendor, protocol) in CONVENTIONS.items():
        series = write_pet(_volume(0, 5), folder / name, study=_study(vendor), protocol=protocol)
        paths += [series.paths[0], series.paths[-1]]
    for vendor in VENDORS:
        paths.append(_ct(folder / f"ct_{vendor}", vendor).paths[3])
    series = _ct(folder / "ct")
    study = _study("siemens")
    mask = series.volume.array > 0
    paths.append(
        write_rtstruct({"Lesion_1": [_square(series, 1)]}, folder / "rs.dcm", study=study, series=series)
    )
    paths.append(write_seg({"Lesion_1": mask}, folder / "seg.dcm", study=study, series=series))
    return paths


@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dciodvfy (dicom3tools) is not installed")
def test_headers_conform_to_the_standard(every_kind: list[Path]) -> None:
    for path in every_kind:
        found = subprocess.run(["dciodvfy", str(path)], capture_output=True, text=True, check=False).stderr
        errors = [line for line in found.splitlines() if line.startswith("Error")]
        assert not errors, f"{path.parent.name}/{path.name}: {errors}"


@pytest.mark.skipif(shutil.which("dcmdump") is None, reason="dcmdump (dcmtk) is not installed")
def test_dcmtk_reads_every_kind(every_kind: list[Path]) -> None:
    for path in every_kind:
        done = subprocess.run(
            ["dcmdump", "--print-all", str(path)], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0
        assert done.stderr == ""


def test_patient_is_plainly_a_phantom(every_kind: list[Path]) -> None:
    for path in every_kind:
        header = pydicom.dcmread(path, stop_before_pixels=True)
        assert str(header.PatientName) == "PHANTOM^PHANTOM-0042"
        assert header.PatientID == "PHANTOM-0042"
        assert header.PatientBirthDate == ""
