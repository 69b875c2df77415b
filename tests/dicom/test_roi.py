from pathlib import Path

import highdicom
import numpy as np
import pydicom
import pytest
from highdicom.seg import SegmentationTypeValues
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.path import Path as Polygon
from pydicom.sr.codedict import codes
from scipy.spatial.transform import Rotation

from dgccl.dicom.roi import read_rtstruct
from dgccl.dicom.scan import scan
from dgccl.dicom.seg import read_seg
from dgccl.dicom.select import select_pair
from dgccl.dicom.series import load_series
from dgccl.errors import DgcclError, RoiError
from dgccl.volume import Grid

from . import make

UID = "1.2.3.4"


def oblique_grid(seed: int, shape=(9, 20, 24)) -> Grid:
    rng = np.random.default_rng(seed)
    affine = np.eye(4)
    affine[:3, :3] = Rotation.random(rng=rng).as_matrix() * rng.uniform(0.5, 4, 3)
    affine[:3, 3] = rng.uniform(-300, 300, 3)
    return Grid(shape, affine)


AXIAL = Grid((9, 20, 24), np.array([[0, 0, 1.0, -5], [0, 1.5, 0, 7], [2, 0, 0, 40], [0, 0, 0, 1]]))


def polygon(grid: Grid, k: float, *, center=(10.3, 12.2), radius=6.1, n=17) -> np.ndarray:
    """A star-like closed contour on slice k, LPS mm."""
    angle = np.linspace(0, 2 * np.pi, n, endpoint=False)
    reach = radius * (1 + 0.25 * np.cos(3 * angle))
    index = np.column_stack(
        [np.full(n, k), center[0] + reach * np.sin(angle), center[1] + reach * np.cos(angle)]
    )
    return grid.to_patient(index)


def on_grid(mask, grid: Grid) -> np.ndarray:
    """A cropped mask put back on its grid."""
    whole = np.zeros(grid.shape, dtype=bool)
    start = np.round(grid.to_index(mask.affine[None, :3, 3])[0]).astype(int)
    whole[tuple(slice(a, a + n) for a, n in zip(start, mask.array.shape, strict=True))] = mask.array
    return whole


def inside(contours: list[np.ndarray], grid: Grid) -> np.ndarray:
    """Even-odd fill by matplotlib."""
    mask = np.zeros(grid.shape, dtype=bool)
    rows, columns = np.indices(grid.shape[1:])
    pixels = np.column_stack([rows.ravel(), columns.ravel()])
    for contour in contours:
        index = grid.to_index(contour)
        mask[round(index[:, 0].mean())] ^= Polygon(index[:, 1:]).contains_points(pixels).reshape(rows.shape)
    return mask


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 2**31))
def test_contours_fill_as_matplotlib_fills_them_at_any_orientation(seed):
    grid = oblique_grid(seed)
    contours = [polygon(grid, k) for k in (2, 3, 4)] + [polygon(grid, 3, radius=2.6)]
    # 10 digits, since DS values of 6 would move the corners by more than the comparison bears
    dataset = make.rtstruct({"lesion": contours}, UID)
    for item, points in zip(dataset.ROIContourSequence[0].ContourSequence, contours, strict=True):
        item.ContourData = [f"{v:.10f}"[:16] for v in points.ravel()]
    (roi,) = read_rtstruct(dataset, {UID: (grid, "pet")})
    assert (roi.name, roi.drawn_on) == ("lesion", "pet")
    np.testing.assert_array_equal(on_grid(roi.mask, grid), inside(contours, grid))


def test_keyhole_cuts_the_same_hole_as_an_inner_contour():
    outer, inner = polygon(AXIAL, 4), polygon(AXIAL, 4, radius=2.4)
    keyhole = np.concatenate([outer, outer[:1], inner[::-1], inner[-1:], outer[:1]])
    found = read_rtstruct(make.rtstruct({"a": [outer, inner], "b": [keyhole]}, UID), {UID: (AXIAL, "ct")})
    hole, keyed = (on_grid(roi.mask, AXIAL) for roi in found)
    assert hole.any()
    assert not hole[4, 10, 12]
    np.testing.assert_array_equal(hole, keyed)


