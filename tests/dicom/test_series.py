import shutil
import subprocess
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)
from scipy.spatial.transform import Rotation

from dgccl.dicom.scan import scan
from dgccl.dicom.select import select_pair
from dgccl.dicom.series import load_series
from dgccl.errors import DgcclError

from . import make


def load(folder: Path):
    (series,) = scan(folder).series
    return load_series(series)


def refused(folder: Path) -> str:
    with pytest.raises(DgcclError) as caught:
        load(folder)
    assert "Secret" not in str(caught.value)
    return caught.value.code


def test_sorted_by_position_with_affine(tmp_path: Path):
    stored = make.ramp()
    datasets = [
        make.image(plane, (10, 20, 30 + 2.5 * k), spacing_mm=(0.5, 0.75), InstanceNumber=9 - k)
        for k, plane in enumerate(stored)
    ]
    loaded = load(make.write_all(datasets, tmp_path))
    np.testing.assert_array_equal(loaded.volume.array, stored - 1024.0)
    assert loaded.volume.array.dtype == np.float32
    np.testing.assert_allclose(
        loaded.volume.affine, [[0, 0, 0.75, 10], [0, 0.5, 0, 20], [2.5, 0, 0, 30], [0, 0, 0, 1]], atol=1e-12
    )
    assert [float(h.ImagePositionPatient[2]) for h in loaded.headers] == [30, 32.5, 35, 37.5]
    assert not any("PixelData" in h for h in loaded.headers)
    assert loaded.warnings == ("gaps_between_slices",)


def cosines(rotation: Rotation, flips: tuple[int, int]) -> np.ndarray:
    matrix = rotation.as_matrix()
    return np.concatenate([flips[0] * matrix[:, 0], flips[1] * matrix[:, 1]])


orientations = st.one_of(
    st.builds(
        lambda order, a, b: np.concatenate([a * np.eye(3)[order[0]], b * np.eye(3)[order[1]]]),
        st.permutations(range(3)),
        st.sampled_from([-1, 1]),
        st.sampled_from([-1, 1]),
    ),
    st.builds(cosines, st.integers(0, 2**31).map(lambda seed: Rotation.random(rng=seed)), st.just((1, 1))),
)


@settings(deadline=None, max_examples=20)
@given(
    orientation=orientations,
    row_mm=st.floats(0.4, 5),
    column_mm=st.floats(0.4, 5),
    step_mm=st.floats(0.5, 6),
    tilt_deg=st.floats(-25, 25),
    seed=st.integers(0, 2**31),
)
def test_same_values_at_the_same_patient_points(
    tmp_path_factory, orientation, row_mm, column_mm, step_mm, tilt_deg, seed
):
    stored = make.ramp((4, 3, 5))
    rng = np.random.default_rng(seed)
    origin = rng.uniform(-300, 300, 3)
    row, column = orientation[:3], orientation[3:]
    step = step_mm * (np.cross(row, column) + np.tan(np.radians(tilt_deg)) * column)
    folder = tmp_path_factory.mktemp("series")
    datasets = [
        make.image(plane, origin + k * step, orientation=orientation, spacing_mm=(row_mm, column_mm))
        for k, plane in enumerate(stored)
    ]
    loaded = load(make.write_all(datasets, folder, seed=seed))
    k, j, i = np.indices(stored.shape).reshape(3, -1)
    points = origin + np.outer(k, step) + np.outer(j, row_mm * column) + np.outer(i, column_mm * row)
    index = loaded.volume.grid.to_index(points)
    np.testing.assert_allclose(index, np.round(index), atol=0.02)
    values = loaded.volume.array[tuple(np.round(index).astype(int).T)]
    np.testing.assert_array_equal(values, stored.ravel() - 1024.0)
    assert ("gantry_tilt" in loaded.warnings) == (abs(tilt_deg) > 0.1) or abs(abs(tilt_deg) - 0.1) < 0.05


