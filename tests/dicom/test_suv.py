"""SUV factors against four real series, against closed forms, and under changes that must not matter."""

import json
from copy import deepcopy
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import Dataset

from dgccl.dicom.suv import SuvFactors, body_surface_area_m2, lean_body_mass_kg, suv_factors
from dgccl.errors import SuvError

HALF_LIFE_S = 6586.2
IN_ITEM = (
    "RadionuclideTotalDose",
    "RadionuclideHalfLife",
    "RadiopharmaceuticalStartTime",
    "RadiopharmaceuticalStartDateTime",
    "Radiopharmaceutical",
)
VENDORS = ("SIEMENS", "GE_MEDICAL_AND_BQML", "PHILIPS_BQML", "PHILIPS_CNTS_AND_SUV")


def put_philips(header: Dataset, *, suv: str | None = None, activity: str | None = None) -> None:
    block = header.private_block(0x7053, "Philips PET Private Group", create=True)
    for offset, value in ((0x00, suv), (0x09, activity)):
        if value is not None:
            block.add_new(offset, "DS", value)


def from_json(record: dict) -> Dataset:
    """A header of calculate-suv's test data as a data set."""
    header, item = Dataset(), Dataset()
    header.Modality = "PT"
    header.SeriesInstanceUID = "1.2.3"
    for keyword, value in record.items():
        if keyword == "PhilipsPETPrivateGroup":
            if value:
                put_philips(
                    header,
                    suv=value.get("SUVScaleFactor"),
                    activity=value.get("ActivityConcentrationScaleFactor"),
                )
            continue
        setattr(
            item if keyword in IN_ITEM else header,
            keyword,
            value.strip() if isinstance(value, str) else value,
        )
    header.RadiopharmaceuticalInformationSequence = [item]
    return header


def pet(**changes: object) -> Dataset:
    """One slice of a plain FDG series: 370 MBq at 09:00, scan at 10:00, 70 kg, 1.75 m, male."""
    record: dict = {
        "SeriesDate": "20240305",
        "SeriesTime": "100000",
        "AcquisitionDate": "20240305",
        "AcquisitionTime": "100000",
        "FrameReferenceTime": 0,
        "ActualFrameDuration": 120000,
        "DecayCorrection": "START",
        "Units": "BQML",
        "CorrectedImage": ["DECY", "ATTN"],
        "PatientSex": "M",
        "PatientSize": 1.75,
        "PatientWeight": 70.0,
        "RadionuclideTotalDose": 370e6,
        "RadionuclideHalfLife": HALF_LIFE_S,
        "RadiopharmaceuticalStartTime": "090000",
        "Radiopharmaceutical": "Fluorodeoxyglucose",
    } | changes
    return from_json({keyword: value for keyword, value in record.items() if value is not None})


def expected_bw(minutes: float, *, weight_kg: float = 70.0, dose_bq: float = 370e6) -> float:
    return weight_kg * 1000 / (dose_bq * 0.5 ** (minutes * 60 / HALF_LIFE_S))


def code_of(*headers: Dataset) -> str:
    with pytest.raises(SuvError) as caught:
        suv_factors(headers)
    assert caught.value.message
    return caught.value.code


# Real series ---------------------------------------------------------------------------------------------


def real_series(real_data: Path, vendor: str) -> list[Dataset]:
    records = json.loads((real_data / "suv_headers" / f"{vendor}-instances.json").read_text())
    return [from_json(record) for record in records]


@pytest.mark.real
@pytest.mark.parametrize("vendor", VENDORS)
def test_real_vendor_series_reproduce(real_data: Path, vendor: str) -> None:
    expected = json.loads((real_data / "suv_headers" / "expected.json").read_text())
    factors = suv_factors(real_series(real_data, vendor))
    assert factors.suv_bw_factor == pytest.approx(
        expected["suvbw_factor"][vendor], abs=expected["tolerance_abs"], rel=0
    )
    assert factors.uptake_time_min is not None
    assert 45 < factors.uptake_time_min < 150