@pytest.mark.parametrize(
    ("planes", "slices"),
    [
        ([2, 3, 4], [2, 3, 4]),
        ([2.2, 3.2, 4.2], [2, 3, 4]),
        ([2, 4, 6], [2, 3, 4, 5, 6, 7]),  # each plane stands for two slices
        ([2, 2.5, 3, 3.5, 4], [2, 3, 4]),  # of denser planes each slice takes the nearest
        ([6, 8], [6, 7, 8]),  # and none leaves the image
        ([2, 3, 6, 7], [2, 3, 6, 7]),  # a gap among regular planes is a gap
        ([5], [5]),
    ],
)
def test_planes_between_and_beside_the_slices(planes, slices):
    dataset = make.rtstruct({"lesion": [polygon(AXIAL, k) for k in planes]}, UID)
    (roi,) = read_rtstruct(dataset, {UID: (AXIAL, "ct")})
    mask = on_grid(roi.mask, AXIAL)
    assert np.flatnonzero(mask.any(axis=(1, 2))).tolist() == slices
    for k in slices:
        np.testing.assert_array_equal(mask[k], inside([polygon(AXIAL, 0)], AXIAL)[0])


def tilted(grid: Grid) -> np.ndarray:
    points = polygon(grid, 4)
    points[:, 2] += np.linspace(0, 6, len(points))
    return points


@pytest.mark.parametrize(
    ("contours", "more", "code"),
    [
        ([], {}, "empty_outline"),
        ([polygon(AXIAL, 4, radius=0.05, center=(10.5, 12.5))], {}, "empty_outline"),
        ([polygon(AXIAL, 4)[:2]], {}, "empty_outline"),
        ([polygon(AXIAL, 4) + 500], {}, "outline_outside_image"),
        ([polygon(AXIAL, 30)], {}, "outline_outside_image"),
        ([polygon(AXIAL, 4, center=(2, 2))], {}, "outline_crosses_border"),
        ([tilted(AXIAL)], {}, "contour_not_in_slice"),
        ([polygon(AXIAL, 4)], {"kind": "OPEN_PLANAR"}, "unsupported_contour_type"),
        ([polygon(AXIAL, 4)[:1]], {"kind": "POINT"}, "unsupported_contour_type"),
    ],
)
def test_regions_that_cannot_be_used(contours, more, code):
    dataset = make.rtstruct({"bad": contours}, UID, **more)
    with pytest.raises(RoiError) as caught:
        read_rtstruct(dataset, {UID: (AXIAL, "ct")})
    assert caught.value.code == code


def test_malformed_points():
    dataset = make.rtstruct({"bad": [polygon(AXIAL, 4)]}, UID)
    contour = dataset.ROIContourSequence[0].ContourSequence[0]
    contour.ContourData = contour.ContourData[:-1]
    with pytest.raises(RoiError) as caught:
        read_rtstruct(dataset, {UID: (AXIAL, "ct")})
    assert caught.value.code == "malformed_contour"


def test_one_bad_region_need_not_stop_the_others():
    refused = []
    dataset = make.rtstruct({"a": [polygon(AXIAL, 4)], "b": [], "c": [polygon(AXIAL, 5)]}, UID)
    found = read_rtstruct(
        dataset, {UID: (AXIAL, "ct")}, on_refused=lambda name, error: refused.append((name, error.code))
    )
    assert [roi.name for roi in found] == ["a", "c"]
    assert refused == [("b", "empty_outline")]


def code_of(dataset: pydicom.Dataset, images) -> str:
    with pytest.raises(DgcclError) as caught:
        read_rtstruct(dataset, images)
    return caught.value.code


