"""Leak gate: the class cannot be told from site, scanner and the like."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Int64

from dgccl import stats
from dgccl.acceptance.evidence import Evidence, patient_keys
from dgccl.acceptance.gates import METADATA_COLUMNS, LabelNotImplied
from dgccl.acceptance.metadata import class_probabilities, levels_of, metadata_words, one_hot
from dgccl.acceptance.results import Finding, Part, part_of
from dgccl.config import score_columns
from dgccl.errors import CohortError, StatsError
from dgccl.evaluation import areas
from dgccl.evaluation.figure import Figure
from dgccl.folds import patient_classes

ALPHA = 0.05
FOLDS, SEED = 5, 2026
"""The gate's own folds by patient: how many at most, and the seed by which patients are dealt to them."""
SHOWN = 5
"""Values of a column that are told."""


@dataclass(frozen=True, eq=False)
class _Cases:
    """What the classifier learns from and is asked about.

    Attributes:
        rows: lesions of the run: lesion_id, patient_id, y_true, and the gate's own fold.
        labels: class of every lesion of the cohort, by lesion id.
        words: of each column, by lesion id, in the order of `labels`.
    """

    rows: pd.DataFrame
    labels: pd.Series
    words: dict[str, pd.Series]

    @property
    def classes(self) -> int:
        return max(int(self.labels.max()) + 1, 2)

    @property
    def score_columns(self) -> list[str]:
        return list(score_columns(self.classes))


@dataclass(frozen=True)
class _Column:
    """What one column alone says of the class."""

    name: str
    figure: Figure
    p: float
    implied: bool
    single: list[str]


def judge_label_leak(gate: LabelNotImplied, evidence: Evidence) -> Finding:
    """A classifier that sees no image and no measure of a lesion cannot tell its class.

    It learns from the patients of all folds but one and is asked about those of that one, over folds by patient of the
    gate's own (`FOLDS`, dealt class by class by `SEED`), whatever the run's folds are; its AUC is taken within folds,
    by patient. The run's folds would not do: where each is a site, the site and all that goes with it are constant
    within a fold, and no AUC within folds can show that they tell the class, though the networks could learn that from
    the other sites in place of the disease.

    The rule: the estimate is at most `max_auroc`. It is the estimate and no end of the interval, since either end
    would judge the size of the cohort instead of the leak: the lower end lets a small cohort pass on its wide
    interval, whatever it shows, and the upper end fails every small cohort. So a small cohort can fail by bad luck, and
    what it passes is weak evidence; the interval is told, and `max_upper` bounds its upper end for those who want proof
    of absence. There are three more ways to fail:

    - a column alone has an AUC above `max_auroc` that is more than chance (5 %, Holm over the columns): one strong
      column can drown among weak ones;
    - a column implies the class exactly: every value has one class, and at least two values of different classes have
      `min_patients` patients;
    - a column that was asked for by name is not recorded.

    So a run with folds by site fails too where its sites differ much in their share of each class: its AUC does not
    gain by that, but what its networks learned may be the site. An AUC far below one half is no leak: folds with equal
    shares of each class make rare in the test what is common in training. Interval and p take the classifiers and the
    folds as given; those of other training lesions would differ.
    """
    cases = _cases(gate, evidence)
    columns = [_judge_column(name, cases, gate) for name in cases.words]
    p_holm = stats.holm(np.array([column.p for column in columns]))
    parts = [_part(column, float(p), gate) for column, p in zip(columns, p_holm, strict=True)]
    told = [f"{part.name}: {part.reason}" for part in parts if not part.passed]
    try:
        _, joint = _judged(cases, list(cases.words), trees=True)
    except StatsError as error:
        if not told:
            raise
        joint = _undefined(cases)
        told.append(f"all columns together: {error.message}")
    if joint.estimate is not None and joint.estimate > gate.max_auroc:
        told.append(f"all columns together have an AUC above {gate.max_auroc:g}")
    elif gate.max_upper is not None and joint.ci_high is not None and joint.ci_high > gate.max_upper:
        told.append(f"the upper end, {joint.ci_high:.4f}, is above {gate.max_upper:g}")
    passed = not told
    if passed:
        told.append(f"all columns together have an AUC of at most {gate.max_auroc:g}")
        told.append(f"one of up to {joint.ci_high:.4f} is not excluded")
    worst = max(range(len(columns)), key=lambda index: columns[index].figure.estimate or 0.0)
    told.append(f"the strongest column is {columns[worst].name} (p after Holm {p_holm[worst]:.2g})")
    folds = int(cases.rows["fold"].nunique())
    told.append(f"learned and asked over {folds} folds by patient of this gate's own, seed {SEED}")
    details = {
        "columns": list(cases.words),
        "strongest_column": columns[worst].name,
        "p_holm": {column.name: float(p) for column, p in zip(columns, p_holm, strict=True)},
        "values_of_one_class": {column.name: column.single for column in columns if column.single},
        "confidence": areas.CONFIDENCE,
        "folds": folds,
        "folds_by": "patient",
        "folds_seed": SEED,
    }
    return Finding("AUC of metadata", joint, passed, "; ".join(told) + ".", parts, details)


