"""Puts text, tables, figures and lesion pictures together into one HTML file."""

from functools import partial
from pathlib import Path
from typing import Any

from dgccl.cohort import Cohort
from dgccl.errors import CohortError
from dgccl.files import write_atomically
from dgccl.report import characteristics, inner_figures, qc, style, tables, text
from dgccl.report.ablation_section import ablation_section
from dgccl.report.checklists import checklist_section
from dgccl.report.clinical_section import clinical_section
from dgccl.report.discrimination import discrimination
from dgccl.report.flow import flow
from dgccl.report.gallery import build_gallery
from dgccl.report.language import Translator, load_catalog
from dgccl.report.language.svg import translated_svg
from dgccl.report.modalities_section import modalities_section
from dgccl.report.run_files import RunFiles, read_run
from dgccl.report.section import Section, render_template
from dgccl.report.sketch import write_sketches
from dgccl.report.stress_section import stress_section
from dgccl.report.subgroup_section import subgroup_section
from dgccl.report.trust_section import trust_section
from dgccl.report.verdict import limitations, verdict


def write_report(run_dir: Path, *, cohort: Cohort, language: str = "en") -> Path:
    """Write RUN_DIR/report.html, one file that needs nothing else, and its figures with their data as files.

    Args:
        run_dir: a run that was trained and evaluated.
        cohort: the cohort that the run was trained on.
        language: of the page, one of `language.LANGUAGES`; one other than English has its own file and folder of
            figures (`report.zh.html`, `figures.zh/`).

    Returns:
        Path of the report.

    Raises:
        TrainingError: a file of the run is absent or damaged.
        CohortError: the cohort is not the one that the run was trained on.
        ConfigError: there is no translation into the language.
    """
    run = read_run(run_dir)
    evaluated = str(run.results["meta"]["cohort_sha256"])
    if cohort.sha256 != evaluated:
        raise CohortError(
            "cohort_changed",
            f"The cohort's hash begins with {cohort.sha256[:12]}; the run was evaluated on {evaluated[:12]}.",
            remedy="Give the cohort folder that the run was trained on, unchanged.",
        )
    ending = "" if language == "en" else f".{language}"
    translator = None if language == "en" else translator_for(run, cohort, language)
    content = page_content(run, cohort=cohort)
    sketches = [sketch for section in content["sections"] for sketch in section.sketches]
    write_sketches(
        run_dir / f"figures{ending}",
        sketches,
        in_language=str if translator is None else partial(translated_svg, translator=translator),
    )
    path = run_dir / f"report{ending}.html"
    write_atomically(path, render_template("report.html.j2", translator=translator, **content))
    return path


def translator_for(run: RunFiles, cohort: Cohort, language: str) -> Translator:
    """The translator of a run's page; names of sites, scanners, classes, models and columns stay as they are."""
    tables = [cohort.lesions[name].astype(str) for name in ("site", "scanner", "manufacturer", "sex")
              if name in cohort.lesions]  # fmt: skip
    names = {value for column in tables for value in column.unique()}
    names |= {*run.models, *run.modalities, *cohort.lesions.columns, str(run.results["meta"]["config_name"])}
    names |= {str(run.run["command"]), cohort.folder.name}
    names |= {str(entry["label"]) for entry in run.results.get("ablations") or ()}
    for column in cohort.manifest.get("settings", {}).get("clinical", ()):
        names |= set(cohort.lesions[column].astype(str).unique())
    known = load_catalog(language).exact
    names |= {name for name in run.class_names if name not in known}
    return Translator(load_catalog(language), verbatim=names)


def render_page(run: RunFiles, *, cohort: Cohort) -> str:
    """The page as HTML text, in English; the same input gives the same text."""
    return render_template("report.html.j2", **page_content(run, cohort=cohort))


