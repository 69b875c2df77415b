"""The ablations of a run: what each part of a model is worth on these lesions."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from dgccl.report import score_figures, text
from dgccl.report.run_files import RunFiles
from dgccl.report.section import Section
from dgccl.report.sketch import Sketch
from dgccl.report.style import Line
from dgccl.report.tables import Table

NONE_THERE = (
    "This run has no ablations. Name them in the experiment as tables [ablations.NAME], with label, model and settings "
    "(configs/ablation.toml is an example), and train again into a new folder."
)
LEAD = (
    "Each row is a model with one part left out or changed, trained on the same folds from the same seed. The "
    "difference is the AUC of the full model minus that of the ablation, so that a positive one speaks for the part."
)


def ablation_section(run: RunFiles, lines: Mapping[str, Line]) -> Section:
    """Every ablation beside its full model, or the sentence that there is none.

    Args:
        run: an evaluated run.
        lines: colors of the models, by which the rows are marked.
    """
    found = run.results.get("ablations") or []
    if not found:
        return Section("ablations", "Ablations", notes=(NONE_THERE,))
    sketch = ablation_sketch(run)
    return Section(
        "ablations",
        "Ablations",
        LEAD,
        sketches=() if sketch is None else (sketch,),
        tables=(_table(run, found, lines),),
    )


def ablation_sketch(run: RunFiles) -> Sketch | None:
    """Differences of the full models to their ablations with intervals; None where no test is defined."""
    tests = [
        entry["comparison"] for entry in run.results.get("ablations") or [] if entry["comparison"] is not None
    ]
    if not tests:
        return None
    labels = {entry["name"]: entry["label"] for entry in run.results["ablations"]}
    sketch = score_figures.differences(
        tests,
        percent=f"{100 * run.results['meta']['confidence']:g}%",
        called=lambda name: labels.get(name) or text.model_words(name),
    )
    caption = (
        "Full model minus ablation on the same test lesions, paired DeLong by patient within folds; right of the "
        f"dotted line the full model is better. p after Holm's correction over {text.count(len(tests), 'ablation')}."
    )
    return replace(sketch, name="ablations", caption=caption)


def _table(run: RunFiles, found: Sequence[Mapping[str, Any]], lines: Mapping[str, Line]) -> Table:
    area = text.capitalized(text.area_name(len(run.class_names)))
    patterns = list(dict.fromkeys(name for entry in found for name in entry["patterns"]))
    patterns = patterns if len(patterns) <= 2 else []
    header = (
        "Model, what was changed", "Settings", f"{area}, full model", area, "Difference", "p", "p after Holm",
        *(f"{area}, {text.pattern_name(name, run.modalities)}" for name in patterns),
    )  # fmt: skip
    rows = tuple(
        (
            f"{text.model_name(entry['model'])}, {entry['label']}",
            _settings(entry["settings"]),
            text.estimate(entry["full_auroc"]),
            text.estimate(entry["auroc"]),
            *_tested(entry["comparison"]),
            *(text.estimate(entry["patterns"].get(name)) for name in patterns),
        )
        for entry in found
    )
    swatches = tuple(lines[entry["model"]].color for entry in found)
    return Table("What each part is worth", header, rows, _note(run, found), swatches)


def _settings(settings: Mapping[str, Mapping[str, Any]]) -> str:
    return "; ".join(
        f"{table}.{key} = {value}" for table, keys in settings.items() for key, value in keys.items()
    )


def _tested(test: Mapping[str, Any] | None) -> tuple[str, str, str]:
    if test is None:
        return ("not defined",) * 3
    difference = f"{text.number(test['difference'], signed=True)} ({text.interval(test)})"
    return difference, text.p_value(test["p"]), text.p_value(test["p_holm"])


def _note(run: RunFiles, found: Sequence[Mapping[str, Any]]) -> str:
    tested = [entry["comparison"]["n"] for entry in found if entry["comparison"] is not None]
    counted = f"n = {min(tested)}" if len(set(tested)) == 1 else f"n = {min(tested)} to {max(tested)}"
    said = f", {counted} test lesions" if tested else ""
    kind = " Digital phantom: says nothing about patients." if run.run["data_kind"] == "phantom" else ""
    return (
        f"AUC within folds with DeLong's interval by patient; differences by the paired DeLong test{said}. Holm's "
        f"correction goes over the {text.count(len(tested), 'tested ablation')}, apart from the comparisons between "
        "models. A difference whose interval includes 0 does not show that the part is without effect. One training a "
        f"fold: the interval leaves out what another seed would change.{kind}"
    )
