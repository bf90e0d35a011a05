"""The tables and figures of docs/label-smoothing-and-kd.md, from the folders that its benches left behind.

Accuracies come from the benches. Everything else is measured anew in full precision, as `kdzoo analyze` does, for all seeds.
Differences are paired by seed, with 95 % t intervals. A study that is not there, or not finished, is left out.

    kdzoo bench smoothing/temperature      # and three_levels, class_count, long_tail, hierarchy
    python benchmarks/label_smoothing.py runs --out docs/label_smoothing
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from PIL import Image

import kdzoo
from kdzoo.analysis.drawing import pictures
from kdzoo.benchmark.report.records import Record, Records, read_records
from kdzoo.benchmark.report.statistics import Summary, paired, summarize
from kdzoo.protocol.analysis import Findings
from kdzoo.protocol.figures import REFERENCE, Figure, Line, Look, Mark, Panel, Points

TEMPERATURES = (1, 2, 3, 64)
TEACHERS = ("plain", "smoothed")
ALONE = "student alone"
COLORS = 64
"""Of a picture on the page, which is a third of the size then."""
SUPERCLASSES = "{tops: [0, 2, 4, 6], trousers: [1], dress: [3], shoes: [5, 7, 9], bag: [8]}"
"""Of Fashion-MNIST's classes; kdzoo's own."""
ALIKE = "[0, 6, 9]"
"""T-shirt and shirt, which are alike, and ankle boot, which is not."""

Values = Mapping[int, float]


@dataclass(frozen=True)
class Study:
    """A bench, by row and seed."""

    records: Records

    @cached_property
    def rows(self) -> dict[str, dict[int, Record]]:
        found: dict[str, dict[int, Record]] = {}
        for cell in self.records.done:
            found.setdefault(cell.row, {})[cell.seed] = cell
        return found

    def accuracy(self, row: str) -> Values:
        """Percent on test after the last epoch, by seed."""
        return {seed: cell.values["test"]["last"]["top1"] for seed, cell in self.rows[row].items() if cell.values}

    def training_loss(self, row: str) -> Values:
        """The mean over the last epoch's batches, by seed."""
        logs = {seed: cell.log() for seed, cell in self.rows[row].items()}
        return {seed: [entry["loss"] for entry in log if entry["event"] == "step"][-1] for seed, log in logs.items()}

    @property
    def teachers(self) -> dict[str, Path]:
        """The teachers' run folders, by their recipes' names."""
        folders = [self.records.folder / each["folder"] for each in self.records.plan["teachers"]]
        return {folder.name.rpartition("-")[0]: folder.resolve() for folder in folders}

    def found(self, analysis: str, rows: Sequence[str], *settings: str) -> dict[int, Findings]:
        """An analysis of some rows together, by seed."""
        seeds = set.intersection(*(set(self.rows[row]) for row in rows))
        return {
            seed: analyzed(analysis, [self.rows[row][seed].folder for row in rows], list(rows), *settings)[analysis]
            for seed in sorted(seeds)
        }


@dataclass(frozen=True)
class Intervals:
    """Means with their intervals, at places on the x axis."""

    label: str
    x: Sequence[float]
    summaries: Sequence[Summary]

    @property
    def group(self) -> str:
        return self.label

    def draw(self, axes: Any, look: Look) -> None:
        means = [each.mean or 0.0 for each in self.summaries]
        ends = [each.interval or (mean, mean) for each, mean in zip(self.summaries, means, strict=True)]
        reach = [
            [mean - low for mean, (low, _) in zip(means, ends, strict=True)],
            [h - m for m, (_, h) in zip(means, ends, strict=True)],
        ]
        axes.errorbar(self.x, means, reach, fmt=look.marker, color=look.color, capsize=4, markersize=6, label=self.label)


def analyzed(names: str, folders: Sequence[Path], labels: Sequence[str], *settings: str) -> dict[str, Findings]:
    return kdzoo.analyze(names.split(","), folders, labels=labels, overrides=settings, write=False)


# -- the studies -------------------------------------------------------------------------------------------------------