def page_content(run: RunFiles, *, cohort: Cohort) -> dict[str, Any]:
    """All that the page shows, in English, as the template names it."""
    lines, classes = style.model_lines(run.models), style.class_styles(run.class_names)
    all_lines = style.model_lines([*run.models, *run.comparators])
    meta = run.results["meta"]
    warnings = [text.with_model_names(warning, list(all_lines)) for warning in run.results["warnings"]]
    return {
        "meta": meta,
        "title": _title(run),
        "classes": classes,
        "kind": meta["data_kind"],
        "size": f"{text.count(meta['n_lesions'], 'lesion')} of {text.count(meta['n_patients'], 'patient')} "
        f"({text.class_counts(meta['n_by_class'])}), {text.count(int(meta['folds']), 'fold')}",
        "bands": [
            f"{meta['data_kind']} data",
            *(band.replace("_", " ") for band in meta["bands"] if band != "phantom"),
        ],
        "band_warnings": warnings[: len(meta["bands"])],  # each band has one, and they come first
        "warnings": warnings[len(meta["bands"]) :],
        "headline": tables.headline(run, all_lines),
        "verdict": verdict(run),
        "sections": [
            _cohort(run, cohort),
            discrimination(run, all_lines),
            subgroup_section(run, lines),
            ablation_section(run, lines),
            trust_section(run, all_lines),
            clinical_section(run),
            modalities_section(run, lines),
            stress_section(run.stress, lines),
            _training(run, lines),
            _gallery(run, cohort),
            _provenance(run, cohort),
            Section("limitations", "Limitations", points=tuple(limitations(run))),
            checklist_section(run, cohort),
        ],
    }


def _title(run: RunFiles) -> str:
    """What was told apart, from what."""
    *first, last = run.class_names
    kinds = (
        f"{', '.join(first)} or {last}" if len(run.class_names) <= 5 else f"{len(run.class_names)} classes"
    )
    return f"DG-CCL on {text.listing([text.modality_name(name) for name in run.modalities])}: {kinds}"


def _training(run: RunFiles, lines: dict[str, style.Line]) -> Section:
    sketches, notes = [], []
    for name, line in lines.items():
        history = run.history.loc[run.history["model"] == name]
        if history.empty:
            notes.append(f"history.csv has no training history of {text.model_words(name)}.")
        else:
            area = text.area_name(len(run.class_names))
            sketches.append(inner_figures.training(name, history, line, area=area))
    return Section("training", "Training", notes=tuple(notes), sketches=tuple(sketches))


def _gallery(run: RunFiles, cohort: Cohort) -> Section:
    primary = run.models[0]
    groups = build_gallery(
        cohort,
        run.test_rows(primary),
        run.results["models"][primary]["threshold_by_fold"],
        modalities=run.modalities,
        classes=style.class_styles(run.class_names),
        windows=_windows(run),
    )
    score = run.class_names[1] if len(run.class_names) == 2 else "the true class"
    lead = f"Test lesions as {text.model_name(primary)} scored them (score: probability of {score})."
    if not cohort.is_table:
        lead += (
            " One axial plane, where the outline (blue) is largest; the patient's left is on the right of the picture. "
            "CT in the lung window, or in the soft-tissue window where the box holds no lung. PET as SUVbw, white to "
            "black."
        )
    if _windows(run):
        lead += " Other images as robust z-scores (0: typical tissue), in the window that the networks see."
    return Section("gallery", "Lesions: surest and worst", lead, groups=tuple(groups))


def _windows(run: RunFiles) -> dict[str, tuple[float, float]]:
    """Windows of the images that have no scale of their own, such as MR."""
    modalities = run.config["modalities"].items()
    return {name: tuple(m["window"]) for name, m in modalities if m["quantity"] == "intensity"}


def _cohort(run: RunFiles, cohort: Cohort) -> Section:
    said, decisions = qc.decisions(cohort)
    outcome = cohort.manifest.get("outcome", "label")
    labels = text.listing([f"{index} is {name}" for index, name in enumerate(run.class_names)])
    said += f" Labels of the column {outcome!r} in the label table: {labels}."
    shown = (
        characteristics.by_class(cohort, run.class_names),
        characteristics.by_fold(run, cohort),
        *decisions,
    )
    sketches = (flow(run, cohort),)
    return Section("cohort", "Cohort and quality control", said, sketches=sketches, tables=shown)


def _provenance(run: RunFiles, cohort: Cohort) -> Section:
    shown = (
        tables.provenance(run, cohort),
        tables.settings("Configuration", run.config),
        tables.settings("Environment", run.environment),
        tables.settings("Cohort manifest", cohort.manifest),
    )
    return Section("provenance", "Provenance", tables=shown)
