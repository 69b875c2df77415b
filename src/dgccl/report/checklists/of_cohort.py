"""Answers from the cohort: who is in it, who was refused, and how it was divided."""

import numpy as np

from dgccl.cohort import Cohort
from dgccl.report import qc, text
from dgccl.report.checklists.said import by_site, counts, joined, percent, simulated, span
from dgccl.report.flow import flow
from dgccl.report.run_files import RunFiles

ACQUIRED = (
    ("ct_slice_spacing_mm", "CT slice spacing", "mm", 2), ("ct_pixel_spacing_mm", "CT pixel spacing", "mm", 2),
    ("pet_slice_spacing_mm", "PET slice spacing", "mm", 2), ("pet_pixel_spacing_mm", "PET pixel spacing", "mm", 2),
    ("uptake_time_min", "Uptake time", "min", 0),
)  # fmt: skip
"""Columns of the lesion table that tell how images were acquired, with their words, units and decimals."""


def size(run: RunFiles, cohort: Cohort) -> str | None:
    """How many lesions and patients there are, by class."""
    return joined(counts(run), simulated(run))


def data_source(run: RunFiles, cohort: Cohort) -> str | None:
    """What the cohort was made from."""
    manifest = cohort.manifest
    made = "Images, outlines and outcomes were put together by `dgccl ingest`."
    if cohort.is_table:
        rows = text.count(len(cohort.lesions), "row")
        columns = text.count(len(manifest.get("columns", ())), "column")
        made = f"One table of {rows} and {columns}, without images."
    day = str(manifest.get("created", ""))[:10]
    return joined(made, f"The cohort was made on {day}." if day else "", counts(run), simulated(run))


def sites(run: RunFiles, cohort: Cohort) -> str | None:
    """How many sites and scanners are named."""
    named = []
    for column, noun in (("site", "site"), ("scanner", "scanner")):
        n = len(set(cohort.lesions[column]) - {""})
        named += [text.count(n, noun)] if n else []
    return f"Named in the lesion table: {text.listing(named)}." if named else None


def eligibility(run: RunFiles, cohort: Cohort) -> str | None:
    """What ingestion asked of a patient, and how many it refused."""
    refused, _ = qc.decisions(cohort)
    if cohort.is_table:
        return refused
    settings = cohort.manifest.get("settings", {})
    names = [text.modality_name(name) for name in ("ct", "pet", *cohort.other_images)]
    wanted = {
        True: "Patients who lack some of the images were taken.",
        False: f"Every patient had to have {text.listing(names)}.",
    }
    lacking = wanted.get(settings.get("allow_missing_modality", ""), "")
    pattern = settings.get("roi_pattern", "")
    chosen = f"Outlines were taken whose name matches `{pattern}`." if pattern else ""
    needed = "An outline or a point and a row in the label table were needed."
    return joined(needed, lacking, chosen, refused)


def identities(run: RunFiles, cohort: Cohort) -> str | None:
    """What ingestion keeps of identities; of a table nothing is known."""
    if cohort.is_table:
        return None
    return (
        "The cohort keeps arrays without DICOM headers, and patients by the study codes of the label table."
    )


def outcome(run: RunFiles, cohort: Cohort) -> str | None:
    """Which column holds the label, and what the labels are."""
    labels = text.listing([f"{index} is {name}" for index, name in enumerate(run.class_names)])
    column = cohort.manifest.get("outcome", "label")
    return f"Labels of the column {column!r} in the label table: {labels}."


def data_identity(run: RunFiles, cohort: Cohort) -> str | None:
    """The hash by which the data can be known again."""
    return f"SHA-256 of the lesion table: {cohort.sha256}."


def acquisition(run: RunFiles, cohort: Cohort) -> str | None:
    """Spacings, uptake time and scanners, where they are recorded."""
    said = []
    for column, words, unit, digits in ACQUIRED:
        values = cohort.lesions[column].to_numpy(float)
        if np.isfinite(values).any():
            said.append(
                f"{words} over lesions, median [quartiles]: {text.quartiles(values, digits=digits)} {unit}."
            )
    scanners = len(set(cohort.lesions["scanner"]) - {""})
    named = f"Named in the lesion table: {text.count(scanners, 'scanner')}." if scanners else ""
    return joined(*said, named)