def shifted(k: int, offset) -> list[pydicom.Dataset]:
    datasets = make.stack(make.ramp((6, 4, 4)))
    position = np.array(datasets[k].ImagePositionPatient, float) + offset
    datasets[k].ImagePositionPatient = [f"{v:g}" for v in position]
    return datasets


def without(*gone: int) -> list[pydicom.Dataset]:
    return [d for k, d in enumerate(make.stack(make.ramp((7, 4, 4)))) if k not in gone]


def changed(k: int = 2, **elements) -> list[pydicom.Dataset]:
    datasets = make.stack(make.ramp((6, 4, 4)))
    for keyword, value in elements.items():
        if value is None:
            delattr(datasets[k], keyword)
        else:
            setattr(datasets[k], keyword, value)
    return datasets


def twice(**elements) -> list[pydicom.Dataset]:
    """Each position at two times."""
    datasets = make.stack(make.ramp((4, 4, 4)), AcquisitionTime="120000")
    later = make.stack(make.ramp((4, 4, 4)), AcquisitionTime=elements.get("time", "120000"))
    for dataset in later:
        dataset.SOPInstanceUID = make.uid(dataset.SOPInstanceUID)
    return datasets + later


@pytest.mark.parametrize(
    ("datasets", "code"),
    [
        (without(3), "missing_slices"),
        (without(2, 3), "missing_slices"),
        (without(1, 3, 5), None),  # every second slice: an even stack, with gaps
        (shifted(3, (0, 0, 0.5)), "uneven_spacing"),
        (shifted(3, (0, 0, 0.05)), None),
        (shifted(3, (0, 0, 2)), "duplicate_positions"),
        (shifted(3, (0.5, 0, 0)), "positions_not_on_line"),
        (twice(), "duplicate_positions"),
        (twice(time="120500"), "dynamic_series"),
        (without(*range(1, 7)), "single_slice"),
        (changed(ImageOrientationPatient=["0", "1", "0", "1", "0", "0"]), "mixed_orientation"),
        (make.stack(make.ramp(), orientation=np.array([1, 0, 0, 0.1, 1, 0])), "invalid_orientation"),
        (changed(PixelSpacing=["1", "1.01"]), "mixed_pixel_spacing"),
        (changed(PixelSpacing=["0", "1"]), "missing_geometry"),
        (changed(Rows=2, PixelData=bytes(16)), "mixed_image_size"),
        (changed(ImagePositionPatient=None), "missing_geometry"),
        (changed(ImageOrientationPatient=None), "missing_geometry"),
        (changed(RescaleSlope=None), "missing_rescale"),
        (changed(RescaleSlope="0"), "missing_rescale"),
        (changed(PixelData=bytes(10)), "truncated_file"),
        (changed(PixelData=None), "missing_pixel_data"),
        (changed(Rows=0), "missing_image_size"),
        (changed(HighBit=12), "unsupported_bits"),
        (changed(PhotometricInterpretation="RGB", SamplesPerPixel=3), "not_monochrome"),
        (changed(k=0, RescaleType="Z_EFF"), "not_hounsfield"),
    ],
)
def test_what_forms_no_volume_is_refused(tmp_path: Path, datasets, code):
    folder = make.write_all(datasets, tmp_path)
    if code is None:
        assert load(folder).volume.array.shape[0] == len(datasets)
    else:
        assert refused(folder) == code


