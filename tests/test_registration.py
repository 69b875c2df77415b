"""Registration: conventions against SimpleITK, known moves on drawn chests, refusals, and ingestion end to end."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from scipy.spatial.transform import Rotation

from dgccl.cohort import open_cohort
from dgccl.errors import CohortError
from dgccl.ingest import IngestSettings, ingest
from dgccl.lesion import BoxSettings, group_lesions, measure
from dgccl.nifti import write_nifti
from dgccl.phantom.chest import Chest, draw_chest
from dgccl.phantom.patient import sample_cohort
from dgccl.registration import moved_study, moved_volume, register_pet, register_study, registration_note
from dgccl.registration import search as searching
from dgccl.registration.decide import Registration, _judge, _nothing
from dgccl.registration.images import SPACING_MM, as_image, coarser_grid, compared
from dgccl.roi import Roi, sphere_mask
from dgccl.study import PetImage, Study
from dgccl.volume import Grid, Volume, box_grid, resample


def rigid(shift_mm: tuple[float, float, float], turn_deg: float, about_mm: np.ndarray) -> np.ndarray:
    move = np.eye(4)
    move[:3, :3] = Rotation.from_rotvec(np.radians(turn_deg) * np.array([0.6, 0.0, 0.8])).as_matrix()
    move[:3, 3] = about_mm - move[:3, :3] @ about_mm + np.array(shift_mm)
    return move


def oblique(shape: tuple[int, int, int], spacing: tuple[float, float, float]) -> Grid:
    affine = np.eye(4)
    turn = Rotation.from_euler("xyz", [7.0, -4.0, 11.0], degrees=True).as_matrix()
    affine[:3, :3] = turn[:, [2, 1, 0]] * spacing
    affine[:3, 3] = -affine[:3, :3] @ ((np.array(shape) - 1) / 2) + np.array([3.0, -5.0, 8.0])
    return Grid(shape, affine)


def test_a_move_is_what_simpleitk_resamples_by() -> None:
    """The map of a search, CT points to PET points, and PET by its moved affine give the same image on CT's grid."""
    rng = np.random.default_rng(4)
    ct_grid, pet_grid = oblique((20, 24, 26), (2.0, 1.5, 1.7)), oblique((14, 15, 17), (4.0, 4.1, 3.8))
    ct = Volume(np.zeros(ct_grid.shape, np.float32), ct_grid.affine)
    pet = Volume(rng.random(pet_grid.shape, dtype=np.float32), pet_grid.affine)
    center = ct_grid.to_patient((np.array([ct_grid.shape]) - 1) / 2)[0]
    parameters = np.array([0.05, -0.08, 0.11, 3.0, -2.0, 5.0])
    transform = searching._transform(center, parameters)
    theirs = sitk.GetArrayFromImage(
        sitk.Resample(as_image(pet), as_image(ct), transform, sitk.sitkLinear, -1.0)
    )
    moved = moved_volume(pet, searching.move_of(parameters, center))
    ours = resample(moved, ct_grid, fill=-1.0).array
    both = (theirs >= 0) & (ours >= 0)
    assert both.mean() > 0.5
    assert np.abs(theirs - ours)[both].max() < 1e-3


def test_a_coarser_grid_keeps_middle_axes_and_field() -> None:
    grid = oblique((41, 90, 100), (2.5, 0.9, 0.9))
    coarse = coarser_grid(grid)
    assert coarse.spacing_mm == pytest.approx((SPACING_MM,) * 3)
    middles = [g.to_patient((np.array([g.shape]) - 1) / 2)[0] for g in (grid, coarse)]
    assert middles[0] == pytest.approx(middles[1])
    size, coarse_size = (np.array(g.spacing_mm) * g.shape for g in (grid, coarse))
    assert (coarse_size <= size + 1e-6).all()
    assert (size - coarse_size < SPACING_MM).all()


def test_what_was_drawn_on_pet_moves_with_it() -> None:
    center = np.array([10.0, -20.0, 30.0])
    ct_grid, pet_grid = (
        box_grid(center, box_mm=80.0, spacing_mm=1.0),
        box_grid(center, box_mm=120.0, spacing_mm=4.0),
    )
    pet = PetImage(Volume(np.random.default_rng(1).random(pet_grid.shape, dtype=np.float32), pet_grid.affine))
    rois = (
        Roi("L_CT", sphere_mask(center, 14.0, ct_grid), "ct"),
        Roi("L_PET", sphere_mask(center, 16.0, pet_grid), "pet"),
        Roi("M", sphere_mask(center, 9.0, ct_grid), None),
    )
    study = Study("P", Volume(np.zeros(ct_grid.shape, np.float32), ct_grid.affine), pet, rois)
    move = rigid((4.0, -7.0, 9.0), 6.0, center)
    moved = moved_study(study, move)
    assert moved.ct is study.ct
    assert moved.pet is not None
    assert moved.pet.suv_bw.array is pet.suv_bw.array
    by_name = {roi.name: roi for roi in moved.rois}
    expected = move[:3, :3] @ rois[1].centroid_mm + move[:3, 3]
    assert by_name["L_PET"].centroid_mm == pytest.approx(expected)
    assert by_name["L_CT"] is rois[0]
    assert by_name["M"] is rois[2]
    before, after = (measure(group_lesions(s.rois)[0], s.pet) for s in (study, moved))
    assert (after.suv_max, after.mtv_ml) == pytest.approx((before.suv_max, before.mtv_ml))


