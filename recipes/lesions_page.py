"""How a lesion study is shown: findings in sentences, a chart for each experiment, the page."""

import numpy as np

from kerasvision.explain.paths import path_lengths
from kerasvision.files import write_atomically
from kerasvision.recipes.lesion_results import LesionStudy
from kerasvision.report.charts import Chart, Series, draw, save_chart
from kerasvision.report.html import (
    definitions,
    document,
    folded,
    fragment,
    notice,
    percent,
    plural,
    section,
    sentence,
    table,
    tag,
)

PAGE = "report.html"
PAPER = "https://arxiv.org/abs/1605.06431"
LEADS = {
    "each": "One module at a time is replaced by its shortcut; the rest runs as it was trained. Where the "
    "error hardly moves, the network does not depend on that module.",
    "random": "Several random modules are replaced by their shortcuts. An ensemble loses its members one by "
    "one: the error should rise smoothly, not in a jump.",
    "permuted": "Modules of the same shape change places. Kendall's correlation is 1 for the trained order "
    "and falls with every pair that stands the other way round.",
    "lengths": "A network of n modules is a sum over 2 to the n paths. How many of them go through how many "
    "modules is binomial.",
    "gradients": "The gradient of the loss at the first module when it comes back through single random "
    "paths of one length: through the branches of so many modules, by the shortcuts past all others.",
    "effective": "How many paths there are of each length, times the gradient that one of them brings.",
}


def findings(study: LesionStudy) -> list[str]:
    """Return what a study found, in sentences."""
    said = [_each_sentence(study.each)]
    if study.random:
        said.append(_random_sentence(study.random))
    if study.permuted:
        worst = min(study.permuted.permutations, key=lambda row: row.kendall_tau)
        said.append(
            f"In the order farthest from the trained one (Kendall {worst.kendall_tau:.2f}) the error is "
            f"{percent(worst.error)}."
        )
    if study.effective:
        paths = study.effective
        said.append(
            f"{percent(paths.held)} of the gradient comes from paths through {paths.low} to {paths.high} of "
            f"{study.gradients.modules} modules: {percent(paths.paths)} of all paths."
        )
    return said


def _each_sentence(each) -> str:
    quiet = [row.error for row in each.modules if not row.downsampling]
    loud = [row for row in each.modules if row.downsampling]
    kind = "removable layers" if each.modules[0].shortcut == "none" else "modules"
    text = f"Whole, the network has an error of {percent(each.baseline)} on {plural(each.images, 'image')}."
    if quiet:
        text += (
            f" Without one of the {len(quiet)} {kind} that keep the size it is {percent(min(quiet))} to "
            f"{percent(max(quiet))} (median {percent(float(np.median(quiet)))})."
        )
    if loud:
        shown = ", ".join(f"{percent(row.error)} (`{row.name}`)" for row in loud)
        text += f" Without a downsampling one it is {shown}."
    return text