@pytest.mark.parametrize(
    ("elements", "code"),
    [
        ({"Modality": "NM"}, "wrong_modality"),
        ({"Modality": "MR"}, "wrong_sop_class"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.7"}, "wrong_sop_class"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}, "localizer"),
    ],
)
def test_other_kinds_of_series_are_refused(tmp_path: Path, elements, code):
    assert refused(make.write_all(make.stack(make.ramp(), **elements), tmp_path)) == code


def test_tilt_beyond_any_gantry_is_refused(tmp_path: Path):
    datasets = [make.image(plane, (0, 2.0 * k, 2.0 * k)) for k, plane in enumerate(make.ramp())]
    assert refused(make.write_all(datasets, tmp_path)) == "sheared_positions"


def test_pet_slices_keep_their_own_slopes(tmp_path: Path):
    stored = make.ramp(dtype="<u2")
    slopes = np.array([0.5, 1.25, 3.0, 0.01])
    datasets = [
        make.image(p, (0, 0, 2 * k), modality="PT", slope=slopes[k], intercept=0, CorrectedImage=["DECY"])
        for k, p in enumerate(stored)
    ]
    loaded = load(make.write_all(datasets, tmp_path))
    np.testing.assert_allclose(loaded.volume.array, stored * slopes[:, None, None], rtol=1e-6)
    assert "not_attenuation_corrected" in loaded.warnings


@pytest.mark.parametrize("bits", [8, 10, 12, 16])
@pytest.mark.parametrize("signed", [False, True])
def test_stored_bits_and_overlays_above_them(tmp_path: Path, bits, signed):
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1)) if signed else (0, 2**bits)
    values = np.random.default_rng(bits).integers(low, high, (3, 4, 4))
    values[:, 0, :2] = low, high - 1
    overlay = 0 if bits == 16 else 0x8000  # a bit above those stored, which must not count
    words = (values & (2**bits - 1) | overlay).astype("<u2")
    datasets = make.stack(
        words, intercept=0, BitsStored=bits, HighBit=bits - 1, PixelRepresentation=int(signed)
    )
    loaded = load(make.write_all(datasets, tmp_path))
    np.testing.assert_array_equal(loaded.volume.array, values)


SIGNED_SYNTAXES = [ImplicitVRLittleEndian, ExplicitVRLittleEndian, DeflatedExplicitVRLittleEndian]


@pytest.mark.parametrize("syntax", SIGNED_SYNTAXES)
@pytest.mark.parametrize("dtype", ["<i2", "<u2"])
def test_native_syntaxes(tmp_path: Path, syntax, dtype):
    stored = make.ramp(dtype=dtype)
    folder = make.write_all(make.stack(stored), tmp_path, syntax=syntax)
    np.testing.assert_array_equal(load(folder).volume.array, stored - 1024.0)


def test_big_endian(tmp_path: Path):
    stored = make.ramp()
    datasets = make.stack(stored)
    for dataset, plane in zip(datasets, stored, strict=True):
        dataset.PixelData = plane.astype(">i2").tobytes()
    folder = make.write_all(datasets, tmp_path, syntax=ExplicitVRBigEndian)
    np.testing.assert_array_equal(load(folder).volume.array, stored - 1024.0)


@pytest.mark.parametrize("syntax", [RLELossless, JPEG2000Lossless, JPEGLSLossless])
@pytest.mark.parametrize("dtype", ["<i2", "<u2"])
def test_compressed_by_pydicom(tmp_path: Path, syntax, dtype):
    stored = make.ramp((3, 32, 40), dtype=dtype)
    datasets = make.stack(stored)
    for dataset in datasets:
        make.write(dataset, tmp_path / "plain")  # gives it the file meta information that compress needs
        dataset.compress(syntax)
    folder = make.write_all(datasets, tmp_path / "in", syntax=syntax)
    np.testing.assert_array_equal(load(folder).volume.array, stored - 1024.0)


@pytest.mark.parametrize(
    "command", [["dcmcjpeg", "+e1"], ["dcmcjpeg", "+el"], ["dcmcjpls"], ["dcmcrle"]], ids=" ".join
)
def test_compressed_by_dcmtk(tmp_path: Path, command):
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} (dcmtk) is not installed")
    stored = make.ramp((3, 16, 20), dtype="<u2")
    plain = make.write_all(make.stack(stored, BitsStored=12, HighBit=11), tmp_path / "plain")
    (tmp_path / "in").mkdir()
    for path in plain.iterdir():
        subprocess.run([*command, path, tmp_path / "in" / path.name], check=True, capture_output=True)
    np.testing.assert_array_equal(load(tmp_path / "in").volume.array, stored - 1024.0)