GOOD = Registration(
    "registered", np.eye(4), np.eye(4), np.zeros(3), np.zeros(3), 9.0, 0.5, 0.6, 1.0, 0.10, 0.30
)


@pytest.mark.parametrize(
    ("changes", "overlap", "lesion_gain", "reason"),
    [
        ({}, 1.0, 0.1, "registered"),
        ({"disagreement_mm": 2.1}, 1.0, 0.1, "starts_disagree"),
        ({"error_mm": float("inf")}, 1.0, 0.1, "parts_disagree"),
        ({"halves_mm": 6.0}, 1.0, 0.1, "halves_disagree"),
        ({"distance_mm": 31.0}, 1.0, 0.1, "moves_too_far"),
        ({"found": rigid((0.0, 0.0, 0.0), 9.0, np.zeros(3))}, 1.0, 0.1, "moves_too_far"),
        ({}, 0.5, 0.1, "little_overlap"),
        ({"distance_mm": 1.9, "information_found": 0.1}, 1.0, -0.1, "in_place"),
        ({"information_found": 0.104}, 1.0, 0.1, "no_gain"),
        ({"information_found": float("nan")}, 1.0, 0.1, "no_gain"),
        ({}, 1.0, -0.01, "lesion_loses"),
        ({}, 1.0, float("nan"), "lesion_loses"),
    ],
)
def test_each_doubt_is_a_reason(changes: dict, overlap: float, lesion_gain: float, reason: str) -> None:
    assert _judge(replace(GOOD, **changes), overlap=overlap, lesion_gain=lesion_gain) == reason


def test_a_box_around_a_lesion_is_too_small_to_be_sure() -> None:
    grid = box_grid(np.zeros(3), box_mm=120.0, spacing_mm=4.0)
    image = Volume(np.random.default_rng(0).random(grid.shape, dtype=np.float32), grid.affine)
    found = register_pet(image, image)
    assert (found.reason, found.refused) == ("field_too_small", True)
    assert (found.move == np.eye(4)).all()
    note = registration_note(found)
    assert note.code == "registration_refused"
    assert "stays where its headers put it" in note.message
    assert note.values["distance_mm"] is None
    json.dumps(note.values, allow_nan=False)


def test_without_ct_or_pet_there_is_nothing_to_register() -> None:
    grid = box_grid(np.zeros(3), box_mm=40.0, spacing_mm=4.0)
    pet = PetImage(Volume(np.zeros(grid.shape, np.float32), grid.affine))
    study = Study("P", None, pet, ())
    assert register_study(study, []) == (study, None)


def test_nothing_found_is_refused() -> None:
    assert _nothing("search_failed").refused


@pytest.fixture(scope="module")
def chest() -> Chest:
    row = sample_cohort(1, 3).to_dict("records")[0]
    return draw_chest(row | {"uptake_suv": 8.0, "diameter_mm": 18.0, "breathing_mm": 2.0}, 12)


