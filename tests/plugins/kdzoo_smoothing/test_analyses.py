"""Closed forms and limits of the analyses, what they refuse, and what their figures show."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from kdzoo_smoothing.analyses.by_class import class_means
from kdzoo_smoothing.analyses.calibration import best_temperature, brier, calibration_errors, reliability
from kdzoo_smoothing.analyses.class_relation import contrast, cosine, nearest, pearson
from kdzoo_smoothing.analyses.diffusion import center_distances, diffusion
from kdzoo_smoothing.analyses.grad_rescale import rescaling, spearman
from kdzoo_smoothing.analyses.mi_logit import information
from kdzoo_smoothing.analyses.penultimate import distances, pca_of, plane_of
from kdzoo_smoothing.analyses.stability import VARIANTS, between_class, within_class
from torch import Tensor

from kdzoo.analysis.chosen import chosen
from kdzoo.errors import CapabilityError, RecipeError
from kdzoo.protocol.analysis import Answers, Classifier, Findings, Measured, MeasuredModel
from kdzoo.protocol.figures import Bars, Figure, Heatmap, Histogram, Line, Points, plain

CLASSES = 4


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.double)


def target(samples: int = 40) -> Tensor:
    return torch.arange(samples) % CLASSES


# -- formulas ----------------------------------------------------------------------------------------------------------


def test_predictions_that_depend_on_the_class_alone_are_perfectly_stable() -> None:
    probabilities = drawn(CLASSES, CLASSES).softmax(1)[target()]
    for variant in VARIANTS:
        torch.testing.assert_close(within_class(probabilities, target(), variant), torch.zeros(CLASSES, dtype=torch.double))


def test_instability_is_the_mean_square_minus_the_square_of_the_mean_and_within_bounds() -> None:
    probabilities = drawn(40, CLASSES).softmax(1)
    means = class_means(probabilities, target(), CLASSES)
    squares = class_means(probabilities.square().sum(1), target(), CLASSES)
    spread = within_class(probabilities, target())
    torch.testing.assert_close(spread, squares - means.square().sum(1))
    assert 0 <= spread.mean() <= 1


def test_stability_depends_neither_on_the_order_of_samples_nor_on_their_number() -> None:
    probabilities, order = drawn(40, CLASSES).softmax(1), torch.randperm(40)
    spread = within_class(probabilities, target())
    torch.testing.assert_close(within_class(probabilities[order], target()[order]), spread)
    torch.testing.assert_close(within_class(probabilities.repeat(3, 1), target().repeat(3)), spread)


def test_a_class_without_samples_has_no_spread_and_no_part_in_the_spread_between_classes() -> None:
    probabilities, labels = drawn(40, CLASSES).softmax(1), target() % 3
    assert within_class(probabilities, labels).isnan().tolist() == [False, False, False, True]
    assert between_class(probabilities, labels).isfinite()


def test_the_expected_calibration_error_is_at_most_the_maximum_one_and_0_for_a_calibrated_model() -> None:
    ece, mce = calibration_errors(reliability(drawn(40, CLASSES), target()))
    assert 0 <= ece <= mce <= 1
    sure = 100 * F.one_hot(target(), CLASSES).double()
    assert calibration_errors(reliability(sure, target())) == (0, 0)
    assert brier(sure, target()) == pytest.approx(0)


def test_bins_are_open_below_and_closed_above() -> None:
    logits = torch.tensor([[0.5, 0.25, 0.25]], dtype=torch.double).log()
    assert reliability(logits, torch.tensor([0]), bins=10).samples.tolist() == [0, 0, 0, 0, 1, 0, 0, 0, 0, 0]


def test_the_best_temperature_undoes_a_wrong_scale() -> None:
    logits = 3 * drawn(400, CLASSES)
    labels = torch.multinomial(logits.softmax(1), 1, generator=torch.Generator().manual_seed(0))[:, 0]
    best = best_temperature(logits, labels)
    assert best_temperature(5 * logits, labels) == pytest.approx(5 * best, rel=1e-5)
    assert F.cross_entropy(logits / best, labels) <= F.cross_entropy(logits, labels)


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_weights_are_the_ratio_of_gradients_that_autograd_finds(temperature: float) -> None:
    student, teacher, weight = drawn(8, CLASSES).requires_grad_(), drawn(8, CLASSES, seed=1), 0.7
    labels = target(8)
    soft = -((teacher / temperature).softmax(1) * (student / temperature).log_softmax(1)).sum()
    hard = F.cross_entropy(student, labels, reduction="sum")
    plain, both = (
        torch.autograd.grad(loss, student, retain_graph=True)[0] for loss in (hard, (1 - weight) * hard + weight * soft)
    )
    found = rescaling(student.detach(), teacher, labels, weight=weight, temperature=temperature)
    torch.testing.assert_close(found.grad_ce, plain)
    torch.testing.assert_close(found.grad_kd, both)
    place = labels[:, None]
    torch.testing.assert_close(found.weight, (both.gather(1, place) / plain.gather(1, place))[:, 0])
    others = torch.ones_like(plain).scatter(1, place, 0)
    torch.testing.assert_close(found.weight, (both * others).sum(1) / (plain * others).sum(1))
    torch.testing.assert_close(found.grad_ce.abs().sum(1), 2 * (1 - student.detach().softmax(1).gather(1, place)[:, 0]))


def test_without_a_soft_term_every_weight_is_1() -> None:
    found = rescaling(drawn(8, CLASSES), drawn(8, CLASSES, seed=1), target(8), weight=0.0, temperature=4.0)
    torch.testing.assert_close(found.weight, torch.ones(8, dtype=torch.double))


def test_weights_stay_finite_for_a_sample_that_is_learned_by_heart() -> None:
    student = torch.tensor([[60.0, 0.0, 0.0, 0.0]], dtype=torch.double)
    found = rescaling(student, drawn(1, CLASSES), torch.tensor([0]), weight=0.9, temperature=4.0)
    assert found.weight.isfinite().all()


def test_rank_correlation_sees_any_monotone_relation() -> None:
    a = drawn(30)
    assert spearman(a, a.exp()) == pytest.approx(1)
    assert spearman(a, -a.pow(3)) == pytest.approx(-1)
    assert spearman(torch.tensor([0.0, 0.0, 1.0]), torch.tensor([1.0, 1.0, 3.0])) == pytest.approx(1)


def test_cosines_are_symmetric_with_ones_on_the_diagonal_whatever_the_lengths() -> None:
    weight = drawn(CLASSES, 6)
    found = cosine(weight)
    torch.testing.assert_close(found, found.T)
    torch.testing.assert_close(found.diagonal(), torch.ones(CLASSES, dtype=torch.double))
    torch.testing.assert_close(cosine(weight * torch.tensor([[1.0], [2.0], [3.0], [4.0]])), found)
    assert (nearest(found, 2) != torch.arange(CLASSES)[:, None]).all()


def test_contrast_leaves_out_the_diagonal_and_what_is_undefined() -> None:
    relation = torch.tensor([[1.0, 0.5, 0.1], [0.5, 1.0, torch.nan], [0.1, torch.nan, 1.0]])
    within, between = contrast(relation, torch.tensor([0, 0, 1]))
    assert (within, between) == (0.5, pytest.approx(0.1))


def test_probabilities_correlate_like_their_scaled_logits_at_a_high_temperature() -> None:
    logits = drawn(50, CLASSES)
    centered = logits - logits.mean(1, keepdim=True)
    torch.testing.assert_close(pearson(logits, 1e6), torch.corrcoef(centered.T), rtol=1e-4, atol=1e-4)


def test_the_plane_keeps_the_distances_of_the_templates_and_its_projector_knows_no_order() -> None:
    templates = drawn(3, 7)
    plane = plane_of(templates)
    torch.testing.assert_close(distances(plane(templates), plane(templates)), distances(templates, templates))
    torch.testing.assert_close(plane.basis.T @ plane.basis, torch.eye(2, dtype=torch.double))
    other = plane_of(templates[[2, 0, 1]])
    torch.testing.assert_close(plane.basis @ plane.basis.T, other.basis @ other.basis.T)


def test_principal_components_lie_in_the_span_and_are_in_order() -> None:
    templates = drawn(3, 7)
    main, variance = pca_of(drawn(30, 7, seed=1), templates)
    assert torch.linalg.matrix_rank(torch.cat([templates, main.basis.T])) == 3
    assert variance.tolist() == sorted(variance.tolist(), reverse=True)


def test_information_is_0_for_equal_means_log_n_for_distinct_ones_and_log_2_for_two_clusters() -> None:
    noise = torch.tensor([-1.0, 1.0], dtype=torch.double)
    assert information(noise.repeat(6, 1)).estimate == pytest.approx(0, abs=1e-12)
    apart = information(1000 * torch.arange(6, dtype=torch.double)[:, None] + noise)
    assert apart.estimate == pytest.approx(math.log(6))
    assert apart.estimate <= apart.most + 1e-12
    clusters = 1000 * (torch.arange(6) % 2).double()[:, None] + noise
    assert information(clusters).estimate == pytest.approx(math.log(2))


def test_diffusion_is_0_for_one_geometry_however_it_is_scaled_turned_and_moved() -> None:
    centers = drawn(CLASSES, 3)
    turned = 5 * centers @ torch.linalg.qr(drawn(3, 3, seed=1))[0] + 7
    relative = center_distances(centers)
    torch.testing.assert_close(center_distances(turned), relative)
    found = diffusion(relative, center_distances(turned), similar=2)
    torch.testing.assert_close(found.index, torch.zeros(CLASSES, dtype=torch.double))


# -- runs --------------------------------------------------------------------------------------------------------------


def measured(
    name: str = "run",
    *,
    labels: Tensor | None = None,
    seed: int = 0,
    classes: int = CLASSES,
    moved: float = 1.0,
    teacher: bool = True,
    epochs: Sequence[int] = (1, 2),
) -> Measured:
    """A run that was never trained: features around its templates."""
    labels = target() if labels is None else labels
    weight = drawn(classes, 6, seed=seed)

    def model(noise: int) -> MeasuredModel:
        features = weight[labels % classes] + 0.5 * drawn(len(labels), 6, seed=noise)
        draws = features[:, None] + 0.1 * moved * drawn(len(labels), 5, 6, seed=noise + 1)
        own = Answers(
            torch.arange(len(labels)),
            (features @ weight.T).float(),
            labels,
            {"pooled": features.float()},
            (draws @ weight.T).float(),
        )
        return MeasuredModel({"train": own, "test": own}, Classifier(weight.float()))

    return Measured(
        name=name,
        folder=Path("there"),
        settings={},
        student=model(seed + 10),
        teacher=model(seed + 20) if teacher else None,
        epochs={epoch: model(seed + 30 + epoch) for epoch in epochs},
        trained=3,
        class_names=[f"c{number}" for number in range(classes)],
    )


def analyzed(name: str, *runs: Measured, **settings: Any) -> Findings:
    return chosen({name: settings})[name].analyze(list(runs) or [measured()])


def refused(name: str, *runs: Measured, error: type[Exception] = CapabilityError, **settings: Any) -> str:
    with pytest.raises(error) as caught:
        analyzed(name, *runs, **settings)
    assert "\n" not in str(caught.value)
    return str(caught.value)


BY_CLASS = ("stability", "confidence", "calibration", "class_relation", "grad_rescale", "penultimate", "mi_logit")


@pytest.mark.parametrize("name", BY_CLASS)
def test_one_class_alone_is_refused(name: str) -> None:
    assert "at least two such classes are compared" in refused(name, measured(labels=torch.zeros(9, dtype=torch.long)))


def test_one_sample_a_class_is_refused_where_spreads_are_measured() -> None:
    few = measured(labels=torch.arange(CLASSES))
    assert refused("stability", few).startswith("the run run has 2 or more samples of 0 classes on test")
    assert "fewer than two samples of class c0 on train" in refused("penultimate", few)


@pytest.mark.parametrize("name", BY_CLASS)
def test_labels_that_are_no_classes_are_refused(name: str) -> None:
    run = measured(labels=target())
    soft = {key: Answers(a.index, a.logits, a.logits.softmax(1), a.features, a.drawn) for key, a in run.student.splits.items()}
    changed = Measured("run", run.folder, {}, MeasuredModel(soft, run.student.classifier), run.teacher)
    assert "are no classes, so its samples cannot be grouped" in refused(name, changed)


@pytest.mark.parametrize("name", ["stability", "confidence", "calibration", "class_relation", "grad_rescale"])
def test_samples_and_classes_that_are_missing_are_reported(name: str) -> None:
    labels = target() % 3
    labels[:2] = -1
    notes = analyzed(name, measured(labels=labels, classes=CLASSES)).notes
    split = "train" if name == "grad_rescale" else "test"
    assert f"run: 2 of 40 samples of {split} have no class and are left out." in notes
    assert f"run: the class c3 has no samples on {split} and no part in means over classes." in notes or name == "stability"
    if name == "stability":
        assert "run: the class c3 has fewer than 2 samples on test and no part in means over classes." in notes


def test_a_sample_without_a_class_changes_nothing_else() -> None:
    labels = target()
    run, with_more = measured(labels=labels), measured(labels=torch.cat([labels, torch.tensor([-1])]))
    kept = with_more.student.splits["test"]
    own = run.student.splits["test"]
    more = Answers(
        torch.arange(41), torch.cat([own.logits, kept.logits[40:]]), torch.cat([labels, torch.tensor([-1])]), kept.features
    )
    changed = Measured("run", run.folder, {}, MeasuredModel({"test": more}))
    assert analyzed("stability", changed).values == analyzed("stability", run).values


@pytest.mark.parametrize(
    ("superclasses", "expected"),
    [
        ({"a": [0, 1], "b": [2]}, "superclasses misses class 3 of the run run; give each class its superclass"),
        ({"a": [0, 1], "b": [1, 2, 3]}, "superclasses has class 1 twice"),
        ({"a": [0, 1], "b": [2, 3, 4]}, "superclasses.b names class 4, but the run run has the classes 0 to 3"),
    ],
)
def test_a_superclass_map_is_a_partition(superclasses: Mapping[str, Sequence[int]], expected: str) -> None:
    assert expected in refused("class_relation", superclasses=superclasses)


@pytest.mark.parametrize(
    ("name", "settings", "expected"),
    [
        ("class_relation", {"temperatures": [1.0, 0.0]}, "analyses.class_relation.temperatures must be > 0, got 0"),
        ("class_relation", {"temperatures": []}, "analyses.class_relation.temperatures must name at least one"),
        ("grad_rescale", {"temperature": -1.0}, "analyses.grad_rescale.temperature must be > 0, got -1"),
        ("grad_rescale", {"weight": 1.5}, "analyses.grad_rescale.weight must be between 0 and 1, got 1.5"),
        ("calibration", {"bins": 0}, "analyses.calibration.bins must be at least 1, got 0"),
        ("penultimate", {"classes": [0, 1, 1]}, "analyses.penultimate.classes must be three different classes"),
        ("mi_logit", {"classes": [1]}, "analyses.mi_logit.classes must be two different classes"),
        ("mi_logit", {"draws": 1}, "analyses.mi_logit.draws must be at least 2, got 1"),
        ("diffusion", {"similar": 0}, "analyses.diffusion.similar must be at least 1, got 0"),
        ("stability", {"variant": "cubic"}, "analyses.stability.variant must be"),
    ],
)
def test_settings_out_of_range_are_refused_by_name(name: str, settings: Mapping[str, Any], expected: str) -> None:
    assert refused(name, error=RecipeError, **settings).startswith(expected)


@pytest.mark.parametrize(
    ("name", "settings"),
    [("confidence", {"classes": [9]}), ("penultimate", {"classes": [0, 1, 9]}), ("mi_logit", {"classes": [0, 9]})],
)
def test_a_class_that_is_not_there_is_refused(name: str, settings: Mapping[str, Any]) -> None:
    expected = f"analyses.{name}.classes names class 9, but the run run has the classes 0 to 3."
    assert refused(name, **settings) == expected


def test_a_run_without_a_teacher_has_no_weights_of_samples() -> None:
    assert "has no teacher to compare with" in refused("grad_rescale", measured(teacher=False))


def test_draws_that_do_not_differ_are_refused() -> None:
    assert "was trained without augmentation" in refused("mi_logit", measured(moved=0.0))


def test_a_tap_that_the_last_layer_does_not_read_is_refused() -> None:
    run = measured()
    own = run.student.splits["test"]
    other = Answers(own.index, own.logits, own.target, {"stage1": own.features["pooled"].roll(1, 1)})
    changed = Measured("run", run.folder, {}, MeasuredModel({"train": other, "test": other}, run.student.classifier))
    assert "is not what its last layer reads" in refused("penultimate", changed)


def test_diffusion_compares_the_same_classes_and_enough_of_them() -> None:
    assert "have 4, 3 classes" in refused("diffusion", measured("a"), measured("b", labels=target() % 3, classes=3))
    assert "wants at least 5 classes with samples, but the runs share 4" in refused(
        "diffusion", measured("a"), measured("b"), similar=3
    )


def test_a_probability_that_never_changes_is_reported() -> None:
    run = measured()
    own = run.student.splits["test"]
    still = Answers(own.index, torch.zeros_like(own.logits), own.target)
    changed = Measured("run", run.folder, {}, MeasuredModel({"test": still}, run.student.classifier))
    assert any("it has no correlation" in note for note in analyzed("class_relation", changed).notes)


def test_a_temperature_at_the_end_of_its_range_is_reported() -> None:
    run = measured()
    own = run.student.splits["test"]
    right = Answers(own.index, F.one_hot(target(), CLASSES).float(), own.target)
    notes = analyzed("calibration", Measured("run", run.folder, {}, MeasuredModel({"test": right}))).notes
    assert any("there is no best one in it" in note for note in notes)


@pytest.mark.parametrize("name", ["grad_rescale", "mi_logit"])
def test_without_earlier_epochs_it_is_said_how_to_keep_them(name: str) -> None:
    assert any("runtime.keep=1000" in note for note in analyzed(name, measured(epochs=())).notes)


# -- figures -----------------------------------------------------------------------------------------------------------


def figures(name: str, *runs: Measured, **settings: Any) -> dict[str, Figure]:
    return {figure.name: figure for figure in analyzed(name, *runs, **settings).figures}


def test_stability_is_drawn_as_bars_by_run_and_class() -> None:
    runs = [measured("a"), measured("b", seed=1)]
    whole, each = figures("stability", *runs)["stability"].panels
    values = analyzed("stability", *runs).values
    assert [mark.heights for mark in whole.marks if isinstance(mark, Bars)] == [
        [values[name]["one_minus_stability"]] for name in "ab"
    ]
    drawn = [plain(mark.heights) for mark in each.marks if isinstance(mark, Bars)]
    assert drawn == [values[name]["per_class"] for name in "ab"]
    assert each.categories == ["c0", "c1", "c2", "c3"]
    assert "probability²" in each.y


def test_confidence_is_drawn_as_shares_of_all_samples() -> None:
    drawn_figures = figures("confidence", measured("a"), classes=[2])
    for panel in drawn_figures["confidence"].panels:
        (outline,) = panel.marks
        assert isinstance(outline, Histogram)
        assert sum(outline.heights) == pytest.approx(100)
    (panel,) = drawn_figures["class_means"].panels
    (bars,) = panel.marks
    assert isinstance(bars, Bars)
    assert sum(bars.heights) == pytest.approx(1)
    assert int(torch.as_tensor(bars.heights).argmax()) == 2


def test_a_reliability_diagram_has_the_diagonal_and_a_point_for_each_bin() -> None:
    reliable, counts = figures("calibration", measured("a"), bins=5)["reliability"].panels
    line, diagonal = reliable.marks
    assert isinstance(line, Line)
    assert isinstance(diagonal, Line)
    values = analyzed("calibration", measured("a"), bins=5).values["a"]
    torch.testing.assert_close(torch.as_tensor(line.y), torch.tensor(values["bin_accuracy"]).double(), equal_nan=True)
    assert (diagonal.x, diagonal.y, diagonal.dashed) == ([0, 1], [0, 1], True)
    (bars,) = counts.marks
    assert isinstance(bars, Bars)
    assert sum(bars.heights) == pytest.approx(100)


def test_weights_are_drawn_against_the_teachers_confidence_and_over_epochs() -> None:
    each, over = figures("grad_rescale", measured("a"))["rescaling"].panels
    (points,) = each.marks
    assert isinstance(points, Points)
    assert len(points.x) == 40
    found = analyzed("grad_rescale", measured("a")).values["a"]
    assert each.title == f"a: r = {found['pearson']:.2f}, of ranks {found['spearman']:.2f}"
    assert [(line.label, list(line.x)) for line in over.marks if isinstance(line, Line)] == [
        ("a, Pearson", [1, 2, 3]),
        ("a, Spearman", [1, 2, 3]),
    ]


def test_weights_that_are_far_off_leave_room_for_the_others_and_are_counted() -> None:
    run = measured("a")
    logits = run.student.splits["train"].logits
    logits[0] = torch.tensor([30.0, 0, 0, 0])  # learned by heart, where the teacher is unsure
    figure = figures("grad_rescale", run)["rescaling"]
    each = figure.panels[0]
    assert each.y_range is not None
    assert each.y_range[1] - each.y_range[0] < 100
    theirs, labels = run.teaching.splits["train"].logits.double(), run.student.splits["train"].target
    assert labels is not None
    weights = rescaling(logits.double(), theirs, labels, weight=0.9, temperature=4.0).weight
    outside = int(((weights < each.y_range[0]) | (weights > each.y_range[1])).sum())
    assert outside > 0
    assert f"{outside} weights of 40 lie outside" in figure.caption


def test_heatmaps_are_in_the_order_of_superclasses_at_each_temperature() -> None:
    superclasses = {"even": [0, 2], "odd": [3, 1]}
    run = measured("a")
    figure = figures("class_relation", run, superclasses=superclasses, temperatures=[2.0])["relations_0"]
    assert [panel.title for panel in figure.panels] == ["Rows of the last layer", "Probabilities, T=2"]
    heat = figure.panels[0].marks[0]
    assert isinstance(heat, Heatmap)
    assert run.student.classifier is not None
    order = [0, 2, 1, 3]
    torch.testing.assert_close(heat.matrix, cosine(run.student.classifier.weight.double())[order][:, order])
    assert (heat.rows, heat.columns, heat.cuts) == (["c0", "c2", "c1", "c3"], ["c0", "c2", "c1", "c3"], [2])
    assert (heat.low, heat.high) == (-1, 1)


@pytest.mark.parametrize("projection", ["plane", "pca"])
def test_features_are_drawn_for_each_run_on_train_and_test_with_their_templates(projection: str) -> None:
    panels = figures("penultimate", measured("a"), measured("b", seed=1), projection=projection)["penultimate"].panels
    assert [panel.title for panel in panels] == ["a, train", "a, test", "b, train", "b, test"]
    for panel in panels:
        assert panel.equal
        assert [len(mark.x) for mark in panel.marks if isinstance(mark, Points)] == [10, 10, 10, 1, 1, 1]
    templates = [mark for mark in panels[0].marks if isinstance(mark, Points) and mark.large]
    if projection == "plane":
        assert (templates[0].x.tolist(), templates[0].y.tolist()) == ([0], [0])  # type: ignore[union-attr]


def test_information_is_drawn_over_epochs_with_the_level_of_log_2() -> None:
    (panel,) = figures("mi_logit", measured("a"), classes=[0, 3])["information"].panels
    line, level = panel.marks
    assert isinstance(line, Line)
    assert isinstance(level, Line)
    assert line.x == [1, 2, 3]
    assert level.y == [math.log(2)] * 2
    assert all(0 <= value <= math.log(20) for value in line.y)


def test_diffusion_is_drawn_against_the_first_run() -> None:
    *maps, index = figures("diffusion", measured("a"), measured("b", seed=1), measured("c", seed=2))["diffusion"].panels
    assert [panel.title for panel in maps] == ["b", "c"]
    assert [mark.label for mark in index.marks] == ["b", "c"]
    assert all(len(mark.heights) == CLASSES for mark in index.marks if isinstance(mark, Bars))
