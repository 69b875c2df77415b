"""Gates by group of lesions: a floor in every subgroup, and at every site for networks that never saw it."""

import numpy as np
import pandas as pd

from dgccl.acceptance.evidence import Evidence, patient_keys
from dgccl.acceptance.gates import LeaveOneSiteOut, SubgroupFloor
from dgccl.acceptance.groups import finding_of, judge_groups
from dgccl.acceptance.results import Finding
from dgccl.errors import CohortError, TrainingError
from dgccl.evaluation.lesion_groups import NOT_RECORDED, groups_of, recorded_words


def judge_subgroups(gate: SubgroupFloor, evidence: Evidence) -> Finding:
    """The lower end of the AUC is at least the floor in every subgroup; see `judge_groups` for those too small.

    Lesions without a recorded value are a subgroup of their own. A gate that finds fewer subgroups of recorded values
    than it asks for fails: one subgroup alone compares nothing.
    """
    rows = evidence.with_column(evidence.test_rows, gate.by)
    groups = groups_of(rows[gate.by], edges=gate.edges)
    if [name for name, _ in groups] == [NOT_RECORDED]:
        raise CohortError(
            "not_recorded",
            f"The cohort records {gate.by} of none of the {len(rows)} lesions.",
            remedy="Record it, or leave this gate out.",
        )
    judged = judge_groups(
        rows,
        [(name, rows.loc[chosen]) for name, chosen in groups],
        evidence,
        floor=gate.floor,
        sizes=gate,
    )
    recorded = [part for part in judged.gated if part.name != NOT_RECORDED]
    faults = []
    if len(recorded) < gate.min_subgroups:
        faults.append(
            f"{len(recorded)} subgroups by {gate.by} could be judged, {gate.min_subgroups} are needed"
        )
    return finding_of(judged, gate, what=f"subgroups by {gate.by}", faults=faults)


def judge_leave_one_site_out(gate: LeaveOneSiteOut, evidence: Evidence) -> Finding:
    """The lower end of the AUC of each site's lesions reaches the floor, by networks that never saw the site.

    A fold tests a site so only if none of its training and validation patients has a lesion from there. Lesions
    whose site is not recorded may be from any site: where a network learned from one, nobody can say what it saw.
    """
    rows = evidence.with_column(evidence.test_rows, "site")
    rows = rows.assign(site=recorded_words(rows["site"]))
    seen = _sites_seen(evidence)
    sites = sorted(set(rows["site"]) - {""})
    if len(sites) < 2:
        raise CohortError(
            "one_site",
            f"The test lesions come from {len(sites)} recorded site(s); leaving one out needs 2 or more.",
            remedy="Record the sites, or add data of another site.",
        )
    if any("" in known for known in seen.values()):
        raise CohortError(
            "site_not_recorded",
            "Some lesions that networks learned from have no recorded site: they may be from any.",
            remedy="Record the site of every lesion, or leave those lesions out.",
        )
    honest = np.array([site not in seen[fold] for site, fold in zip(rows["site"], rows["fold"], strict=True)])
    mixed = sorted(set(rows.loc[~honest, "site"]))
    if mixed:
        raise TrainingError(
            "folds_not_by_site",
            f"{int((~honest).sum())} of {len(rows)} test lesions, of {len(mixed)} of {len(sites)} sites, were judged "
            "by networks that had learned from, or were chosen on, lesions of the same site.",
            remedy=f'Train again with fold_by = "site" and folds = {len(sites)} in [training]: each site whole among '
            "the test lesions of one fold, and in no other split of it.",
        )
    judged = judge_groups(
        rows,
        [(site, rows.loc[rows["site"] == site]) for site in sites],
        evidence,
        floor=gate.floor,
        sizes=gate,
    )
    faults = [f"{len(judged.gated)} site could be judged, 2 are needed"] if len(judged.gated) == 1 else []
    return finding_of(judged, gate, what="sites", faults=faults)


def _sites_seen(evidence: Evidence) -> dict[int, set[str]]:
    """By fold, the sites of every lesion of the patients that train or validate; empty words for unrecorded ones."""
    lesions, folds = evidence.cohort.lesions, evidence.folds
    known = pd.DataFrame(
        {
            "lesion_id": lesions["lesion_id"],
            "patient": patient_keys(lesions["patient_id"]),
            "site": recorded_words(lesions["site"]),
        }
    )
    learned = folds.loc[folds["split"] != "test", ["lesion_id", "fold"]].merge(
        known, on="lesion_id", how="left"
    )
    if learned["patient"].isna().any():
        raise CohortError("lesions_not_in_cohort", "folds.csv names lesions that are not in the cohort.")
    theirs = learned[["fold", "patient"]].drop_duplicates().merge(known, on="patient")
    return {fold: set(theirs.loc[theirs["fold"] == fold, "site"]) for fold in folds["fold"].unique().tolist()}