@pytest.mark.real
def test_lean_body_mass_reproduces(real_data: Path) -> None:
    expected = json.loads((real_data / "suv_headers" / "expected.json").read_text())
    for name, grams in expected["lean_body_mass_g_for_75_kg_1.85_m"].items():
        formula, sex = name.split("_")
        found = lean_body_mass_kg(75.0, 1.85, sex="M" if sex == "male" else "F", formula=formula)
        assert found * 1000 == pytest.approx(grams, rel=1e-12), name


@pytest.mark.real
def test_a_later_series_time_gives_the_same_siemens_factor(real_data: Path) -> None:
    headers = real_series(real_data, "SIEMENS")
    original = suv_factors(headers)
    for header in headers:
        header.Manufacturer = "SIEMENS"
        header.SeriesTime = "183000"
    post_processed = suv_factors(headers)
    # Frame reference times give the start back to 0.1 s, where the first bed alone would be 1.35 s late.
    assert post_processed.suv_bw_factor == pytest.approx(original.suv_bw_factor, rel=2e-5)
    assert "series_time_after_acquisition" in post_processed.warnings


@pytest.mark.real
def test_sts_series_are_suv_already_with_uptake_despite_shifted_dates(real_data: Path) -> None:
    folder = real_data / "sts" / "STS_002" / "PET" / "image"
    headers = [pydicom.dcmread(path, stop_before_pixels=True) for path in sorted(folder.glob("*.dcm"))]
    factors = suv_factors(headers)
    assert factors.suv_bw_factor == 1.0
    assert factors.uptake_time_min == pytest.approx(66 + 59 / 60, abs=0.01)  # 13:51:00 to 14:57:59
    assert factors.warnings == ("injection_date_inconsistent",)  # its DT lies a day after the scan
    assert factors.sul_factor is not None


# Units ---------------------------------------------------------------------------------------------------


def test_start_correction_decays_the_dose_to_the_series_time() -> None:
    factors = suv_factors([pet()])
    assert factors.suv_bw_factor == pytest.approx(expected_bw(60), rel=1e-12)
    assert factors.uptake_time_min == pytest.approx(60)
    assert (factors.series_uid, factors.units, factors.decay_correction) == ("1.2.3", "BQML", "START")
    assert factors.warnings == ()


def test_admin_correction_decays_nothing() -> None:
    factors = suv_factors([pet(DecayCorrection="ADMIN")])
    assert factors.suv_bw_factor == 70e3 / 370e6
    assert factors.uptake_time_min == pytest.approx(60)


def test_uncorrected_single_bed_decays_to_the_mean_count_rate() -> None:
    header = pet(DecayCorrection="NONE", CorrectedImage=["ATTN"], ActualFrameDuration=1_200_000)
    # Counts over the frame are the integral of the decay, so the mean activity fraction is exact.
    rate = 0.6931471805599453 / HALF_LIFE_S
    mean_fraction = (2.718281828459045 ** (-rate * 3600) - 2.718281828459045 ** (-rate * 4800)) / (
        rate * 1200
    )
    assert suv_factors([header]).suv_bw_factor == pytest.approx(70e3 / (370e6 * mean_fraction), rel=1e-9)


def test_uncorrected_multi_bed_series_has_no_one_factor() -> None:
    beds = [
        pet(DecayCorrection="NONE", CorrectedImage=["ATTN"], AcquisitionTime=t) for t in ("100000", "100200")
    ]
    assert code_of(*beds) == "no_decay_correction_multi_bed"


def test_philips_counts_use_the_suv_factor_then_the_activity_factor() -> None:
    header = pet(Units="CNTS")
    put_philips(header, suv="0.0005", activity="2.0")
    assert suv_factors([header]).suv_bw_factor == 0.0005
    for absent in ("0", "0.0", None):
        header = pet(Units="CNTS")
        put_philips(header, suv=absent, activity="2.0")
        assert suv_factors([header]).suv_bw_factor == pytest.approx(2 * expected_bw(60), rel=1e-12)
    header = pet(Units="CNTS")
    put_philips(header, suv="0", activity="0")
    assert code_of(header) == "philips_factors_missing"
    assert code_of(pet(Units="CNTS")) == "philips_factors_missing"