@pytest.fixture(scope="module")
def quick() -> Iterator[None]:
    """Fewer samples, so that a registration takes seconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(searching, "COARSE_SAMPLES", 6_000)
        patch.setattr(searching, "FINE_SAMPLES", 8_000)
        patch.setattr(searching, "STEPS", 60)
        yield


def test_the_same_seed_gives_the_same_bits(chest: Chest, quick: None) -> None:
    pair = compared(chest.ct, moved_volume(chest.pet, rigid((3.0, 2.0, -4.0), 1.0, chest.middle_mm)))
    center = pair.grid.to_patient((np.array([pair.grid.shape]) - 1) / 2)[0]
    threads = sitk.ProcessObject.GetGlobalDefaultNumberOfThreads()
    with searching.one_thread():
        one, same, other = (searching.search(pair, center, (5.0, 0.0, 0.0), seed=n) for n in (3, 3, 4))
    assert one is not None
    assert (one == same).all()
    assert (one != other).any()
    assert sitk.ProcessObject.GetGlobalDefaultNumberOfThreads() == threads


def test_a_known_move_is_undone(chest: Chest, quick: None) -> None:
    known = rigid((6.0, -5.0, 8.0), 2.0, chest.middle_mm)
    moved = moved_volume(chest.pet, known)
    found = register_pet(chest.ct, moved, lesions_mm=chest.lesion_mm[None])
    assert found.reason == "registered"
    left = found.move @ known
    points = chest.middle_mm + np.array([[0.0, 0, 0], [80, 0, 0], [0, 60, 0], [0, 0, 70]])
    off = np.linalg.norm(points @ left[:3, :3].T + left[:3, 3] - points, axis=1)
    assert off.max() < 2.0
    assert found.distance_mm > 8.0
    assert found.information_found > found.information


def test_a_pet_in_its_place_stays(chest: Chest, quick: None) -> None:
    found = register_pet(chest.ct, chest.pet)
    assert found.reason == "in_place"
    assert not found.refused
    assert (found.move == np.eye(4)).all()


def test_noise_is_refused(chest: Chest, quick: None) -> None:
    noise = np.random.default_rng(5).gamma(1.0, 0.8, chest.pet.array.shape).astype(np.float32)
    found = register_pet(chest.ct, Volume(noise, chest.pet.affine))
    assert found.refused
    assert (found.move == np.eye(4)).all()


def test_a_moved_pet_is_brought_back_at_ingestion(chest: Chest, quick: None, tmp_path: Path) -> None:
    """SUVmax within the outline on CT: lost by the move, found again by registration, which the cohort tells."""
    known = rigid((9.0, -6.0, 8.0), 1.5, chest.middle_mm)
    mask = Roi("lesion", sphere_mask(chest.lesion_mm, 18.0, chest.ct.grid), "ct")
    outlined = resample(
        Volume(np.pad(mask.mask.array, 1).astype(np.float32), _before(mask.mask)), chest.ct.grid, fill=0.0
    )
    (tmp_path / "labels.csv").write_text("patient_id,label\nA,1\n")

    def run(name: str, pet: Volume, register: str) -> Path:
        folder = tmp_path / f"images-{name}" / "A"
        folder.mkdir(parents=True)
        for stem, image in (("ct", chest.ct), ("pet", pet), ("lesion", outlined)):
            write_nifti(image, folder / f"{stem}.nii.gz")
        settings = IngestSettings(box=BoxSettings(32.0, 1.0, 4.0), register=register)  # type: ignore[arg-type]
        out = tmp_path / name
        ingest(folder.parent, out, labels_csv=tmp_path / "labels.csv", settings=settings)
        return out

    moved = moved_volume(chest.pet, known)
    right = open_cohort(run("right", chest.pet, "none"))
    lost = open_cohort(run("lost", moved, "none"))
    found = open_cohort(run("found", moved, "rigid"))
    suv = [float(cohort.lesions["suv_max"].iloc[0]) for cohort in (right, lost, found)]
    assert suv[1] < 0.8 * suv[0]
    assert suv[2] == pytest.approx(suv[0], rel=0.05)
    assert found.lesions["qc"].iloc[0].split(";") == ["no_headers", "registered"]
    [told] = found.qc.loc[found.qc["code"] == "registered"].to_dict("records")
    assert "mm at the middle of the CT" in told["message"]
    assert found.manifest["settings"]["register"] == "rigid"
    assert found.manifest["registrations"]["A"]["distance_mm"] > 8.0
    arrays, expected = (cohort.arrays("A-lesion").suv_bw for cohort in (found, right))
    assert arrays is not None
    assert expected is not None
    assert np.corrcoef(arrays.ravel(), expected.ravel())[0, 1] > 0.98


def _before(mask: Volume) -> np.ndarray:
    affine = mask.affine.copy()
    affine[:3, 3] = mask.grid.to_patient(np.full((1, 3), -1.0))[0]
    return affine


def test_a_cohort_without_registration_states_what_it_stated_before() -> None:
    assert "register" not in IngestSettings().stated()
    assert IngestSettings(register="rigid").stated()["register"] == "rigid"


def test_a_refusal_is_told_and_costs_nobody(tmp_path: Path) -> None:
    folder = tmp_path / "images" / "A"
    folder.mkdir(parents=True)
    grid = box_grid(np.zeros(3), box_mm=48.0, spacing_mm=2.0)
    ball = np.zeros(grid.shape, np.float32)
    ball[10:14, 10:14, 10:14] = 1.0
    for stem in ("ct", "pet", "lesion"):
        write_nifti(Volume(ball, grid.affine), folder / f"{stem}.nii.gz")
    labels = tmp_path / "labels.csv"
    labels.write_text("patient_id,label\nA,1\n")
    box = BoxSettings(32.0, 1.0, 4.0)
    for name, register in (("plain", "none"), ("refused", "rigid")):
        settings = IngestSettings(box=box, register=register)  # type: ignore[arg-type]
        ingest(tmp_path / "images", tmp_path / name, labels_csv=labels, settings=settings)
    plain, refused = open_cohort(tmp_path / "plain"), open_cohort(tmp_path / "refused")
    assert refused.lesions["qc"].iloc[0].split(";") == ["no_headers", "registration_refused"]
    assert refused.lesions["array_sha256"].tolist() == plain.lesions["array_sha256"].tolist()
    assert refused.manifest["registrations"]["A"]["reason"] == "field_too_small"
    assert "[field_too_small]" in refused.qc["message"].str.cat()
    assert "registrations" not in plain.manifest
    settings = IngestSettings(box=box, register="rigid")
    with pytest.raises(CohortError) as caught:
        ingest(tmp_path / "images", tmp_path / "plain", labels_csv=labels, settings=settings)
    assert caught.value.code == "cohort_dir_mismatch"