def temperature(study: Study, out: Path) -> None:
    """Claims 1 and 2: what smoothing of the teacher does to its students, by temperature."""
    lines = []
    for value in TEMPERATURES:
        plain, smoothed = (study.accuracy(f"{kind} at {value}") for kind in TEACHERS)
        losses = [mean_of(study.training_loss(f"{kind} at {value}"), 4) for kind in TEACHERS]
        lines.append([value, mean_of(plain), mean_of(smoothed), difference(paired(smoothed, plain)), *losses])
    heads = (
        "T",
        "accuracy, plain teacher",
        "smoothed teacher",
        "difference",
        "training loss, plain",
        "training loss, smoothed",
    )
    table(f"Students by temperature (without a teacher {mean_of(study.accuracy(ALONE))})", heads, lines)
    folders = [study.teachers["teacher"], study.teachers["teacher_smoothed"]]
    sure = analyzed("confidence", folders, TEACHERS, "split=train")["confidence"].values
    whole = [
        f"{kind} {mean_of(sum_of(study.training_loss(f'{kind} at 1'), sure[kind]['mean_entropy']), 4)}" for kind in TEACHERS
    ]
    print(f"\nTraining loss at T = 1 as cross-entropy, with the entropy of the teacher on training images: {', '.join(whole)}.")
    marks: list[Mark] = []
    for shift, kind in ((-0.08, "plain"), (0.08, "smoothed")):
        by_value = [study.accuracy(f"{kind} at {value}") for value in TEMPERATURES]
        at = [place + shift for place in range(len(TEMPERATURES))]
        marks.append(Intervals(f"{kind} teacher", at, [summarize(list(own.values())) for own in by_value]))
    alone = sum(study.accuracy(ALONE).values()) / len(study.accuracy(ALONE))
    ends = [-0.5, len(TEMPERATURES) - 0.5]
    marks.append(Line("student alone", ends, [alone, alone], dashed=True, markers=False, group=REFERENCE))
    panel = Panel(
        "Students' accuracy on test", "temperature of distillation", "accuracy (%)", marks, list(map(str, TEMPERATURES))
    )
    drawn(Figure("temperature", "Distillation from a plain and from a smoothed teacher", [panel]), out)


def teachers(study: Study, out: Path) -> None:
    """Claim 3 on the teachers, one of each, and the figures that show what smoothing does to a model."""
    folders = [study.teachers["teacher"], study.teachers["teacher_smoothed"]]
    settings = (
        "confidence.classes=[0, 6]",
        f"penultimate.classes={ALIKE}",
        f"class_relation.superclasses={SUPERCLASSES}",
        "class_relation.temperatures=[1, 4, 16]",
    )
    names = "stability,confidence,calibration,penultimate,class_relation"
    found = analyzed(names, folders, [f"{kind} teacher" for kind in TEACHERS], *settings)
    lines = []
    for name in found["stability"].values:
        sure, right, spread = (found[each].values[name] for each in ("confidence", "calibration", "stability"))
        shape = found["penultimate"].values[name]["test"]["ratio"]
        own = (sure["accuracy"] * 100, sure["mean_confidence"], sure["mean_entropy"], right["ece"], right["best_temperature"])
        lines.append([name, *(f"{each:.3g}" for each in (*own, spread["one_minus_stability"], spread["between_class"], shape))])
    heads = (
        "",
        "accuracy",
        "confidence",
        "entropy (nat)",
        "ECE",
        "best T",
        "1 − S",
        "between classes",
        "within / between, features",
    )
    table("The teachers on test", heads, lines)
    contrasts = found["class_relation"].values
    table(
        "Means of class relations within and between superclasses",
        ("", *next(iter(contrasts.values()))["contrast"]),
        [
            [name, *(f"{each['within']:.2f} / {each['between']:.2f}" for each in own["contrast"].values())]
            for name, own in contrasts.items()
        ],
    )
    for analysis in found.values():
        for figure in analysis.figures:
            drawn(figure, out)


def rescaling(study: Study, out: Path) -> None:
    """Claim 4: whether the weight of a sample follows the teacher's confidence."""
    rows = [f"{kind} at 1" for kind in TEACHERS]
    found = study.found("grad_rescale", rows, "temperature=1", "weight=0.5")
    lines = []
    for row in rows:
        by_seed = [each.values[row] for each in found.values()]
        lines.append(
            [
                row,
                *(mean_of(dict(enumerate(own[key] for own in by_seed)), 3) for key in ("spearman", "pearson", "median_weight")),
            ]
        )
    table(
        "Weights of training samples and the teacher's confidence, T = 1, a = 0.5",
        ("", "Spearman", "Pearson", "median w"),
        lines,
    )
    drawn(next(iter(found.values())).figures[0], out)


def diffusion(study: Study, out: Path) -> None:
    """Beside claim 2: whether classes that are alike move together at a high temperature."""
    lines = []
    for kind in TEACHERS:
        rows = [f"{kind} at {value}" for value in TEMPERATURES]
        found = study.found("diffusion", rows)
        index = {row: {seed: each.values[row]["mean_index"] for seed, each in found.items()} for row in rows[1:]}
        lines.append([f"{kind} teacher", *(interval(own, 3) for own in index.values())])
        if kind == "smoothed":
            drawn(next(iter(found.values())).figures[0], out)
    table("Diffusion against T = 1, mean index of the classes", ("", *(f"T = {value}" for value in TEMPERATURES[1:])), lines)


