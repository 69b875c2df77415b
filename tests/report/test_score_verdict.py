"""The verdict of a comparison: few pairs are told one by one, many in a sentence a kind."""

import itertools
from typing import Any

from dgccl.report.score_verdict import verdict


def results(pairs: dict[tuple[str, str], tuple[float, float]], *, low: float = 0.6) -> dict[str, Any]:
    """Tests by pair, each of a difference and a p after Holm; a p of 1 is one of scores of one order."""
    tests = [
        {
            "a": a, "b": b, "difference": difference, "p_holm": p,
            "ci_low": difference - (p < 1.0) * 0.1, "ci_high": difference + (p < 1.0) * 0.1,
        }
        for (a, b), (difference, p) in pairs.items()
    ]  # fmt: skip
    names = dict.fromkeys(name for pair in pairs for name in pair)
    return {
        "meta": {"confidence": 0.95},
        "delong": tests,
        "auroc": {name: {"ci_low": low, "ci_high": 0.9} for name in names},
    }


def plain(found: dict[str, Any]) -> str:
    return " ".join(verdict(found)).replace("\u00a0", " ")


def test_few_pairs_are_named() -> None:
    said = plain(results({("a", "b"): (-0.1, 0.01), ("a", "c"): (0.0, 0.6), ("b", "c"): (0.05, 0.3)}))
    assert "b ranks better than a: 0.100 in AUC, p = 0.010 after Holm." in said
    assert "No difference was shown between a and c; b and c." in said


def test_many_pairs_without_a_difference_are_counted() -> None:
    names = [f"m{index}" for index in range(12)]
    pairs = dict.fromkeys(itertools.combinations(names, 2), (0.01, 0.8))
    said = plain(results(pairs))
    assert "No difference was shown in any of the 66 tested pairs, after Holm." in said
    assert "not evidence that they are equal" in said
    assert len(said) < 300
    pairs["m0", "m1"] = (0.2, 0.001)
    said = plain(results(pairs))
    assert "m0 ranks better than m1" in said
    assert "In the other 65 of the 66 tested pairs no difference was shown" in said


def test_many_pairs_with_a_difference_are_told_by_the_better_score() -> None:
    pairs = {
        ("a", "b"): (0.1, 0.01),
        ("c", "a"): (-0.2, 0.0002),
        ("a", "d"): (0.15, 0.02),
        ("b", "d"): (0.1, 0.03),
    }
    said = verdict(results(pairs))
    assert [sentence.replace("\u00a0", " ") for sentence in said] == [
        "a ranks better than b, c and d: 0.100 to 0.200 in AUC, p \u2264 0.020 after Holm.",
        "b ranks better than d: 0.100 in AUC, p = 0.030 after Holm.",
    ]


def test_scores_of_one_order_are_one_group() -> None:
    pairs = {("a", "b"): (0.0, 1.0), ("c", "d"): (0.0, 1.0), ("b", "c"): (0.0, 1.0), ("x", "y"): (0.0, 1.0)}
    said = verdict(results(pairs))
    assert len(said) == 2
    assert {frozenset(sentence.split(" put")[0].replace(" and ", ", ").split(", ")) for sentence in said} == {
        frozenset("abcd"),
        frozenset("xy"),
    }


def test_scores_that_tell_nothing_share_a_sentence() -> None:
    pairs = {("a", "b"): (0.1, 0.9), ("a", "c"): (0.1, 0.9)}
    assert "a, b and c are not shown to tell the classes apart: their intervals include 0.5." in plain(
        results(pairs, low=0.4)
    )


def test_one_score_is_compared_with_none() -> None:
    alone = {"meta": {"confidence": 0.95}, "delong": [], "auroc": {"a": {"ci_low": 0.6, "ci_high": 0.8}}}
    assert verdict(alone) == ["Every score was looked at alone; nothing was compared."]