def test_undecodable_pixels(tmp_path: Path):
    datasets = make.stack(make.ramp())
    for dataset in datasets:
        make.write(dataset, tmp_path / "plain")
        dataset.compress(RLELossless, encoding_plugin="pydicom")
        header = dataset.PixelData.index(b"\xfe\xff\x00\xe0", 4) + 8  # of the frame, after its item tag
        dataset.PixelData = dataset.PixelData[:header] + b"\xff" * 64 + dataset.PixelData[header + 64 :]
    folder = make.write_all(datasets, tmp_path / "in", syntax=RLELossless)
    assert refused(folder) == "undecodable_pixels"


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (2, 0, 3, 1)])
def test_enhanced_frames_in_any_order(tmp_path: Path, order):
    stored = make.ramp()
    slopes = np.array([1.0, 2.0, 0.5, 4.0])
    make.write(make.enhanced(stored, order, slopes=slopes), tmp_path / "x")
    (series,) = scan(tmp_path).series
    assert (series.frames, series.planes, series.slice_spacing_mm) == (4, 4, 2.0)
    loaded = load_series(series)
    np.testing.assert_allclose(loaded.volume.array, stored * slopes[:, None, None] - 1000, rtol=1e-6)
    np.testing.assert_allclose(loaded.volume.affine @ [3, 1, 1, 1], [1.75, 2.5, 6, 1])
    assert (len(loaded.headers), loaded.warnings) == (1, ())
    assert len(loaded.headers[0].PerFrameFunctionalGroupsSequence) == 4


def test_enhanced_whose_frames_are_not_described(tmp_path: Path):
    dataset = make.enhanced(make.ramp(), (0, 1, 2, 3), slopes=[1] * 4)
    dataset.PerFrameFunctionalGroupsSequence = dataset.PerFrameFunctionalGroupsSequence[:3]
    make.write(dataset, tmp_path / "x")
    assert refused(tmp_path) == "missing_functional_groups"


def test_highdicom_reads_the_same_enhanced_geometry(tmp_path: Path):
    import highdicom

    path = make.write(make.enhanced(make.ramp(), (1, 3, 0, 2), slopes=[1] * 4), tmp_path / "x")
    theirs = highdicom.imread(path).get_volume_geometry()
    ours = load(tmp_path).volume
    np.testing.assert_allclose(np.abs(np.linalg.det(theirs.affine[:3, :3])), ours.grid.voxel_ml * 1000)
    corner = np.array(theirs.affine @ [*(np.array(theirs.spatial_shape) - 1), 1.0])
    index = ours.grid.to_index(np.array([theirs.affine[:3, 3], corner[:3]]))
    np.testing.assert_allclose(np.sort(index, axis=0), [[0, 0, 0], [3, 4, 5]], atol=1e-9)


@pytest.mark.parametrize("modality", ["CT", "PT"])
def test_real_series_equal_simpleitk(real_data: Path, modality):
    patient = scan(real_data / "sts" / "STS_003").patients[0]
    pair = select_pair(patient.series)
    files = pair.ct if modality == "CT" else pair.pet
    ours = load_series(files).volume
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(files.paths[0].parent)))
    theirs = reader.Execute()
    np.testing.assert_allclose(ours.array, sitk.GetArrayFromImage(theirs), rtol=1e-6)
    corner = tuple(n - 1 for n in theirs.GetSize())
    for index in ((0, 0, 0), corner):
        point = ours.grid.to_patient(np.array([index[::-1]], float))[0]
        np.testing.assert_allclose(point, theirs.TransformIndexToPhysicalPoint(index), atol=1e-3)