def levels(study: Study, out: Path) -> None:
    """Claim 5: which part of a teacher's answer helps."""
    rows = [row for row in study.rows if row not in ("kd", ALONE)]
    base, alone = study.accuracy("kd"), study.accuracy(ALONE)
    lines = [
        [
            row,
            mean_of(study.accuracy(row)),
            difference(paired(study.accuracy(row), base)),
            difference(paired(study.accuracy(row), alone)),
        ]
        for row in rows
    ]
    lines.insert(0, ["kd", mean_of(base), "–", difference(paired(base, alone))])
    table(
        f"Parts of the teacher's answer, {study.records.plan['name']} (without a teacher {mean_of(alone)})",
        ("row", "accuracy", "against kd", "against the student alone"),
        lines,
    )
    name = study.records.plan["name"]
    drawn(
        differences(
            name, f"What of a teacher's answer helps ({name})", {row: study.accuracy(row) for row in [*rows, ALONE]}, base, "kd"
        ),
        out,
    )


def spread(study: Study, out: Path) -> None:
    """Claim 3 on students, over all seeds."""
    rows = [ALONE, "ls"]
    found = study.found("stability", rows)
    by_row = {row: {seed: each.values[row]["one_minus_stability"] for seed, each in found.items()} for row in rows}
    lines = [[row, mean_of(own, 4)] for row, own in by_row.items()]
    lines.append(["difference", difference(paired(by_row["ls"], by_row[ALONE]), 4)])
    table("1 − S of students on test, trained on labels and on smoothed labels", ("", "1 − S"), lines)


def by_size(study: Study, out: Path) -> None:
    """Claim 6: what smoothing brings by the number of classes, or by the length of the tail."""
    name = study.records.plan["name"]
    points = [row.partition(", ")[2] for row in study.rows if row.startswith("ls")]
    lines = []
    for point in points:
        plain, smoothed = (study.accuracy(f"{row}, {point}") for row in (ALONE, "ls"))
        lines.append([point, mean_of(plain), mean_of(smoothed), difference(paired(smoothed, plain))])
    table(f"Smoothing of a student's labels, {name}", ("", "labels", "smoothed labels", "difference"), lines)


# -- tables and figures ------------------------------------------------------------------------------------------------


def differences(name: str, title: str, rows: Mapping[str, Values], base: Values, called: str) -> Figure:
    """Differences of rows to a baseline, each seed and the mean with its interval."""
    each = {row: [own[seed] - base[seed] for seed in own if seed in base] for row, own in rows.items()}
    places = [(place, value) for place, values in enumerate(each.values()) for value in values]
    marks: list[Mark] = [
        Points("one seed", [place for place, _ in places], [value for _, value in places]),
        Intervals("mean, 95 % interval", range(len(each)), [summarize(values) for values in each.values()]),
        Line(called, [-0.6, len(each) - 0.4], [0, 0], dashed=True, markers=False, group=REFERENCE),
    ]
    return Figure(name, title, [Panel(f"Difference to {called}, paired by seed", "", "accuracy (points)", marks, list(each))])


def sum_of(values: Values, constant: float) -> Values:
    return {seed: value + constant for seed, value in values.items()}


def mean_of(values: Values, digits: int = 2) -> str:
    found = summarize(list(values.values()))
    return f"{found.mean:.{digits}f}" + ("" if found.sd is None else f" ± {found.sd:.{digits}f}")


def difference(found: Summary, digits: int = 2) -> str:
    if found.interval is None:
        return f"{found.mean:+.{digits}f}"
    low, high = found.interval
    return f"{found.mean:+.{digits}f} [{low:+.{digits}f}, {high:+.{digits}f}]"


def interval(values: Values, digits: int) -> str:
    return difference(summarize(list(values.values())), digits)


def table(title: str, heads: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    print(f"\n**{title}**\n")
    for row in (heads, ["---", *["---:"] * (len(heads) - 1)], *rows):
        print("| " + " | ".join(map(str, row)) + " |")


def drawn(figure: Figure, out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    with Image.open(io.BytesIO(pictures(figure)["png"])) as picture:
        picture.convert("RGB").quantize(COLORS).save(out / f"{figure.name}.png", optimize=True)


STUDIES = {
    "temperature": (temperature, teachers, rescaling, diffusion),
    "three_levels": (levels, spread),
    "hierarchy": (levels,),
    "class_count": (by_size,),
    "long_tail": (by_size,),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("runs", type=Path, help="the folder with the benches' folders")
    parser.add_argument("--out", type=Path, default=Path("docs/label_smoothing"), help="of the figures")
    args = parser.parse_args()
    for name, parts in STUDIES.items():
        if not (args.runs / name / "plan.json").is_file():
            print(f"\n{name} is not in {args.runs} and left out.")
            continue
        study = Study(read_records(args.runs / name))
        if len(study.records.done) < len(study.records.cells):
            print(f"\n{name} is not finished and left out.")
            continue
        print(f"\n{name}: {max(map(len, study.rows.values()))} seeds")
        for part in parts:
            part(study, args.out)


if __name__ == "__main__":
    main()
