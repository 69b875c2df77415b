"""Identity tokens are found and removed, and nothing else is."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import Dataset

from dgccl.dicom.deidentify import age_years, identifiers_of, redact


def patient(**values: object) -> Dataset:
    header = Dataset()
    for keyword, value in values.items():
        setattr(header, keyword, value)
    return header


ANN = patient(PatientName="O'Hara^Ann Marie^^Dr", PatientID="MRN-0042", PatientBirthDate="19520307")


def test_identifiers_are_names_number_and_birth_date() -> None:
    found = identifiers_of(ANN)
    assert {
        "O'Hara",
        "Ann",
        "Marie",
        "MRN-0042",
        "19520307",
        "1952-03-07",
        "07.03.1952",
        "03/07/1952",
    } <= found
    assert "Dr" not in found  # two characters
    assert identifiers_of(Dataset()) == frozenset()
    assert identifiers_of(patient(PatientName="", PatientID=None)) == frozenset()


def test_every_other_name_and_identifier_counts() -> None:
    other = Dataset()
    other.PatientID = "SECOND-7"
    header = patient(
        PatientName="Yamada^Tarou=山田太郎^太郎=やまだ^たろう",
        OtherPatientNames=["Smith^Jo", "Miller-Cole^Joan"],
        OtherPatientIDsSequence=[other],
        AccessionNumber="ACC991",
    )
    assert {
        "Yamada",
        "Tarou",
        "山田太郎",
        "やまだ",
        "Smith",
        "Miller-Cole",
        "Cole",
        "Joan",
        "SECOND-7",
        "ACC991",
    } <= identifiers_of(header)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("scanner of ANN", "scanner of <redacted>"),
        ("/in/o'hara_ann/1.dcm", "/in/<redacted>_<redacted>/1.dcm"),
        ("mrn-0042: no PET", "<redacted>: no PET"),
        ("born 7.3.1952 or 7 Mar 1952", "born <redacted> or <redacted>"),
        ("channel Annex 4 planned", "channel Annex 4 planned"),
        ("MRN-00421", "MRN-00421"),
    ],
)
def test_tokens_are_replaced_as_wholes(text: str, expected: str) -> None:
    assert redact(text, identifiers_of(ANN)) == expected


def test_a_longer_token_goes_before_a_shorter_one_within_it() -> None:
    assert redact("see Anna-Lena", ["Anna", "Anna-Lena"]) == "see <redacted>"


def test_short_and_absent_tokens_change_nothing() -> None:
    assert redact("a to b", ["a", "to", ""]) == "a to b"
    assert redact("a to b", []) == "a to b"


def test_tokens_are_text_and_not_patterns() -> None:
    assert redact("id A.*C or ABC", ["A.*C"]) == "id <redacted> or ABC"


@settings(deadline=None, max_examples=60)
@given(
    before=st.text(max_size=20),
    after=st.text(max_size=20),
    token=st.text(alphabet="abcdefXYZ0123456789", min_size=3, max_size=12),
)
def test_a_token_between_separators_never_survives(before: str, after: str, token: str) -> None:
    cleaned = redact(f"{before} {token} {after}", [token.swapcase()])
    assert f" {token} " not in cleaned
    assert "<redacted>" in cleaned
    assert redact(cleaned, [token]) == cleaned or token.lower() == "redacted"


@pytest.mark.parametrize(
    ("values", "years"),
    [
        ({"PatientAge": "063Y"}, 63.0),
        ({"PatientAge": "018M"}, 1.5),
        ({"PatientAge": "052W"}, 0.9966),
        ({"PatientAge": "010D"}, 0.02738),
        ({"PatientAge": "089Y"}, 89.0),
        ({"PatientAge": "090Y"}, 90.0),
        ({"PatientAge": "104Y"}, 90.0),
        ({"PatientBirthDate": "19600615", "StudyDate": "20200615"}, 60.0),
        ({"PatientAge": "", "PatientBirthDate": "19100101", "StudyDate": "20200615"}, 90.0),
        ({"PatientBirthDate": "20210615", "StudyDate": "20200615"}, None),
        ({"PatientBirthDate": "19600615"}, None),
        ({}, None),
    ],
)
def test_age(values: dict, years: float | None) -> None:
    found = age_years(patient(**values))
    assert found is None if years is None else found == pytest.approx(years, abs=2e-3)