def test_references():
    dataset = make.rtstruct({"a": [polygon(AXIAL, 4)]}, UID)
    assert code_of(dataset, {"9.9": (AXIAL, "ct")}) == "referenced_series_missing"
    del dataset.ReferencedFrameOfReferenceSequence
    assert code_of(dataset, {UID: (AXIAL, "ct")}) == "no_referenced_series"
    dataset.Modality = "SEG"
    assert code_of(dataset, {UID: (AXIAL, "ct")}) == "not_rtstruct"


def test_contour_images_tell_two_referenced_series_apart():
    dataset = make.rtstruct({"a": [polygon(AXIAL, 4)]}, UID)
    study = dataset.ReferencedFrameOfReferenceSequence[0].RTReferencedStudySequence[0]
    second = make.item(
        SeriesInstanceUID="5.6.7", ContourImageSequence=[make.item(ReferencedSOPInstanceUID="5.6.7.1")]
    )
    study.RTReferencedSeriesSequence.append(second)
    images = {UID: (AXIAL, "ct"), "5.6.7": (AXIAL, "pet")}
    assert code_of(dataset, images) == "ambiguous_reference"
    dataset.ROIContourSequence[0].ContourSequence[0].ContourImageSequence = [
        make.item(ReferencedSOPInstanceUID="5.6.7.1")
    ]
    assert read_rtstruct(dataset, images)[0].drawn_on == "pet"