def characteristics(run: RunFiles, cohort: Cohort) -> str | None:
    """Age and sex, where they are recorded; the rest stands in the tables of the cohort."""
    lesions = cohort.lesions
    ages = lesions["age_years"].to_numpy(float)
    age = ""
    if np.isfinite(ages).any():
        age = f"Age over lesions, median [quartiles]: {text.quartiles(ages, digits=0)} years."
    known = lesions.loc[lesions["sex"] != "", "sex"].value_counts().sort_index()
    sex = ""
    if len(known):
        sex = f"Lesions by sex: {', '.join(f'{name} {n}' for name, n in known.items())}."
    lacking = len(lesions) - int(known.sum())
    unknown = f"Lesions without a recorded sex: {lacking}." if sex and lacking else ""
    more = "All that is recorded stands by class and by test fold." if age or sex else ""
    return joined(age, sex, unknown, more)


def flow_numbers(run: RunFiles, cohort: Cohort) -> str | None:
    """How many were found, refused, taken and tested, as the diagram counts them."""
    data = flow(run, cohort).data
    steps = data.loc[data["what"].isin(("patients", "lesions"))]
    number = {(row["step"], row["what"]): int(row["n"]) for row in steps.to_dict("records")}
    refused = int(data.loc[data["step"] == "refused", "n"].sum())
    found, taken = (text.count(number[step, "patients"], "patient") for step in ("found", "taken"))
    lesions, tested = (text.count(number[step, "lesions"], "lesion") for step in ("taken", "tested"))
    return joined(
        f"Found {found}, refused {refused}, taken {taken} with {lesions}, tested {tested}.",
        counts(run),
        simulated(run),
    )


def disjoint(run: RunFiles, cohort: Cohort) -> str | None:
    """What keeps training, validation and test apart."""
    site = "Each test fold is one whole site." if by_site(run) else ""
    return joined(site, "All lesions of a patient are in one and the same part of a fold.")


def partition(run: RunFiles, cohort: Cohort) -> str | None:
    """How the folds were made, and how large their parts are."""
    meta, share = run.results["meta"], run.config["training"].get("validation_fraction")
    rule = "each testing one whole site" if by_site(run) else "by patient and stratified by class"
    return joined(
        f"Cross-validation with {text.count(int(meta['folds']), 'fold')}, {rule}, seed {meta['seed']}.",
        f"Of the patients whom a fold does not test, {percent(share)} validate." if share else "",
        _parts(run, cohort),
        "All lesions of a patient are in one and the same part of a fold.",
    )


def numbers_by_part(run: RunFiles, cohort: Cohort) -> str | None:
    """How many lesions train, validate and test."""
    return joined(counts(run), _parts(run, cohort))


def each_tested_once(run: RunFiles, cohort: Cohort) -> str | None:
    """That development and test data are the same lesions in turn, where all of them were tested."""
    if not _all_tested(run, cohort):
        return None
    return "Each lesion is tested in one fold and trains or validates in all others, see the test lesions by fold."


def one_cohort(run: RunFiles, cohort: Cohort) -> str | None:
    """What development and test lesions have in common, and in what they differ."""
    differ = "Within a fold they differ in site." if by_site(run) else ""
    return joined(
        "Development and test lesions are of one cohort, with the same rules, outcome and inputs.", differ
    )


def _all_tested(run: RunFiles, cohort: Cohort) -> bool:
    test = run.predictions.loc[run.predictions["split"] == "test", ["lesion_id", "fold"]].drop_duplicates()
    return len(test) == len(cohort.lesions) and not test["lesion_id"].duplicated().any()


def _parts(run: RunFiles, cohort: Cohort) -> str:
    """Lesions of a fold's parts; empty where some were never scored, so that those who trained cannot be counted."""
    if not _all_tested(run, cohort):
        return ""
    scored = run.predictions[["lesion_id", "fold", "split"]].drop_duplicates()
    by_fold = scored.groupby("fold")["split"].value_counts().unstack(fill_value=0)
    by_fold["train"] = len(cohort.lesions) - by_fold["test"] - by_fold["validation"]
    sizes = [span(by_fold[part].tolist()) for part in ("train", "validation", "test")]
    return f"Lesions of a fold: {sizes[0]} train, {sizes[1]} validate, {sizes[2]} are tested."