def test_philips_factors_in_bqml_are_not_applied_twice() -> None:
    header = pet()
    put_philips(header, suv="0.0005", activity="2.0")
    assert suv_factors([header]).suv_bw_factor == pytest.approx(expected_bw(60), rel=1e-12)


def test_philips_factors_as_unknown_bytes_and_in_another_block() -> None:
    header = pet(Units="CNTS")
    header.private_block(0x7053, "SOMEBODY ELSE", create=True).add_new(0x00, "DS", "9.0")
    block = header.private_block(0x7053, "Philips PET Private Group", create=True)
    block.add_new(0x00, "UN", b"0.000728 ")
    assert suv_factors([header]).suv_bw_factor == 0.000728


@pytest.mark.parametrize("suv_type", [None, "BW"])
def test_gml_is_body_weight_suv_unless_it_says_otherwise(suv_type: str | None) -> None:
    factors = suv_factors([pet(Units="GML", SUVType=suv_type)])
    assert factors.suv_bw_factor == 1.0
    assert factors.sul_factor == pytest.approx(lean_body_mass_kg(70.0, 1.75, sex="M") / 70)


@pytest.mark.parametrize(
    ("suv_type", "formula"), [("LBM", "james"), ("LBMJAMES128", "james128"), ("LBMJANMA", "janmahasatian")]
)
@pytest.mark.parametrize("sex", ["M", "F"])
def test_sul_is_converted_back_to_body_weight(suv_type: str, formula: str, sex: str) -> None:
    factors = suv_factors([pet(Units="GML", SUVType=suv_type, PatientSex=sex)])
    assert factors.suv_bw_factor == pytest.approx(
        70 / lean_body_mass_kg(70.0, 1.75, sex=sex, formula=formula)
    )
    if formula != "james128":
        same = suv_factors(
            [pet(Units="GML", SUVType=suv_type, PatientSex=sex)], lean_body_mass_formula=formula
        )
        assert same.sul_factor == pytest.approx(1.0)  # the stored values are SUL by that formula


def test_suv_by_surface_and_ideal_weight_are_converted_back() -> None:
    factors = suv_factors([pet(Units="CM2ML", SUVType="BSA")])
    assert factors.suv_bsa_factor == pytest.approx(1.0)
    assert factors.suv_bw_factor == pytest.approx(70e3 / (body_surface_area_m2(70.0, 1.75) * 1e4))
    assert "suv_type_contradicts_units" in suv_factors([pet(Units="GML", SUVType="BSA")]).warnings
    ideal_kg = 48.0 + 1.06 * (175 - 152)
    assert suv_factors([pet(Units="GML", SUVType="IBW")]).suv_bw_factor == pytest.approx(70 / ideal_kg)


@pytest.mark.parametrize(
    "changes", [{"PatientSex": None}, {"PatientSex": "O"}, {"PatientSize": None}, {"PatientSize": 175.0}]
)
def test_sul_that_cannot_be_converted_back_is_refused(changes: dict) -> None:
    assert code_of(pet(Units="GML", SUVType="LBM", **changes)) == "suv_type_not_convertible"


# Body sizes ----------------------------------------------------------------------------------------------


def test_surface_area_of_du_bois_and_its_factor() -> None:
    assert body_surface_area_m2(70.0, 1.75) == pytest.approx(1.8481, abs=1e-4)  # published nomogram: 1.85 m2
    factors = suv_factors([pet()])
    assert factors.suv_bsa_factor == pytest.approx(factors.suv_bw_factor * 18481 / 70e3, rel=1e-4)


def test_james_and_janmahasatian_differ_and_are_selectable() -> None:
    james = suv_factors([pet()], lean_body_mass_formula="james")
    default = suv_factors([pet()])
    for factors, formula in ((james, "james"), (default, "janmahasatian")):
        lean_kg = lean_body_mass_kg(70.0, 1.75, sex="M", formula=formula)
        assert factors.sul_factor == pytest.approx(factors.suv_bw_factor * lean_kg / 70)
    assert james.sul_factor != pytest.approx(default.sul_factor)


