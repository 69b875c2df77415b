"""How well the models tell the classes apart: curves, comparisons, calls, folds."""

from dataclasses import replace

from dgccl.report import class_figures, class_tables, figures, probability_figures, style, tables, text
from dgccl.report.published import published_table
from dgccl.report.run_files import RunFiles
from dgccl.report.section import Section
from dgccl.report.sketch import Sketch


def discrimination(run: RunFiles, lines: dict[str, style.Line]) -> Section:
    """Curves of two classes, or of each class against the rest; comparisons, calls and folds of every model.

    Args:
        run: the run.
        lines: how each model is drawn, the published ones among them.
    """
    models = run.judged
    shown = [tables.comparisons(run)] if run.results["delong"] else []
    notes = [] if shown else ["No model was compared with another, since only one was trained."]
    if len(run.models) > 1 and not shown:
        notes = ["No two models could be compared; the warnings in the summary say why."]
    folds = figures.fold_auroc(models, lines, area=text.area_name(len(run.class_names)))
    sketches: list[Sketch]
    if len(run.class_names) == 2:
        sketches = [figures.roc(models, lines)]
        known = {name: models[name]["precision_recall"] for name in lines if models[name]["precision_recall"]}
        if known:
            sketch = probability_figures.precision_recall(known, lines, positive=run.class_names[1])
            said = " Published models: as published." if run.comparators else ""
            sketches.append(replace(sketch, caption=sketch.caption + said))
        else:
            notes.append(
                "The results are of before precision-recall curves were computed; evaluate the run again."
            )
        sketches.append(folds)
        shown += [published_table(run), tables.confusion(run, lines)]
    else:
        primary, classes = run.models[0], style.class_styles(run.class_names)
        sketches = [
            draw(primary, models[primary], classes)
            for draw in (class_figures.roc_by_class, class_figures.confusion)
        ]
        sketches.append(folds)
        notes.append(run.results["published_note"])
        shown = [class_tables.area_by_class(run, lines), *shown]
        shown += [class_tables.rates_by_class(run, lines), class_tables.confusion(run, lines)]
    return Section(
        "results",
        "Discrimination",
        notes=tuple(notes),
        sketches=tuple(sketches),
        tables=(*shown, tables.by_fold(run, lines)),
    )