def _random_sentence(random) -> str:
    rows = [random.counts[0], random.counts[len(random.counts) // 2], random.counts[-1]]
    rows = list(dict.fromkeys(rows))
    shown = ", ".join(f"{percent(float(np.mean(row.errors)))} without {row.count}" for row in rows)
    return f"Without several random ones it is {shown}, on average."


def charts(study: LesionStudy) -> dict[str, Chart]:
    """Return a chart for each experiment there is, by name."""
    made = {"each": _each_chart(study.each)}
    if study.random:
        made["random"] = _random_chart(study.random)
    if study.permuted:
        made["permuted"] = _permuted_chart(study.permuted)
    if study.gradients:
        made["lengths"] = _lengths_chart(study.gradients.modules)
        made["gradients"] = _gradients_chart(study.gradients)
        made["effective"] = _effective_chart(study.effective)
    return made


def _each_chart(each) -> Chart:
    groups = ("keeps the size", False, 0), ("makes the maps smaller", True, 1)
    rows = list(enumerate(each.modules, 1))
    series = []
    for label, downsampling, colour in groups:
        these = [(i, row) for i, row in rows if row.downsampling == downsampling]
        if these:
            places, errors = [i for i, _ in these], [row.error for _, row in these]
            hints = [f"{row.name}: {percent(row.error)}, shortcut: {row.shortcut}" for _, row in these]
            series.append(Series(label, places, errors, "dots", colour, hints=hints))
    return Chart(
        "Each module deleted",
        series,
        "Module, counted from the input",
        "Error without it",
        as_percent=True,
        level=(each.baseline, "whole network"),
    )


def _random_chart(random) -> Chart:
    counts = [row.count for row in random.counts]
    low, middle, high = np.transpose([np.percentile(row.errors, [0, 50, 100]) for row in random.counts])
    every = [(row.count, error) for row in random.counts for error in row.errors]
    return Chart(
        "Random modules deleted",
        [
            Series("from best to worst", counts, low.tolist(), "band", high=high.tolist()),
            Series("each choice", [x for x, _ in every], [y for _, y in every], "dots", 1),
            Series("median", counts, middle.tolist(), "line"),
        ],
        "Modules deleted",
        "Error",
        as_percent=True,
        level=(random.baseline, "whole network"),
    )


def _permuted_chart(permuted) -> Chart:
    rows = permuted.permutations
    hints = [f"{plural(row.swaps, 'swap')}: {percent(row.error)}" for row in rows]
    return Chart(
        "Modules in another order",
        [Series("", [row.kendall_tau for row in rows], [row.error for row in rows], "dots", hints=hints)],
        "Kendall correlation with the trained order",
        "Error",
        as_percent=True,
        level=(permuted.baseline, "trained order"),
    )


def _lengths_chart(modules: int) -> Chart:
    shares = path_lengths(modules).tolist()
    return Chart(
        "How long the paths are",
        [Series("", range(modules + 1), shares, "bars", hints=_hints(range(modules + 1), shares))],
        "Modules that a path goes through",
        "Share of all paths",
        as_percent=True,
    )


def _gradients_chart(gradients) -> Chart:
    means, deviations = np.array(gradients.means), np.array(gradients.deviations)
    error = deviations / gradients.samples**0.5  # below the mean, as no norm is negative
    low, high = (means - error).tolist(), (means + error).tolist()
    return Chart(
        "Gradient of one path",
        [
            Series("standard error of the mean", gradients.lengths, low, "band", high=high),
            Series("mean", gradients.lengths, gradients.means),
        ],
        "Modules that the path goes through",
        "Norm of the gradient at the first module",
        logarithmic=True,
        level=(gradients.whole, "all paths together"),
    )


def _effective_chart(effective) -> Chart:
    hints = _hints(effective.lengths, effective.shares)
    return Chart(
        "Where the gradient comes from",
        [Series("", effective.lengths, effective.shares, "bars", hints=hints)],
        "Modules that the paths go through",
        "Share of the gradient",
        as_percent=True,
    )


def _hints(lengths, shares) -> list[str]:
    return [f"{length}: {percent(share, 2)}" for length, share in zip(lengths, shares, strict=True)]


def write_page(study: LesionStudy) -> None:
    """Write `report.html`, and each chart as SVG and PNG, into the folder of a study."""
    made = charts(study)
    for name, chart in made.items():
        save_chart(chart, study.folder, f"lesions_{name}")
    with write_atomically(study.folder / PAGE, "w") as file:
        file.write(_page(study, made))


def notebook_view(study: LesionStudy) -> str:
    """Return the study as a fragment for a notebook."""
    made = charts(study)
    parts = [folded(chart.title, draw(chart), open_=name == "each") for name, chart in made.items()]
    return fragment(tag("h1", f"Lesions of {study.results['model']['name']}"), _findings(study), parts)


def _page(study: LesionStudy, made: dict[str, Chart]) -> str:
    title = f"Lesions of {study.results['model']['name']}"
    parts = [section(chart.title, draw(chart), anchor=name, lead=LEADS[name]) for name, chart in made.items()]
    return document(
        title,
        tag("h1", title),
        _findings(study),
        tag("nav", [tag("a", chart.title, href=f"#{name}") for name, chart in made.items()]),
        parts,
        section("All modules", _modules(study.each), anchor="modules"),
        section("What was measured", definitions(_facts(study)), anchor="facts"),
        tag("footer", tag("p", "After Veit, Wilber, Belongie, 2016: ", tag("a", PAPER, href=PAPER))),
    )


def _findings(study: LesionStudy):
    return notice(tag("ul", [tag("li", sentence(text)) for text in findings(study)], class_="advice"))


def _modules(each):
    rows = [
        (row.name, row.shortcut, "yes" if row.downsampling else "", percent(row.error), _change(row, each))
        for row in each.modules
    ]
    header = ("Module", "Shortcut", "Makes the maps smaller", "Error without it", "Change")
    return table(header, rows, numeric=(3, 4), scroll=True, caption="Errors without each module")


def _change(row, each) -> str:
    return f"{100 * (row.error - each.baseline):+.1f} points"


def _facts(study: LesionStudy) -> dict[str, str]:
    results = study.results
    arguments, data = results["arguments"], results["data"]
    return {
        "Model": results["model"]["name"],
        "Modules": str(len(study.each.modules)),
        "Images": f"{study.each.images:,} of {data['origin']} ({data['split']})",
        "Random deletions": f"{arguments['repeats']} of each number{_too_many(study)}",
        "Orders": f"{arguments['permutations']} of each number of swaps",
        "Paths": f"{arguments['gradient_samples']} of each length",
        "Seed": str(arguments["seed"]),
        "Begun": results["created"],
    }


def _too_many(study: LesionStudy) -> str:
    modules = len(study.each.modules)
    left_out = [str(count) for count in study.results["arguments"]["counts"] if count > modules]
    return f" ({', '.join(left_out)} left out: there are {plural(modules, 'module')})" if left_out else ""
