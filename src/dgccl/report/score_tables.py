"""Tables of several scores on the same cases, as `dgccl compare` shows them: finished text out of its results."""

from collections.abc import Mapping, Sequence
from typing import Any

from dgccl.report import text
from dgccl.report.style import Line
from dgccl.report.tables import Table

RATES = {
    "sensitivity": "Sensitivity",
    "specificity": "Specificity",
    "ppv": "PPV",
    "npv": "NPV",
    "lr_positive": "LR+",
    "lr_negative": "LR\u2212",
    "accuracy": "Accuracy",
    "balanced_accuracy": "Balanced accuracy",
    "f1": "F1",
    "mcc": "MCC",
}

HOW_TO_READ_CALIBRATION = (
    "Slope 1 and 0 in the large are perfect: a slope below 1 says that the probabilities are too extreme, below 0 in "
    "the large that they are too high. The expected calibration error (ECE, ten bins of equal counts) is biased "
    "upwards; it is given with that bias taken off, in parentheses as it is, and what perfect probabilities would have "
    "by chance."
)


def percent(results: Mapping[str, Any]) -> str:
    """Nominal coverage in words: `95%`."""
    return f"{100 * results['meta']['confidence']:g}%"


def headline(results: Mapping[str, Any], lines: Mapping[str, Line]) -> Table:
    """One row a score: the areas with their intervals."""
    rows = [
        (
            name,
            text.estimate(results["auroc"][name]),
            text.estimate(results["auroc_logit"][name]),
            text.estimate(results["auprc"][name]),
        )
        for name in lines
    ]
    methods = text.listing(sorted({text.method_name(area["method"]) for area in results["auroc"].values()}))
    baseline = text.number(next(iter(results["auprc"].values()))["baseline"])
    note = (
        f"{percent(results)} intervals. AUC: {methods}, as R's pROC gives it where cases are independent. The interval "
        "on the logit scale stays within 0 and 1 and is the better one at high AUC or with few cases. AUPRC: average "
        f"precision, {baseline} without skill; its interval takes cases as independent."
    )
    header = ("Score", "AUC", "AUC, interval on the logit scale", "AUPRC")
    return Table(
        "Areas under the curves", header, tuple(rows), note, tuple(line.color for line in lines.values())
    )


def tests(results: Mapping[str, Any], key: str, title: str) -> Table:
    """One row a pair of scores: the difference in AUC and its test."""
    rows = [
        (
            f"{test['a']} {text.MINUS} {test['b']}",
            f"{text.number(test['difference'], signed=True, digits=4)} ({text.interval(test, digits=4)})",
            text.number(test["z"], signed=True),
            *(text.p_value(test[p]) for p in ("p", "p_holm", "p_bh")),
        )
        for test in results[key]
    ]
    header = ("Scores", "Difference in AUC", "z", "p", "p, Holm", "p, Benjamini-Hochberg")
    note = (
        f"Test: {text.method_name(results[key][0]['method'])}, two-sided; both corrections are over the rows of this "
        "table. Holm's guards against any false claim, Benjamini and Hochberg's against too large a share of them."
    )
    return Table(title, header, tuple(rows), note)


def sites(results: Mapping[str, Any], lines: Mapping[str, Line]) -> list[Table]:
    """AUC by site, and within sites beside that of all cases."""
    rows = [
        (
            row["site"],
            f"{row['n_positive']} of {row['n']}",
            *(text.estimate(row["auroc"][name]) for name in lines),
        )
        for row in results["by_site"]
    ]
    header = ("Site", "Class 1", *(f"AUC, {name}" for name in lines))
    shown = [Table("By site", header, tuple(rows), f"{percent(results)} intervals: logit DeLong.")]
    if results["auroc_within_site"]:
        within = [
            (name, text.estimate(results["auroc"][name]), text.estimate(results["auroc_within_site"][name]))
            for name in lines
        ]
        note = (
            "Within sites only cases of one site are compared. Where the AUC of all cases is much higher, part of it "
            "comes from telling sites apart that differ in how often class 1 occurs."
        )
        header = ("Score", "AUC, all", "AUC, within sites")
        shown.append(Table("All cases, and within sites", header, tuple(within), note))
    if results["delong_within_site"]:
        shown.append(tests(results, "delong_within_site", "Paired differences within sites"))
    return shown


