"""The robustness part of the report, from an invented stress test."""

import pandas as pd

from dgccl.report.sketch import drawn
from dgccl.report.stress_section import stress_section, tolerance_words
from dgccl.report.style import model_lines


def figure(value: float | None) -> dict:
    ends = (None, None) if value is None else (value - 0.05, value + 0.05)
    return {"estimate": value, "ci_low": ends[0], "ci_high": ends[1], "method": "delong", "n": 40}


def dial(
    name: str, title: str, unit: str, amounts: list[float], changes: list[float], found: list[dict]
) -> dict:
    steps = [
        {
            "amount": amount, "auroc": figure(0.8 + change), "change": figure(change), "slope": figure(1.0 + change),
            "in_the_large": figure(0.0), "brier": figure(0.2), "gate_weights": {"ct": 0.6, "pet": 0.4},
            "calls_changed": 0.125,
        }
        for amount, change in zip(amounts, changes, strict=True)
    ]  # fmt: skip
    return {
        "dial": name, "title": title, "unit": unit, "meaning": f"What {title} is.", "steps": steps,
        "tolerances": found, "notes": [],
    }  # fmt: skip


def tolerance(
    direction: str, amount: float | None, low: float | None, high: float | None, largest: float
) -> dict:
    return {
        "direction": direction, "amount": amount, "ci_low": low, "ci_high": high, "reached": 0.5, "largest": largest,
        "sure_until": None,
    }  # fmt: skip


SUV = dial(
    "suv_error", "SUV error", "%", [-30.0, 0.0, 30.0], [-0.03, 0.0, 0.01],
    [tolerance("up", None, 25.0, None, 30.0), tolerance("down", -20.0, -10.0, None, -30.0)],
)  # fmt: skip
SHIFT = dial(
    "misregistration", "PET off CT", "mm", [0.0, 5.0, 15.0], [0.0, -0.02, -0.1],
    [tolerance("up", 5.0, 0.72, 9.9, 15.0)],
)  # fmt: skip
STRESS = {
    "meta": {"loss": 0.02, "replicates": 500, "seed": 2026},
    "models": {"dgccl": [SUV, SHIFT]},
    "not_applicable": {"ct_noise": "The run reads no images."},
    "warnings": [
        "These are results on a digital phantom. They say nothing about patients.",
        "Something odd.",
    ],
}


def test_tolerances_in_physical_units() -> None:
    section = stress_section(STRESS, model_lines(["dgccl"]))
    rows = {row[0]: row for row in section.tables[0].rows}
    assert rows["PET off CT"][1] == "5 mm (0.72 to 9.9)"
    assert rows["SUV error, upward"][1] == "more than 30 % (25 to more than 30)"
    # ln(0.8) / ln(2) * 109.77 min
    assert rows["SUV error, downward"][1] == "−20 % (−10 to less than −30); clocks off by −35 min"
    assert rows["PET off CT"][4] == "0.700 (0.650 to 0.750)"
    assert rows["PET off CT"][6] == "12%"
    assert section.notes == ("Something odd.", "CT noise: The run reads no images.")


def test_never_reached_in_any_sample() -> None:
    assert tolerance_words(tolerance("up", None, None, None, 15.0), "mm") == "more than 15 mm"


def test_figures_hold_the_numbers_that_are_drawn() -> None:
    sketches = {sketch.name: sketch for sketch in stress_section(STRESS, model_lines(["dgccl"])).sketches}
    assert list(sketches) == ["stress-dgccl", "stress-calibration-dgccl", "stress-gate-dgccl"]
    data = sketches["stress-dgccl"].data
    assert data.loc[data["dial"] == "misregistration", "estimate"].tolist() == [0.0, -0.02, -0.1]
    pd.testing.assert_series_equal(sketches["stress-gate-dgccl"].data["ct"], pd.Series([0.6] * 6, name="ct"))
    for sketch in sketches.values():
        svg = drawn(sketch).svg
        assert ">SUV error<" in svg
        assert ">PET off CT<" in svg


def test_a_run_without_a_stress_test_says_so() -> None:
    section = stress_section(None, model_lines(["dgccl"]))
    assert section.notes == ("`dgccl stress` was not called on this run.",)
    assert not section.sketches
