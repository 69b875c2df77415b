"""Answers about parts of the lesions: sites, scanners, groups of people, and the gates that a run was held against."""

from collections.abc import Mapping, Sequence
from typing import Any

from dgccl.cohort import Cohort
from dgccl.report import text
from dgccl.report.checklists.said import by_site, joined, primary, simulated, span
from dgccl.report.run_files import RunFiles

OF_PEOPLE = ("sex", "age_years")
CLUSTERS = ("site", "scanner", "manufacturer")
"""Columns of the lesion table that make groups of people, and clusters."""
WORDS = {
    "sex": "patient sex", "age_years": "patient age", "diameter_mm": "lesion diameter", "site": "hospital site",
    "scanner": "scanner model", "manufacturer": "scanner manufacturer",
}  # fmt: skip
"""What columns are called in a list; a column that is not here goes by its own name."""
NEVER_SEEN = "Each test fold is one whole site of this cohort, which its network never saw."


def other_sites(run: RunFiles, cohort: Cohort) -> str | None:
    """Test on sites that the network has not seen; None of a run within sites."""
    return NEVER_SEEN if by_site(run) else None


def clusters(run: RunFiles, cohort: Cohort) -> str | None:
    """AUC by site where folds are sites, and by what else the results hold of clusters."""
    found = joined(
        _by_fold_of_site(run),
        *(_by_cluster(run, column) for column in CLUSTERS if not (by_site(run) and column == "site")),
    )
    return found and joined(found, simulated(run))


def fairness(run: RunFiles, cohort: Cohort) -> str | None:
    """Performance in groups of people, where it was looked at."""
    groups = _groups(run, OF_PEOPLE)
    return joined(_looked_at(run, groups) if groups else "", _subgroup_gates(run))


def in_subgroups(run: RunFiles) -> str:
    """In how many groups the first model was looked at, and the gates on groups."""
    groups = _groups(run, None)
    return joined(_looked_at(run, groups) if groups else "", _subgroup_gates(run)) or ""


def gates(run: RunFiles) -> str:
    """How many gates the run passed, where it was held against any."""
    found = _acceptance(run)
    if not found:
        return ""
    passed = sum(1 for gate in found["gates"] if gate["passed"])
    return f"Gates of `dgccl accept`: {passed} of {len(found['gates'])} passed."


def _area(run: RunFiles) -> str:
    return text.capitalized(text.area_name(len(run.class_names)))


def _groups(run: RunFiles, columns: Sequence[str] | None) -> list[Mapping[str, Any]]:
    """Groups that the evaluation made by some columns, or by all; none in results without them."""
    found = run.results.get("subgroups") or {"groups": []}
    return [group for group in found["groups"] if columns is None or group["column"] in columns]


def _looked_at(run: RunFiles, groups: Sequence[Mapping[str, Any]]) -> str:
    known = sum(not text.is_missing(group["auroc"]["estimate"]) for group in groups)
    name = text.capitalized(primary(run)[0])
    columns = dict.fromkeys(group["column"] for group in groups)
    by = text.listing([WORDS.get(column, column.replace("_", " ")) for column in columns])
    return f"{name} in subgroups by {by}: {known} judged, {len(groups) - known} too small."


def _by_cluster(run: RunFiles, column: str) -> str:
    known = [group["auroc"]["estimate"] for group in _groups(run, (column,))]
    known = [value for value in known if not text.is_missing(value)]
    if not known:
        return ""
    groups = text.count(len(known), "group")
    return f"{_area(run)} of {primary(run)[0]} by {column}: {span(known, digits=3)} in {groups}."


def _by_fold_of_site(run: RunFiles) -> str:
    name, model = primary(run)
    known = [value for value in model["auroc_by_fold"] if not text.is_missing(value)]
    if not by_site(run) or not known:
        return ""
    return f"{NEVER_SEEN} {_area(run)} of {name} by test site: {span(known, digits=3)}."


def _acceptance(run: RunFiles) -> Mapping[str, Any] | None:
    """Content of `acceptance.json`, where the run was held against gates."""
    return run.acceptance


def _subgroup_gates(run: RunFiles) -> str:
    found = _acceptance(run)
    judged = [gate for gate in found["gates"] if gate["rule"] == "subgroup_floor"] if found else []
    if not judged:
        return ""
    passed = sum(1 for gate in judged if gate["passed"])
    return f"Gates of `dgccl accept` on subgroups: {passed} of {len(judged)} passed."
