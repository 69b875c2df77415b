"""The benchmark's page: Markdown tables and one figure, drawn from its results and nothing else."""

from collections.abc import Collection, Mapping
from typing import Any

from matplotlib.figure import Figure

from dgccl.report import markdown, style
from dgccl.report.benchmark_targets import targets

GROUPS = {
    "recommended": "recommended",
    "published": "published method",
    "rival": "rival",
    "single": "one modality",
    "ablation": "published method without a part",
    "part": "recommended without a part",
}
MARKS = ("", "o", "s", "^", "D", "v")
CURVE_NAMES = {"either": "CT or PET missing", "ct": "CT missing", "pet": "PET missing"}


def benchmark_markdown(results: Mapping[str, Any]) -> str:
    """All tables of the benchmark as one Markdown page.

    Args:
        results: content of the benchmark's JSON file.
    """
    labels = {method["name"]: method["label"] for method in results["methods"]}
    parts = [
        _head(results),
        "## What was to be reached\n\n" + targets(results),
        "## All modalities\n\n" + _areas(results, labels, "ct+pet"),
        "## Against the recommended method\n\n" + _comparisons(results, labels, "recommended against rivals"),
        "## With a modality missing\n\n" + _drops(results, labels),
        "## CT alone\n\n" + _areas(results, labels, "ct"),
        "## PET alone\n\n" + _areas(results, labels, "pet"),
        "## Parts of the published method\n\n"
        + _comparisons(results, labels, "parts of the published method"),
        "## Parts of the recommended method\n\n"
        + _comparisons(results, labels, "parts of the recommended method"),
        "## A growing share without a modality\n\n![AUC against the share of lesions that lack a modality]"
        "(phantom-missing.svg)\n\n" + _curves(results, labels),
        "## Does the gate mean what it says?\n\n" + _gates(results, labels),
        "## Costs\n\n" + _costs(results, labels),
        NOTES,
    ]
    return "\n\n".join(parts) + "\n"


NOTES = """## How to read this

- **Upper bound**: AUC of the exact likelihood ratio on the latent truth of the test lesions, which no image shows free
  of blur and noise. PET is granted uptake, size, the share that takes up FDG and the lobes of the outline, since its
  images show something of each (docs/phantom.md): no image can say more.
- **Lower bound**: the recommended network trained on the many lesions named above (one training), on the same test
  lesions. What one network reached can be reached. Where a run left it out its columns are empty;
  `benchmarks/phantom_regret.py` holds every method of such a run against the bound of one that has it
  (`benchmarks/results/phantom_regret.md`).
- **AUC**: share of the pairs of lesions of a seed that are ranked right, over all seeds (seeds weigh by their pairs,
  which are nearly equal in number). Every seed has its own training, validation and test lesions and
  initial weights. Intervals and p: DeLong's covariance stratified by seed, for these trained networks on other lesions.
  *p (seeds)*: paired t test over the seeds, which also counts what training anew would change; a difference of
  methods, not of networks, asks for both.
- **Regret**: bound minus method, on the same lesions. **Excess drop**: what is lost without a modality beyond what the
  bound loses.
- **Poses**: scores are averaged over the poses named; parts were scored in one, upright, to save time, and have a table
  of their own. Their paired tests hold each against its full method in one pose, too.
- **Targets**: regret and drop are held by their estimates, with the interval beside them; "not below" by the lower
  limit.
- The epoch is chosen by the loss of the validation lesions; test lesions are scored once.
- **FLOPs** of a forward pass of one lesion in one pose, a multiplication and an addition being two. *Fusion*:
  attention, gate, compensation and joining.
- Training times were taken while other work ran on the machine; of a training that was stopped and taken up again, only
  the time since counts. Compare them roughly."""