def test_james_has_no_answer_in_severe_obesity() -> None:
    with pytest.raises(SuvError, match="Janmahasatian"):
        lean_body_mass_kg(190.0, 1.50, sex="F", formula="james")
    factors = suv_factors(
        [pet(PatientWeight=190.0, PatientSize=1.5, PatientSex="F")], lean_body_mass_formula="james"
    )
    assert factors.sul_factor is None
    assert factors.warnings == ("body_size_not_positive",)


@pytest.mark.parametrize(
    ("changes", "sul", "bsa", "warning"),
    [
        ({"PatientSize": None}, False, False, "height_missing"),
        ({"PatientSize": 0}, False, False, "height_missing"),
        ({"PatientSize": 175.0}, False, False, "height_implausible"),
        ({"PatientSex": None}, False, True, "sex_missing"),
        ({"PatientSex": "O"}, False, True, "sex_neither_m_nor_f"),
        ({"Units": "GML", "PatientWeight": None}, False, False, "weight_missing"),
    ],
)
def test_what_sex_and_height_do_not_allow_is_none_with_its_reason(
    changes: dict, sul: bool, bsa: bool, warning: str
) -> None:
    factors = suv_factors([pet(**changes)])
    assert (factors.sul_factor is not None, factors.suv_bsa_factor is not None) == (sul, bsa)
    assert factors.warnings == (warning,)


# Reference time ------------------------------------------------------------------------------------------


def test_one_factor_for_all_beds() -> None:
    beds = [pet(AcquisitionTime=t, FrameReferenceTime=1000 * s) for t, s in (("100000", 60), ("101500", 960))]
    assert suv_factors(beds).suv_bw_factor == pytest.approx(expected_bw(60), rel=1e-12)
    assert suv_factors(beds[1:]).suv_bw_factor == pytest.approx(expected_bw(60), rel=1e-12)


def test_a_series_time_after_the_scan_gives_way_to_the_earliest_acquisition() -> None:
    beds = [pet(SeriesTime="143000", AcquisitionTime=t) for t in ("100200", "100000")]
    factors = suv_factors(beds)
    assert factors.suv_bw_factor == pytest.approx(expected_bw(60), rel=1e-12)
    assert factors.warnings == ("series_time_after_acquisition",)


def test_ge_frames_give_a_lost_series_time_back() -> None:
    # Only a later bed is left of a post-processed series: its frame reference time counts from 10:00.
    header = pet(
        SeriesTime="143000",
        AcquisitionTime="101500",
        FrameReferenceTime=900_000,
        Manufacturer="GE MEDICAL SYSTEMS",
    )
    assert suv_factors([header]).suv_bw_factor == pytest.approx(expected_bw(60), rel=1e-12)


def test_frame_times_that_disagree_are_not_used() -> None:
    beds = [
        pet(SeriesTime="143000", AcquisitionTime="101500", FrameReferenceTime=ms, Manufacturer="SIEMENS")
        for ms in (1000, 900_000)
    ]
    assert suv_factors(beds).suv_bw_factor == pytest.approx(expected_bw(75), rel=1e-12)


@pytest.mark.parametrize(
    ("group", "creator", "offset"), [(0x0009, "GEMS_PETD_01", 0x0D), (0x0071, "SIEMENS MED PT", 0x22)]
)
def test_the_vendors_own_decay_reference_counts(group: int, creator: str, offset: int) -> None:
    header = pet(SeriesTime="143000", AcquisitionTime="101500")
    header.private_block(group, creator, create=True).add_new(offset, "DT", "20240305100000.00")
    assert suv_factors([header]).suv_bw_factor == pytest.approx(expected_bw(60), rel=1e-12)
    early = pet(SeriesTime="094500", AcquisitionTime="100000")
    early.private_block(group, creator, create=True).add_new(offset, "UN", b"20240305100000 ")
    factors = suv_factors([early])
    assert factors.suv_bw_factor == pytest.approx(expected_bw(60), rel=1e-12)
    assert factors.warnings == ("series_time_differs_from_decay_reference",)