def calls(results: Mapping[str, Any]) -> list[Table]:
    """Measures of the calls at the given thresholds, and McNemar's tests."""
    found, prevalence = results["calls"], results["meta"]["prevalence"]
    names = list(found["measures"])
    counts = [
        (
            words,
            *(
                f"{found['measures'][name][right]} of {found['measures'][name][right] + found['measures'][name][wrong]}"
                for name in names
            ),
        )
        for words, right, wrong in (("Class 1 called so", "tp", "fn"), ("Class 0 called so", "tn", "fp"))
    ]
    rates = [
        (words, *(_rate(found["measures"][name][key]) for name in names)) for key, words in RATES.items()
    ]
    header = ("Measure", *(f"{name} \u2265 {found['thresholds'][name]:g}" for name in names))
    note = (
        f"{percent(results)} intervals take cases as independent (proportions: Wilson; ratios: Koopman). The threshold "
        "must come from other cases than these, or every figure here is too good. "
    )
    if prevalence is None:
        note += "Predictive values hold for the share of class 1 in this table."
    else:
        note += (
            f"Predictive values are those expected where {100 * prevalence:g}% of the tested are of class 1."
        )
    shown = [Table("Calls at a threshold", header, (*counts, *rates), note)]
    if found["pairs"]:
        shown.append(_mcnemar(found["pairs"], results))
    return shown


def _rate(entry: Mapping[str, Any] | None) -> str:
    """A measure with its interval; ratios may be infinite."""
    if entry is None:
        return text.NOT_DEFINED
    ends = [
        "\u221e" if value == "infinity" else text.number(value)
        for value in (entry["estimate"], entry["ci_low"], entry["ci_high"])
    ]
    return f"{ends[0]} ({ends[1]} to {ends[2]})"


def _mcnemar(pairs: Sequence[Mapping[str, Any]], results: Mapping[str, Any]) -> Table:
    rows = []
    for pair in pairs:
        for what in ("accuracy", "sensitivity", "specificity"):
            found = pair[what]
            by = found["difference"]
            difference = f"{text.number(by['estimate'], signed=True)} ({text.interval(by)})"
            rows.append(
                (
                    f"{pair['a']} {text.MINUS} {pair['b']}, {what}",
                    difference,
                    f"{found['only_a']} and {found['only_b']}",
                    text.p_value(found["test"]["p"]),
                    text.p_value(found["test"]["mid_p"]),
                )
            )
    header = ("Scores", "Difference", "Right: only first, only second", "p, exact", "mid-p")
    note = (
        "McNemar's test of the cases on which the calls disagree, uncorrected for the number of tests; "
        f"Tango's {percent(results)} intervals."
    )
    return Table("Calls compared", header, tuple(rows), note)


def calibration(results: Mapping[str, Any]) -> Table:
    """One row a score that is a probability: how far it can be believed as such."""
    rows = []
    for name, found in results["probabilities"]["scores"].items():
        logistic, error = found["logistic"], found["error"]
        slope, large = (logistic["slope"], logistic["in_the_large"]) if logistic else (None, None)
        ece = text.NOT_DEFINED
        if error:
            debiased, plain, chance = (
                text.number(error[key]) for key in ("debiased", "plug_in", "if_calibrated")
            )
            ece = f"{debiased} ({plain}; {chance})"
        rows.append((name, text.estimate(found["brier"]), text.estimate(slope), text.estimate(large), ece))
    header = ("Score", "Brier score", "Slope", "In the large, log odds", "ECE (as is; by chance alone)")
    note = (
        f"{percent(results)} intervals. {HOW_TO_READ_CALIBRATION} Chance is simulated, seed "
        f"{results['probabilities']['seed']}."
    )
    return Table("Can the probabilities be believed?", header, tuple(rows), note)