def _head(results: Mapping[str, Any]) -> str:
    meta = results["meta"]
    data = meta["data"]
    ideal, surviving = (
        ", ".join(f"{pattern} {markdown.estimate(entry)}" for pattern, entry in results[bound].items())
        for bound in ("ideal", "surviving")
    )
    left_out = meta["left_out"]
    unbounded = any(method["large"] for method in left_out)
    lower = "the lower bound was not trained" if unbounded else f"{data['large']:,} for the lower bound"
    missing = ", ".join(f"{method['label']} (`{method['name']}`)" for method in left_out)
    return (
        "# Phantom benchmark\n\n"
        f"**PHANTOM** results: they say nothing about patients. Law version {meta['law_version']}, seeds "
        f"{', '.join(map(str, meta['seeds']))}; per seed {data['train']:,} training, {data['validation']:,} validation "
        f"and {data['test']:,} test lesions; {lower}. "
        f"DG-CCL {meta['dgccl_version']}, {meta['machine']}.\n\n"
        f"Command: `{meta['command']}`\n\nIdeal observer on these test lesions, on the latent truth: {ideal}; "
        f"on what blur and noise leave of density and uptake: {surviving}."
        + (
            f"\n\nLeft out of this run, so that nothing here says anything of it: {missing}."
            if missing
            else ""
        )
    )


def _areas(results: Mapping[str, Any], labels: Mapping[str, str], pattern: str) -> str:
    """One table for each number of poses that scores are averaged over: across them areas do not compare."""
    counts = sorted({method["poses"] for method in results["methods"]}, reverse=True)
    parts = []
    for poses in counts:
        names = {method["name"] for method in results["methods"] if method["poses"] == poses}
        if any(row["method"] in names and row["pattern"] == pattern for row in results["rows"]):
            said = (
                f"Mean of {poses} poses:"
                if poses > 1
                else "One pose (compare with the column *upright* above):"
            )
            parts.append((said + "\n\n" if len(counts) > 1 else "") + _rows(results, labels, pattern, names))
    return "\n\n".join(parts)


def _rows(results: Mapping[str, Any], labels: Mapping[str, str], pattern: str, names: Collection[str]) -> str:
    kinds = {m["name"]: ("lower bound" if m["large"] else GROUPS[m["group"]]) for m in results["methods"]}
    poses = {m["name"]: m["poses"] for m in results["methods"]}
    chosen = sorted(
        (row for row in results["rows"] if row["pattern"] == pattern and row["method"] in names),
        key=lambda row: -row["auroc"]["estimate"],
    )
    rows = [
        (
            labels[row["method"]],
            kinds[row["method"]],
            markdown.estimate(row["auroc"]),
            "" if row["seed_sd"] is None else f"{row['seed_sd']:.4f}",
            f"{row['upright']:.4f} / {poses[row['method']]}",
            markdown.contrast(row["regret_upper"]),
            "" if row["regret_lower"] is None else markdown.contrast(row["regret_lower"]),
        )
        for row in chosen
    ]
    headings = ("method", "kind", "AUC (95 %)", "s.d. over seeds", "AUC upright / poses averaged")
    return markdown.table((*headings, "regret, upper bound", "regret, lower bound"), rows)


def _comparisons(results: Mapping[str, Any], labels: Mapping[str, str], family: str) -> str:
    chosen = [test for test in results["comparisons"] if test["family"] == family]
    if not chosen:
        return "Nothing was compared here."
    rows = [
        (
            f"{labels[test['a']]} − {labels[test['b']]}",
            markdown.contrast(test["difference"]),
            markdown.p_value(test["difference"]["p"]),
            markdown.p_value(test["p_holm"]),
            markdown.p_value(test["difference"]["p_seeds"]),
        )
        for test in chosen
    ]
    return markdown.table(("difference in AUC", "estimate (95 %)", "p", "p (Holm)", "p (seeds)"), rows)