def test_a_private_time_whose_date_was_not_shifted_with_the_others_is_ignored() -> None:
    header = pet()
    header.private_block(0x0009, "GEMS_PETD_01", create=True).add_new(0x0D, "DT", "20191111100500")
    factors = suv_factors([header])
    assert factors.suv_bw_factor == pytest.approx(expected_bw(60), rel=1e-12)
    assert factors.warnings == ("private_decay_reference_ignored",)


# Dates, midnight, zones ----------------------------------------------------------------------------------


@pytest.mark.parametrize("injection", [{}, {"RadiopharmaceuticalStartDateTime": "20240304233000"}])
def test_a_scan_past_midnight(injection: dict) -> None:
    header = pet(
        SeriesTime="003000", AcquisitionTime="003000", RadiopharmaceuticalStartTime="233000", **injection
    )
    factors = suv_factors([header])
    assert factors.suv_bw_factor == pytest.approx(expected_bw(60), rel=1e-12)
    assert factors.warnings == ()


def test_an_acquisition_without_date_past_midnight() -> None:
    beds = [
        pet(
            SeriesTime="235000",
            AcquisitionDate=None,
            AcquisitionTime=t,
            RadiopharmaceuticalStartTime="225000",
        )
        for t in ("235000", "000500")
    ]
    assert suv_factors(beds).suv_bw_factor == pytest.approx(expected_bw(60), rel=1e-12)


def test_a_start_datetime_on_the_wrong_day_is_read_as_a_time_of_day() -> None:
    factors = suv_factors([pet(RadiopharmaceuticalStartDateTime="20240306090000")])
    assert factors.suv_bw_factor == pytest.approx(expected_bw(60), rel=1e-12)
    assert factors.warnings == ("injection_date_inconsistent",)


def test_removed_dates_leave_the_factor() -> None:
    header = pet(SeriesDate=None, AcquisitionDate=None, RadiopharmaceuticalStartDateTime="19000101090000")
    factors = suv_factors([header])
    assert factors.suv_bw_factor == pytest.approx(expected_bw(60), rel=1e-12)
    assert factors.warnings == ("dates_missing",)


def test_offsets_from_utc() -> None:
    utc = {"RadiopharmaceuticalStartTime": None, "RadiopharmaceuticalStartDateTime": "20240305080000+0000"}
    zoned = suv_factors([pet(TimezoneOffsetFromUTC="+0100", **utc)])
    assert zoned.suv_bw_factor == pytest.approx(expected_bw(60), rel=1e-12)
    assert zoned.warnings == ()
    local = suv_factors([pet(RadiopharmaceuticalStartDateTime="20240305080000+0000")])
    assert local.suv_bw_factor == pytest.approx(expected_bw(60), rel=1e-12)  # the plain local time counts
    assert local.warnings == ("time_zone_unknown",)


def test_injection_times_that_disagree_are_refused() -> None:
    assert code_of(pet(RadiopharmaceuticalStartDateTime="20240305083000")) == "injection_times_disagree"
    near = suv_factors([pet(RadiopharmaceuticalStartDateTime="20240305090030")])
    assert near.suv_bw_factor == pytest.approx(expected_bw(59.5), rel=1e-12)


