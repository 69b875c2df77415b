"""The table that says whether a missing image would change the answer."""

from collections.abc import Mapping

from dgccl.report import text
from dgccl.report.run_files import RunFiles
from dgccl.report.style import Line
from dgccl.report.tables import Table


def acquisition_table(run: RunFiles, lines: Mapping[str, Line]) -> Table | None:
    """What each modality was expected to add where it is missing, and what it did add; None if nothing is known."""
    rows, swatches = [], []
    for name in lines:
        for entry in run.results["models"][name]["acquisition"]:
            missing = text.modality_name(entry["missing"])
            for acting in entry["acting"]:
                rows.append(
                    (
                        f"{text.model_name(name)}, {missing} missing",
                        f"{100 * acting['threshold']:g}%",
                        text.number(acting["expected_changes"]),
                        text.estimate(acting["observed_changes"]),
                        text.number(acting["expected_benefit"]),
                        text.estimate(acting["observed_benefit"]),
                    )
                )
                swatches.append(lines[name].color)
    if not rows:
        return None
    said = "; ".join(
        f"{text.model_name(name)}, {text.modality_name(entry['missing'])}: {text.number(entry['expected_change'])} "
        f"expected, {text.number(entry['observed_change'])} seen, {text.estimate(entry['within_interval'])} within the "
        f"predicted {100 * entry['interval']:g}% interval"
        for name in lines
        for entry in run.results["models"][name]["acquisition"]
    )
    note = (
        "Expected from each fold's validation lesions, by the model's own answers without and with the image, and held "
        "against its test lesions that have it. Calls that change, as a share of the lesions; net benefit of deciding "
        f"with the image less that of deciding without it. Mean change of the probability: {said}. The interval goes "
        "by conformal ranks: where every patient has one lesion, and lesions are like the validation lesions, it holds "
        "at least its share of them. The outlook of every lesion is in acquisition.csv."
    )
    header = (
        "Model, what is missing",
        "Acting from",
        "Calls changed, expected",
        "Calls changed, seen",
        "Benefit, expected",
        "Benefit, seen",
    )
    return Table("Would the missing image change the answer?", header, tuple(rows), note, tuple(swatches))