@pytest.mark.parametrize("patient", ["STS_002", "STS_005"])
def test_real_outlines_have_their_planimetric_volume(real_data: Path, patient):
    series = scan(real_data / "sts" / patient).series
    pair = select_pair(series)
    images = {f.series_uid: (load_series(f).volume.grid, m) for f, m in ((pair.ct, "ct"), (pair.pet, "pet"))}
    for outline in (s for s in series if s.modality == "RTSTRUCT"):
        (roi,) = read_rtstruct(outline.paths[0], images)
        area_mm2 = 0.0
        for contour in pydicom.dcmread(outline.paths[0]).ROIContourSequence[0].ContourSequence:
            x, y, _ = np.array(contour.ContourData, float).reshape(-1, 3).T
            area_mm2 += abs(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2
        slice_mm = images[outline.referenced_series_uids[0]][0].spacing_mm[0]
        tolerance = 0.005 if roi.drawn_on == "ct" else 0.03  # PET pixels are 5.5 mm wide
        assert roi.volume_ml == pytest.approx(area_mm2 * slice_mm / 1000, rel=tolerance)


def source_images(shape=(6, 12, 14)) -> list[pydicom.Dataset]:
    """A CT series complete enough for highdicom."""
    images = make.stack(
        make.ramp(shape),
        origin_mm=(-7, 3, 11),
        PatientBirthDate="",
        PatientSex="",
        AccessionNumber="",
        StudyTime="120000",
        StudyID="",
        ReferringPhysicianName="",
    )
    return images


def blob(shape=(6, 12, 14)) -> np.ndarray:
    k, j, i = np.indices(shape)
    return (k - 3) ** 2 * 4 + (j - 5) ** 2 + (i - 8) ** 2 < 17


def segmentation(masks: list[np.ndarray], kind: SegmentationTypeValues, **more) -> highdicom.seg.Segmentation:
    """A SEG written by highdicom."""
    if kind == SegmentationTypeValues.LABELMAP:
        pixels = sum(number * mask for number, mask in enumerate(masks, start=1)).astype(np.uint8)
    elif kind == SegmentationTypeValues.FRACTIONAL:
        pixels = np.stack(masks, axis=-1).astype(np.float32)
    else:
        pixels = np.stack(masks, axis=-1).astype(np.uint8)
    return highdicom.seg.Segmentation(
        source_images(),
        pixels,
        kind,
        [
            highdicom.seg.SegmentDescription(
                number,
                f"lesion {number}",
                codes.SCT.MorphologicallyAbnormalStructure,
                codes.SCT.Lesion,
                highdicom.seg.SegmentAlgorithmTypeValues.MANUAL,
            )
            for number in range(1, len(masks) + 1)
        ],
        series_instance_uid=make.uid("seg"),
        series_number=1,
        sop_instance_uid=make.uid("seg", 1),
        instance_number=1,
        manufacturer="m",
        manufacturer_model_name="m",
        software_versions="1",
        device_serial_number="1",
        **more,
    )


@pytest.fixture
def ct(tmp_path: Path):
    """The CT under the segmentations: its series UID, and what the readers take."""
    (files,) = scan(make.write_all(source_images(), tmp_path / "ct")).series
    return files.series_uid, {files.series_uid: (load_series(files).volume.grid, "ct")}


@pytest.mark.parametrize("kind", list(SegmentationTypeValues))
@pytest.mark.parametrize("omit_empty_frames", [True, False])
def test_segments_written_by_highdicom(tmp_path: Path, ct, kind, omit_empty_frames):
    first = blob()
    second = np.zeros_like(first)
    second[1, 2:4, 2:5] = second[5, 2, 2] = True
    second &= ~first
    masks = [first, second]
    if kind == SegmentationTypeValues.FRACTIONAL:
        masks = [0.3 * (first ^ True) + 0.9 * first, 0.6 * second]
    path = tmp_path / "seg"
    segmentation(masks, kind, omit_empty_frames=omit_empty_frames).save_as(path)
    uid, images = ct
    (entry,) = (series for series in scan(tmp_path).series if series.modality == "SEG")
    assert entry.referenced_series_uids == (uid,)
    found = read_seg(path, images)
    assert [(roi.name, roi.drawn_on) for roi in found] == [("lesion 1", "ct"), ("lesion 2", "ct")]
    for roi, mask in zip(found, (first, second), strict=True):
        np.testing.assert_array_equal(on_grid(roi.mask, images[uid][0]), mask)


def test_overlapping_binary_segments_in_memory(ct):
    uid, images = ct
    masks = [blob(), np.roll(blob(), 2, axis=2)]
    found = read_seg(segmentation(masks, SegmentationTypeValues.BINARY), images)
    for roi, mask in zip(found, masks, strict=True):
        np.testing.assert_array_equal(on_grid(roi.mask, images[uid][0]), mask)


def test_segment_of_one_frame(ct):
    uid, images = ct
    mask = np.zeros((6, 12, 14), dtype=bool)
    mask[4, 3:6, 2:9] = True
    (roi,) = read_seg(segmentation([mask], SegmentationTypeValues.BINARY), images)
    np.testing.assert_array_equal(on_grid(roi.mask, images[uid][0]), mask)


def test_segmentations_that_cannot_be_used(ct):
    uid, images = ct
    dataset = segmentation([blob(), np.zeros_like(blob())], SegmentationTypeValues.BINARY)
    with pytest.raises(RoiError) as caught:
        read_seg(dataset, images)
    assert caught.value.code == "empty_outline"
    refused = []
    found = read_seg(dataset, images, on_refused=lambda name, error: refused.append((name, error.code)))
    assert (len(found), refused) == (1, [("lesion 2", "empty_outline")])
    with pytest.raises(RoiError) as caught:
        read_seg(dataset, {"9.9": images[uid]})
    assert caught.value.code == "referenced_series_missing"
    with pytest.raises(RoiError) as caught:
        read_seg(dataset, {uid: (AXIAL, "ct")})
    assert caught.value.code == "outline_outside_image"
    dataset.PerFrameFunctionalGroupsSequence[0].PlanePositionSequence[0].ImagePositionPatient = [
        "9",
        "9",
        "9",
    ]
    with pytest.raises(RoiError) as caught:
        read_seg(dataset, images)
    assert caught.value.code == "seg_geometry"