# Refusals ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"Modality": "CT"}, "not_pet"),
        ({"Units": None}, "units_missing"),
        ({"Units": "PROPCPS"}, "unsupported_units"),
        ({"Units": "GML", "SUVType": "XYZ"}, "unsupported_suv_type"),
        ({"Units": "CM2ML", "SUVType": "BW"}, "suv_type_contradictory"),
        ({"PatientWeight": None}, "weight_missing"),
        ({"PatientWeight": 0}, "weight_missing"),
        ({"PatientWeight": 70_000.0}, "weight_implausible"),
        ({"PatientWeight": -70.0}, "weight_implausible"),
        ({"RadionuclideTotalDose": None}, "dose_missing"),
        ({"RadionuclideTotalDose": 0}, "dose_missing"),
        ({"RadionuclideTotalDose": 370}, "dose_implausible"),
        ({"RadionuclideTotalDose": 370e9}, "dose_implausible"),
        ({"RadionuclideHalfLife": None}, "half_life_missing"),
        ({"RadionuclideHalfLife": 0}, "half_life_missing"),
        ({"RadionuclideHalfLife": 109.77}, "half_life_mismatch"),
        ({"RadiopharmaceuticalStartTime": None}, "injection_time_missing"),
        ({"RadiopharmaceuticalStartTime": "103000"}, "injection_after_scan"),
        ({"RadiopharmaceuticalStartDateTime": "20240305103000", "RadiopharmaceuticalStartTime": None},
         "injection_after_scan"),
        ({"RadiopharmaceuticalStartTime": "013000"}, "uptake_time_implausible"),
        ({"RadiopharmaceuticalStartDateTime": "20240305013000", "RadiopharmaceuticalStartTime": None},
         "uptake_time_implausible"),
        ({"SeriesTime": None}, "series_time_missing"),
        ({"AcquisitionTime": None}, "acquisition_time_missing"),
        ({"CorrectedImage": None}, "not_attenuation_corrected"),
        ({"CorrectedImage": ["DECY"]}, "not_attenuation_corrected"),
        ({"CorrectedImage": ["DECY"], "Units": "GML"}, "not_attenuation_corrected"),
        ({"CorrectedImage": "ATTN"}, "not_decay_corrected"),
        ({"CorrectedImage": "ATTN", "DecayCorrection": "NONE", "Units": "GML"}, "not_decay_corrected"),
        ({"DecayCorrection": "NONE"}, "decay_correction_contradictory"),
        ({"DecayCorrection": None}, "decay_correction_unknown"),
        ({"DecayCorrection": "NONE", "CorrectedImage": "ATTN", "ActualFrameDuration": None}, "frame_times_missing"),
    ],
)  # fmt: skip
def test_refused_with_its_code(changes: dict, code: str) -> None:
    assert code_of(pet(**changes)) == code


def test_an_implausible_uptake_time_is_stated() -> None:
    header = pet(RadiopharmaceuticalStartTime="013000")
    with pytest.raises(SuvError) as caught:
        suv_factors([header])
    assert "8.5 h" in caught.value.message


def test_no_headers_and_two_series() -> None:
    assert code_of() == "no_headers"
    other = pet()
    other.SeriesInstanceUID = "1.2.4"
    assert code_of(pet(), other) == "several_series"


def test_two_radiopharmaceuticals_are_refused() -> None:
    header = pet()
    header.RadiopharmaceuticalInformationSequence.append(Dataset())
    assert code_of(header) == "multiple_radiopharmaceuticals"


@pytest.mark.parametrize("keyword", ["SeriesTime", "AcquisitionTime", "RadiopharmaceuticalStartTime"])
def test_a_time_that_is_none_is_refused_without_being_quoted(keyword: str) -> None:
    header = pet()
    holder = header.RadiopharmaceuticalInformationSequence[0] if keyword in IN_ITEM else header
    holder[keyword] = pydicom.DataElement(keyword, "TM", "254500", validation_mode=pydicom.config.IGNORE)
    with pytest.raises(SuvError) as caught:
        suv_factors([header])
    assert caught.value.code == "invalid_time"
    assert "254500" not in str(caught.value)


@pytest.mark.parametrize(
    "changes",
    [
        {"RadionuclideTotalDose": 371e6},
        {"PatientWeight": 71.0},
        {"PatientWeight": None},
        {"Units": "GML"},
        {"RadiopharmaceuticalStartTime": "090100"},
        {"RadionuclideHalfLife": 6588.0},
        {"DecayCorrection": "ADMIN"},
        {"CorrectedImage": ["DECY"]},
        {"SeriesTime": "100001"},
    ],
)
def test_slices_that_differ_are_refused(changes: dict) -> None:
    with pytest.raises(SuvError) as caught:
        suv_factors([pet(), pet(), pet(**changes)])
    assert caught.value.code == "metadata_differ"
    assert next(iter(changes)) in caught.value.message


