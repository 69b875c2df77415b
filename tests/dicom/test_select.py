import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dgccl.dicom.scan import Rejected, SeriesFiles
from dgccl.dicom.select import select_pair

from . import make


def box(low_z, high_z):
    return (-200.0, -200.0, float(low_z)), (200.0, 200.0, float(high_z))


CT = SeriesFiles(
    patient_id="P1",
    study_uid="1",
    series_uid="1.1",
    modality="CT",
    sop_class_uid=make.CT_CLASS,
    frame_of_reference_uid="9",
    study_date="20200102",
    paths=(),
    planes=100,
    frames=100,
    slice_spacing_mm=1.0,
    box_mm=box(0, 100),
)
PET = replace(
    CT,
    series_uid="1.2",
    modality="PT",
    sop_class_uid=make.PET_CLASS,
    attenuation_corrected=True,
    planes=25,
    frames=25,
    slice_spacing_mm=4.0,
)
OUTLINE = replace(CT, series_uid="1.3", modality="RTSTRUCT", sop_class_uid="x", planes=0, frames=0)


def decided(selection) -> dict[str, tuple[bool, str]]:
    return {d.series_uid: (d.kept, d.code) for d in selection.decisions}


def test_one_pair():
    selection = select_pair([PET, CT])
    assert (selection.ct, selection.pet) == (CT, PET)
    assert decided(selection) == {"1.1": (True, "selected"), "1.2": (True, "selected")}


@pytest.mark.parametrize(
    ("rival", "code"),
    [
        (replace(CT, localizer=True), "localizer"),
        (replace(CT, sop_class_uid="1.2.840.10008.5.1.4.1.1.7"), "wrong_sop_class"),
        (replace(CT, frames=1, planes=1), "single_slice"),
        (replace(CT, defects=(Rejected(Path("x"), "truncated_file", "Ends early."),)), "truncated_file"),
        (replace(CT, frame_of_reference_uid="8", slice_spacing_mm=0.5), "other_frame_of_reference"),
        (replace(CT, study_uid="2", slice_spacing_mm=0.5), "other_study"),
        (replace(CT, study_uid="2", frame_of_reference_uid="8"), "no_matching_partner"),
        (replace(CT, frames=200), "repeated_positions"),
        (replace(CT, box_mm=box(50, 90), slice_spacing_mm=0.5), "does_not_cover"),
        (replace(CT, slice_spacing_mm=5.0), "thicker_slices"),
        (replace(CT, planes=98, frames=98), "fewer_slices"),
        (CT, "higher_uid"),
        (replace(PET, attenuation_corrected=False), "not_attenuation_corrected"),
        (replace(PET, attenuation_corrected=None), "not_attenuation_corrected"),
        (replace(PET, frames=250), "repeated_positions"),
    ],
)
def test_what_is_left_out_and_why(rival, code):
    rival = replace(rival, series_uid="1.9")
    for order in itertools.permutations([CT, PET, rival]):
        selection = select_pair(order)
        assert (selection.ct, selection.pet) == (CT, PET)
        assert decided(selection)["1.9"] == (False, code)


def test_an_outline_decides_before_all_else():
    thick = replace(CT, series_uid="1.9", slice_spacing_mm=5.0)
    outline = replace(OUTLINE, referenced_series_uids=("1.9",))
    selection = select_pair([CT, PET, thick, outline])
    assert selection.ct is thick
    assert decided(selection)["1.1"] == (False, "not_drawn_on")


def test_a_thin_ct_of_the_lesion_beats_a_whole_body_one():
    chest = replace(CT, series_uid="1.9", slice_spacing_mm=0.6, box_mm=box(60, 90))
    assert select_pair([CT, PET, chest]).ct is CT
    assert select_pair([CT, PET, chest], lesions_mm=np.array([[0.0, 0, 75]])).ct is chest
    assert select_pair([CT, PET, chest], lesions_mm=np.array([[0.0, 0, 75], [0, 0, 10]])).ct is CT


def test_reservations_about_what_is_kept():
    uncorrected = replace(PET, attenuation_corrected=False)
    assert decided(select_pair([CT, uncorrected]))["1.2"] == (True, "not_attenuation_corrected")
    elsewhere = replace(PET, frame_of_reference_uid="8")
    assert decided(select_pair([CT, elsewhere]))["1.2"] == (True, "frame_of_reference_differs")


def test_one_modality_or_none():
    assert select_pair([CT]).pet is None
    assert select_pair([PET]).ct is None
    empty = select_pair([OUTLINE])
    assert (empty.ct, empty.pet, empty.decisions) == (None, None, ())


def test_ct_and_pet_of_unrelated_studies_are_not_paired():
    selection = select_pair([CT, replace(PET, study_uid="2", frame_of_reference_uid="8")])
    assert (selection.ct is None) != (selection.pet is None)
    assert sorted(kept for kept, _ in decided(selection).values()) == [False, True]