def _drops(results: Mapping[str, Any], labels: Mapping[str, str]) -> str:
    def number(value: float | None) -> str:
        return "" if value is None else f"{value:.4f}"

    rows = [
        (
            labels[drop["method"]],
            f"{drop['pattern']} alone",
            markdown.contrast(drop["measured"]),
            number(drop["unavoidable_upper"]),
            markdown.contrast(drop["excess_upper"]),
            number(drop["unavoidable_lower"]),
            "" if drop["excess_lower"] is None else markdown.contrast(drop["excess_lower"]),
        )
        for drop in results["drops"]
    ]
    headings = (
        "method",
        "left",
        "measured drop",
        "unavoidable (upper)",
        "excess (upper)",
        "unavoidable (lower)",
    )
    return markdown.table((*headings, "excess (lower)"), rows)


def _curves(results: Mapping[str, Any], labels: Mapping[str, str]) -> str:
    rows = []
    shares: list[str] = []
    for method, curves in results["curves"].items():
        for missing, points in curves.items():
            shares = [f"{share:.0%}" for share, _ in points]
            rows.append((labels[method], CURVE_NAMES[missing], *(f"{auc:.3f}" for _, auc in points)))
    return markdown.table(("method", "what is missing", *shares), rows)


def _gates(results: Mapping[str, Any], labels: Mapping[str, str]) -> str:
    rows = [
        (
            labels[method],
            name.upper(),
            markdown.estimate(entry["spearman"]),
            markdown.estimate(entry["agreement"]),
            "" if entry["agreement_by_chance"] is None else f"{entry['agreement_by_chance']:.4f}",
        )
        for method, meaning in results["gates"].items()
        for name, entry in list(meaning["by_modality"].items())[-1:]  # of two modalities both say the same
    ]
    if not rows:
        return "No method has a gate."
    headings = ("method", "weight of", "Spearman, weight against Shapley share", "agreement", "by chance")
    return markdown.table(headings, rows)


def _costs(results: Mapping[str, Any], labels: Mapping[str, str]) -> str:
    rows = [
        (
            labels[cost["method"]],
            f"{cost['parameters']:,}",
            f"{cost['flops']:,}",
            *(f"{flops:,}" for flops in cost["flops_by_part"].values()),
            f"{cost['training_s']:.0f} ({cost['device']})",
        )
        for cost in results["costs"]
    ]
    parts = tuple(results["costs"][0]["flops_by_part"])
    return markdown.table(("method", "parameters", "FLOPs", *parts, "training, s"), rows)


def draw_curves(results: Mapping[str, Any]) -> str:
    """The AUC of every compared method as a growing share of the lesions lacks CT or PET, as an SVG element."""
    labels = {method["name"]: method["label"] for method in results["methods"]}
    shown = [m["name"] for m in results["methods"] if m["group"] in ("recommended", "published", "rival")]
    shown = [name for name in shown if name in results["curves"]]
    lines = style.model_lines(shown)
    drawn: dict[style.Line, int] = {}
    markers = {}  # more methods than lines: those that share one are told apart by marks
    for name in shown:
        again = drawn[lines[name]] = drawn.get(lines[name], -1) + 1
        markers[name] = MARKS[again]

    def draw(figure: Figure) -> None:
        panels = figure.subplots(1, len(CURVE_NAMES), sharey=True)
        for axes, (missing, title) in zip(panels, CURVE_NAMES.items(), strict=True):
            for name in shown:
                points = results["curves"][name][missing]
                axes.plot(
                    [100 * share for share, _ in points],
                    [auc for _, auc in points],
                    color=lines[name].color,
                    linestyle=lines[name].dash,
                    marker=markers[name],
                    markersize=4,
                    linewidth=2.2 if name == shown[0] else 1.4,
                    label=labels[name],
                )
            axes.set(title=title, xlabel="Lesions that lack it, %")
            axes.grid(color=style.RULE, linewidth=0.6)
        panels[0].set_ylabel("AUC (phantom)")
        figure.legend(
            *panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize="small"
        )

    label = "AUC against the share of test lesions that lack a modality, for every compared method. Phantom."
    return style.render_svg(draw, width_in=10.0, height_in=4.8, name="benchmark-missing", label=label)