def test_slices_whose_philips_factors_differ_are_refused() -> None:
    headers = [pet(Units="CNTS"), pet(Units="CNTS")]
    for header, factor in zip(headers, ("0.0005", "0.0006"), strict=True):
        put_philips(header, suv=factor)
    assert code_of(*headers) == "metadata_differ"


def test_another_tracer_is_converted_and_named() -> None:
    factors = suv_factors([pet(Radiopharmaceutical="DOTATATE", RadionuclideHalfLife=4062.6)])
    assert factors.suv_bw_factor == pytest.approx(70e3 / (370e6 * 0.5 ** (3600 / 4062.6)))
    assert factors.warnings == ("tracer_not_fdg", "half_life_not_f18")


# Invariances ---------------------------------------------------------------------------------------------


def scan(
    *, weight_kg: float = 70.0, dose_bq: float = 370e6, uptake_min: int = 60, beds: int = 3, start: datetime
) -> list:
    """A series of several beds with every clock reading derived from one moment."""
    injected = start - timedelta(minutes=uptake_min)
    return [
        pet(
            SeriesDate=f"{start:%Y%m%d}",
            SeriesTime=f"{start:%H%M%S}",
            AcquisitionDate=f"{moment:%Y%m%d}",
            AcquisitionTime=f"{moment:%H%M%S}",
            RadiopharmaceuticalStartTime=f"{injected:%H%M%S}",
            PatientWeight=weight_kg,
            RadionuclideTotalDose=dose_bq,
        )
        for moment in (start + timedelta(minutes=3 * bed) for bed in range(beds))
    ]


NOON = datetime(2024, 2, 28, 12)


@settings(deadline=None, max_examples=40)
@given(weight_kg=st.floats(3, 390), dose_bq=st.floats(2e6, 9e9), uptake=st.integers(0, 400))
def test_linear_in_weight_and_inverse_in_dose(weight_kg: float, dose_bq: float, uptake: int) -> None:
    weight_kg, dose_bq = round(weight_kg, 3), float(round(dose_bq))
    found = suv_factors(scan(weight_kg=weight_kg, dose_bq=dose_bq, uptake_min=uptake, start=NOON))
    assert found.suv_bw_factor == pytest.approx(
        expected_bw(uptake, weight_kg=weight_kg, dose_bq=dose_bq), rel=1e-9
    )
    assert found.uptake_time_min == pytest.approx(uptake)


@settings(deadline=None, max_examples=40)
@given(shift_min=st.integers(-3000, 3000), uptake=st.integers(1, 400))
def test_shifting_every_clock_changes_nothing_even_across_midnight(shift_min: int, uptake: int) -> None:
    still = suv_factors(scan(uptake_min=uptake, start=NOON))
    moved = suv_factors(scan(uptake_min=uptake, start=NOON + timedelta(minutes=shift_min)))
    assert moved == still


@settings(deadline=None, max_examples=20)
@given(order=st.permutations(range(5)), late=st.booleans())
def test_the_order_of_slices_changes_nothing(order: list[int], late: bool) -> None:
    headers = scan(beds=5, start=NOON)
    if late:
        for header in headers:
            header.SeriesTime = "200000"
    assert suv_factors([headers[index] for index in order]) == suv_factors(headers)


@settings(deadline=None, max_examples=20)
@given(uptakes=st.lists(st.integers(0, 400), min_size=3, max_size=3, unique=True).map(sorted))
def test_later_scans_have_larger_factors(uptakes: list[int]) -> None:
    factors = [suv_factors(scan(uptake_min=uptake, start=NOON)).suv_bw_factor for uptake in uptakes]
    assert all(a < b for a, b in pairwise(factors))