def _cases(gate: LabelNotImplied, evidence: Evidence) -> _Cases:
    cohort, folds = evidence.cohort, evidence.folds
    lesions = cohort.lesions.set_index("lesion_id")
    if not folds["lesion_id"].isin(lesions.index).all():
        raise CohortError("lesions_not_in_cohort", "folds.csv names lesions that are not in the cohort.")
    asked: tuple[str, ...] = gate.columns or METADATA_COLUMNS
    words = {name: metadata_words(cohort, name) for name in asked}
    unrecorded = [name for name, values in words.items() if (values.isin(["", "none"])).all()]
    if unrecorded and (gate.columns is not None or len(unrecorded) == len(words)):
        raise CohortError(
            "not_recorded",
            f"The cohort records {', '.join(unrecorded)} of no lesion: nobody can tell whether it implies the class.",
            remedy="Record it, or leave the column out of this gate.",
        )
    rows = pd.DataFrame({"lesion_id": sorted(set(folds["lesion_id"]))})
    rows = rows.assign(
        patient_id=patient_keys(rows["lesion_id"].map(lesions["patient_id"])),
        y_true=rows["lesion_id"].map(lesions["label"]).to_numpy(np.int64),
    )
    kept = {name: values for name, values in words.items() if name not in unrecorded}
    return _Cases(rows.assign(fold=_own_folds(rows)), lesions["label"], kept)


def _own_folds(rows: pd.DataFrame) -> Int64[np.ndarray, "lesion"]:
    """Fold of every lesion: patients shuffled within their class and dealt out in turn.

    Raises:
        StatsError: `too_few_cases`: a class of one patient, which cannot be both learned from and asked about.
    """
    patients = rows.groupby("y_true")["patient_id"].nunique()
    if len(patients) < 2 or patients.min() < 2:
        raise StatsError(
            "too_few_cases",
            f"{len(patients)} classes, the smallest of {patients.min()} patients: at least two classes of two patients "
            "each are needed to learn from some and ask about others.",
        )
    rng = np.random.default_rng(SEED)
    classes = patient_classes(rows.rename(columns={"y_true": "label"}))
    dealt = [rng.permutation(classes.index[classes == label].to_numpy(str)) for label in sorted(set(classes))]
    order = np.concatenate(dealt)
    fold = pd.Series(np.arange(len(order)) % min(FOLDS, int(patients.min())), index=order)
    return rows["patient_id"].map(fold).to_numpy(np.int64)


def _scored(cases: _Cases, columns: list[str], *, trees: bool) -> pd.DataFrame:
    """Lesions with their probabilities, each by what the other folds taught."""
    labels, ids = cases.labels.to_numpy(np.int64), cases.labels.index
    scores = np.zeros((len(cases.rows), cases.classes))
    for fold, rows in cases.rows.groupby("fold"):
        taught = cases.rows.loc[cases.rows["fold"] != fold, "lesion_id"].tolist()
        learn, test = (ids.get_indexer(pd.Index(names)) for names in (taught, rows["lesion_id"]))
        if len(set(labels[learn].tolist())) < 2:
            raise StatsError("one_class", f"Fold {fold} learns from lesions of one class only.")
        inputs = one_hot([levels_of(cases.words[name], name, learn=taught) for name in columns], learn=taught)
        scores[rows.index] = class_probabilities(
            inputs, labels, learn=learn, test=test, classes=cases.classes, trees=trees
        )
    names = cases.score_columns
    return cases.rows.assign(**dict(zip(names, scores.T[-len(names) :], strict=True)))


