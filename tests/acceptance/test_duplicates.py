"""The same image of two patients is found, exactly and nearly; different images of noise are not."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

from dgccl.acceptance import GateResult
from dgccl.acceptance.image_hashes import block_ranks, image_hashes, similar_pairs
from dgccl.lesion import LesionArrays

from .conftest import MakeRun, judged

RULE = "no_duplicate_images"


def counts(found: GateResult) -> dict[str, float]:
    return {part.name.split(":")[0]: part.figure for part in found.parts if part.figure}


def test_different_images_pass(make_run: MakeRun) -> None:
    found = judged(make_run(), RULE)
    assert (found.passed, found.figure, found.method, found.n) == (True, 0, "count", 144)
    assert [part.name.split(":")[0] for part in found.parts] == [
        "stored file",
        "ct",
        "pet",
        "CT nearly the same",
    ]


def test_a_patient_under_two_ids_with_its_label_fails(make_run: MakeRun) -> None:
    """Lesion 1 is a copy of lesion 0, of the same class, in another fold."""

    def copy(arrays: dict) -> None:
        arrays["L001"] = arrays["L000"]

    run = make_run(arrays=copy)
    assert judged(run, "no_patient_in_two_splits").passed  # ids alone do not tell
    found = judged(run, RULE)
    assert (found.passed, found.figure) == (False, 2)
    assert counts(found) == {"stored file": 2, "ct": 2, "pet": 2}
    assert found.details["groups"] == {name: [["L000", "L001"]] for name in ("stored file", "ct", "pet")}
    assert found.details["near_pairs"] == []
    assert "1 of 1 groups stand on both sides of a fold" in found.reason
    assert "0 of the groups hold several classes" in found.reason


def test_one_image_with_another_class_is_told(make_run: MakeRun) -> None:
    def copy(arrays: dict) -> None:
        arrays["L072"] = arrays["L072"] | {"suv_bw": arrays["L000"]["suv_bw"]}

    found = judged(make_run(arrays=copy), RULE)
    assert counts(found) == {"pet": 2}
    # Both are tested in fold 0, and neither has a network that learned from the other.
    assert "0 of 1 groups stand on both sides of a fold" in found.reason
    assert "1 of the groups hold several classes" in found.reason


def test_other_rounding_and_another_outline_do_not_hide_a_pet(make_run: MakeRun) -> None:
    def copy(arrays: dict) -> None:
        rounded = np.round(arrays["L000"]["suv_bw"], 2) + np.float32(1e-4)
        arrays["L001"] = arrays["L001"] | {"suv_bw": rounded, "mask_pet": np.zeros((4, 4, 4), np.uint8)}

    assert counts(judged(make_run(arrays=copy), RULE)) == {"pet": 2}


@pytest.mark.parametrize("change", ["noise", "scale", "clip"])
def test_a_ct_that_was_stored_anew_is_found(make_run: MakeRun, change: str) -> None:
    def copy(arrays: dict) -> None:
        original = arrays["L000"]["ct_hu"].astype(float)
        changes = {
            "noise": original + np.random.default_rng(0).normal(0, 20, original.shape),
            "scale": 1.02 * original + 30,
            "clip": np.clip(original, -890, 90),
        }
        arrays["L001"] = arrays["L001"] | {"ct_hu": changes[change].round().astype(np.int16)}

    run = make_run(arrays=copy)
    found = judged(run, RULE)
    assert counts(found) == {"CT nearly the same": 2}
    (pair,) = found.details["near_pairs"]
    assert pair["lesions"] == ["L000", "L001"]
    assert 0.97 <= pair["correlation"] <= 1.0


def test_lesions_of_one_patient_are_not_compared(make_run: MakeRun) -> None:
    def copy(arrays: dict) -> None:
        arrays["L001"] = arrays["L000"]

    assert judged(make_run(arrays=copy, per_patient=2), RULE).passed


def test_lesions_without_ct_are_compared_by_pet(make_run: MakeRun) -> None:
    def no_ct(lesions: pd.DataFrame) -> None:
        lesions.loc[lesions.index % 8 == 0, "has_ct"] = False

    run = make_run(lesions=no_ct)
    found = judged(run, RULE)
    assert found.passed
    assert found.details["compared_by_ct_ranks"] == 126
    assert "18 without CT" in found.reason


def test_images_without_contrast_are_no_near_copies(make_run: MakeRun) -> None:
    def blank(arrays: dict) -> None:
        for name, value in (("L000", -1000), ("L001", -999)):
            arrays[name] = arrays[name] | {"ct_hu": np.full((8, 8, 8), value, np.int16)}

    assert judged(make_run(arrays=blank), RULE).passed


def test_a_changed_array_cannot_be_judged(make_run: MakeRun) -> None:
    run = make_run()
    (run.parent / "cohort" / "arrays" / "L007.safetensors").write_bytes(b"something else")
    found = judged(run, RULE)
    assert (found.passed, found.assessed) == (False, False)
    assert "[array_changed]" in found.reason


def test_block_ranks_are_those_of_spearman() -> None:
    rng = np.random.default_rng(1)
    first, second = (rng.normal(size=(64, 48, 40)) for _ in range(2))
    second += first

    def means(image: np.ndarray) -> np.ndarray:
        return image.reshape(8, 8, 8, 6, 8, 5).mean(axis=(1, 3, 5)).ravel()

    expected = spearmanr(means(first), means(second)).statistic
    assert float(block_ranks(first) @ block_ranks(second)) == pytest.approx(expected, abs=1e-6)
    # Ranks: offset, scale and any other monotone change of the block means leave them as they are.
    assert block_ranks(3.0 * first - 7.0) == pytest.approx(block_ranks(first), abs=1e-6)


@pytest.mark.parametrize("shape", [(9, 10, 13), (5, 8, 8)])
def test_boxes_of_any_size_have_ranks(shape: tuple[int, ...]) -> None:
    ranks = block_ranks(np.random.default_rng(0).normal(size=shape))
    assert ranks.shape == (512,)
    assert float(ranks @ ranks) == pytest.approx(1.0, abs=1e-5)


def test_pairs_are_found_across_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dgccl.acceptance.image_hashes.ROWS", 4)
    rng = np.random.default_rng(2)
    ranks = np.stack([block_ranks(rng.normal(size=(8, 8, 8))) for _ in range(11)])
    ranks[9], ranks[2] = ranks[1], ranks[3]
    assert [(a, b) for a, b, _ in similar_pairs(ranks, similarity=0.97)] == [(1, 9), (2, 3)]


def test_hashes_see_shape_and_sign_of_zero() -> None:
    zeros = np.zeros((4, 4, 4), np.float32)
    ct = np.zeros((2, 4, 8), np.int16)
    one = image_hashes(LesionArrays(ct, None, zeros, None, {"mr": zeros}))
    other = image_hashes(LesionArrays(ct.reshape(4, 4, 4), None, -zeros, None, {"mr": zeros + 1}))
    assert set(one) == {"ct", "pet", "mr"}
    assert (one["ct"] == other["ct"], one["pet"] == other["pet"], one["mr"] == other["mr"]) == (
        False,
        True,
        False,
    )