def test_headers_are_left_as_they_were() -> None:
    header = pet()
    before = deepcopy(header)
    suv_factors([header])
    assert header == before


# Enhanced PET --------------------------------------------------------------------------------------------


def enhanced(
    *, unit: str = "Bq/ml", slope: float = 2.0, rescale: float | None = 2.0, **changes: object
) -> Dataset:
    """An enhanced PET header with two frames, 370 MBq at 09:00, decay corrected to 10:00."""
    header = pet()
    for keyword in ("Units", "DecayCorrection", "CorrectedImage", "AcquisitionTime", "AcquisitionDate"):
        delattr(header, keyword)
    header.SOPClassUID = "1.2.840.10008.5.1.4.1.1.130"
    header.DecayCorrected = header.AttenuationCorrected = "YES"
    header.DecayCorrectionDateTime = "20240305100000"
    item = header.RadiopharmaceuticalInformationSequence[0]
    item.RadionuclideTotalDose = 370.0  # MBq, PS3.3 C.8.22.4
    del item.RadiopharmaceuticalStartTime
    item.RadiopharmaceuticalStartDateTime = "20240305090000"
    code, mapping, shared = Dataset(), Dataset(), Dataset()
    setattr(code, "CodeValue" if len(unit) <= 16 else "LongCodeValue", unit)
    code.CodingSchemeDesignator, code.CodeMeaning = "UCUM", unit
    mapping.RealWorldValueSlope, mapping.RealWorldValueIntercept = slope, 0.0
    mapping.MeasurementUnitsCodeSequence = [code]
    shared.RealWorldValueMappingSequence = [mapping]
    if rescale is not None:
        transformation = Dataset()
        transformation.RescaleSlope, transformation.RescaleIntercept = rescale, 0
        shared.PixelValueTransformationSequence = [transformation]
    header.SharedFunctionalGroupsSequence = [shared]
    frames = []
    for moment in ("20240305100000", "20240305100300"):
        frame, content = Dataset(), Dataset()
        content.FrameAcquisitionDateTime, content.FrameAcquisitionDuration = moment, 120000.0
        frame.FrameContentSequence = [content]
        frames.append(frame)
    header.PerFrameFunctionalGroupsSequence = frames
    for keyword, value in changes.items():
        setattr(header, keyword, value)
    return header


def test_enhanced_pet_has_its_dose_in_mbq() -> None:
    factors = suv_factors([enhanced()])
    assert factors.suv_bw_factor == pytest.approx(expected_bw(60), rel=1e-12)
    assert factors.uptake_time_min == pytest.approx(60)
    assert factors.warnings == ()


def test_enhanced_pet_maps_rescaled_values() -> None:
    assert suv_factors([enhanced(rescale=0.5)]).suv_bw_factor == pytest.approx(4 * expected_bw(60), rel=1e-12)
    assert suv_factors([enhanced(unit="g/ml{SUVbw}", rescale=None)]).suv_bw_factor == 2.0
    sul = suv_factors(
        [enhanced(unit="{SUVlbm(Janma)}g/ml".replace("{SUVlbm(Janma)}g/ml", "g/ml{SUVlbm(Janma)}"))]
    )
    assert sul.sul_factor == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("header", "code"),
    [
        (enhanced(DecayCorrected="NO"), "no_decay_correction_multi_bed"),
        (enhanced(AttenuationCorrected="NO"), "not_attenuation_corrected"),
        (enhanced(unit="{counts}"), "units_missing"),
    ],
)
def test_enhanced_pet_refusals(header: Dataset, code: str) -> None:
    assert code_of(header) == code


def test_enhanced_pet_mapping_with_an_offset_is_refused() -> None:
    header = enhanced()
    header.SharedFunctionalGroupsSequence[0].RealWorldValueMappingSequence[0].RealWorldValueIntercept = 5.0
    assert code_of(header) == "enhanced_mapping_not_proportional"


def test_factors_are_a_value() -> None:
    assert isinstance(suv_factors([pet()]), SuvFactors)
    assert hash(suv_factors([pet()])) == hash(suv_factors([pet()]))