def _judged(cases: _Cases, columns: list[str], *, trees: bool) -> tuple[pd.DataFrame, Figure]:
    """Lesions with the probabilities from some columns, and their AUC within folds, by patient.

    Raises:
        StatsError: `one_class`; `not_defined`, in words.
    """
    scored, warnings = _scored(cases, columns, trees=trees), list[str]()
    found = areas.auroc(scored, cases.score_columns, ", ".join(columns), warnings)
    if found.estimate is None:
        raise StatsError("not_defined", " ".join(warnings))
    return scored, found


def _undefined(cases: _Cases) -> Figure:
    return Figure(None, None, None, "not_defined", len(cases.rows))


def _judge_column(name: str, cases: _Cases, gate: LabelNotImplied) -> _Column:
    implied, single = _single_class_levels(cases, name, gate.min_patients)
    try:
        scored, figure = _judged(cases, [name], trees=False)
    except StatsError:  # as in folds of one class each; the gate then stands on what needs no AUC
        return _Column(name, _undefined(cases), 1.0, implied, single)
    return _Column(name, figure, _p_above_chance(scored, cases.score_columns, figure), implied, single)


def _single_class_levels(cases: _Cases, name: str, min_patients: int) -> tuple[bool, list[str]]:
    """Whether the values imply the class exactly, and the values with enough patients that have one class."""
    words = cases.rows["lesion_id"].map(cases.words[name])
    by_value = cases.rows.assign(value=words).groupby("value")
    table = by_value.agg(
        patients=("patient_id", "nunique"), classes=("y_true", "nunique"), label=("y_true", "first")
    )
    large = table.loc[table["patients"] >= min_patients]
    pure = large.loc[large["classes"] == 1]
    implied = bool((table["classes"] == 1).all()) and len(pure) >= 2 and pure["label"].nunique() >= 2
    told = [
        f"{value or 'not recorded'} ({int(row.patients)} patients, class {int(row.label)})"
        for value, row in pure.iterrows()
    ]
    return implied, told


def _p_above_chance(scored: pd.DataFrame, columns: list[str], figure: Figure) -> float:
    """One-sided p that a column's AUC is at most one half, from the paired test against a constant score."""
    values = areas.scores(scored, columns)
    constant = np.full_like(values, 1.0 / max(len(columns), 2))
    compare = stats.delong_paired if len(columns) == 1 else stats.delong_paired_macro
    try:
        found = compare(
            scored["y_true"].to_numpy(),
            values,
            constant,
            patient=scored["patient_id"].to_numpy().astype(str),
            stratum=scored["fold"].to_numpy(),
        )
    except StatsError as error:
        if error.code != "no_variance":
            raise
        # A perfect score has no variance; the score interval of its AUC decides.
        return 0.0 if figure.ci_low is not None and figure.ci_low > 0.5 else 1.0
    return found.p / 2.0 if found.difference > 0 else 1.0 - found.p / 2.0


def _part(column: _Column, p_holm: float, gate: LabelNotImplied) -> Part:
    above = column.figure.estimate is not None and column.figure.estimate > gate.max_auroc
    passed = not column.implied and not (above and p_holm < ALPHA)
    reason = f"p after Holm {p_holm:.2g}"
    if column.implied:
        reason = f"implies the class exactly: {', '.join(column.single[:SHOWN])}"
    elif not passed:
        reason = f"AUC above {gate.max_auroc:g} and more than chance, p after Holm {p_holm:.2g}"
    elif column.single:
        reason += f"; values of one class: {', '.join(column.single[:SHOWN])}"
    return part_of(column.name, column.figure, passed=passed, reason=reason)
