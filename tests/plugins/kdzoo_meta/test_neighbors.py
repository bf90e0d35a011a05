"""The other methods that move the teacher, each against its formula written out in plain torch."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from kdzoo_meta.graft import Graft
from kdzoo_meta.mpdistil import MPDistil, softmax_gap
from kdzoo_meta.quiz import draw
from kdzoo_meta.rco import RCO
from meta_cases import NETS
from safetensors.torch import save_file
from torch import Tensor, nn

from kdzoo.engine.assemble import assemble
from kdzoo.engine.launch import launch
from kdzoo.engine.run import Run
from kdzoo.engine.training_step import train_step, update_teacher
from kdzoo.errors import CapabilityError, MissingError, RecipeError
from kdzoo.protocol.outputs import Batch, Progress
from kdzoo.recipe.load import Recipe
from kdzoo.testing import first_window, tiny_recipe, tiny_run

CNN = {"use": "tiny_cnn", "widths": [4, 8]}


def made(method: str, settings: dict[str, Any], *, nets: str = "mlp", **sections: Any) -> Recipe:
    """On digits, in the default precision; plain SGD for the teacher."""
    student, teacher = NETS[nets]
    base = {
        "task": {"use": "exact_images", "data": "digits", "train_size": 100, "validation": 1000, "crop": 1},
        "student": student,
        "teacher": {"use": "trainable", "model": teacher},
        "optimizers": {
            "student": {"use": "adamw", "lr": 0.01},
            "teacher": {"use": "sgd", "lr": 0.1, "momentum": 0.0, "weight_decay": 0.0},
        },
        "train": {"epochs": 2, "batch_size": 12},
    }
    return tiny_recipe(method, settings, recipe=base | sections)


@contextmanager
def entered(method: str, settings: dict[str, Any], **sections: Any) -> Iterator[tuple[Run, Batch]]:
    with tiny_run(made(method, settings, **sections)) as run:
        (batch,) = first_window(run)
        yield run, batch


def state(module: nn.Module) -> dict[str, Tensor]:
    return {name: t.detach().clone() for name, t in module.state_dict().items()}


# -- LGTM ------------------------------------------------------------------------------------------------------------


def teachers_loss(student: nn.Module, teacher: nn.Module, batch: Batch) -> Tensor:
    """0.4 KL(p_s || p_t) + 0.6 CE."""
    p, t = student(batch.inputs).detach().softmax(1), teacher(batch.inputs)
    return 0.4 * F.kl_div(t.log_softmax(1), p, reduction="batchmean") + 0.6 * F.cross_entropy(t, batch.target)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("influence", [None, 30.0])
def test_lgtm_is_the_released_difference_of_teacher_gradients(influence: float | None) -> None:
    """The pilot by torch's own AdamW, the directional derivative by two gradients of the teacher, as the code takes it."""
    with entered("lgtm", {"quiz": 0.3, "influence": influence}) as (run, batch):
        train_step(run, batch)  # moments
        teacher, pilot = run.model("teacher"), copy.deepcopy(run.student)
        optimizer = torch.optim.AdamW(pilot.parameters(), 0.01, weight_decay=0.01)
        optimizer.load_state_dict(copy.deepcopy(run.optimizers["student"].state_dict()))
        with torch.no_grad():
            p = teacher(batch.inputs).softmax(1)
        s = pilot(batch.inputs)
        (F.cross_entropy(s, batch.target) + F.kl_div(s.log_softmax(1), p, reduction="batchmean")).backward()
        optimizer.step()
        ((quiz, _),) = draw(run, "lgtm", batch, size=None, augment=True)
        v = torch.autograd.grad(F.cross_entropy(pilot(quiz.inputs), quiz.target), list(pilot.parameters()))
        radius = 1e-4 / float(torch.stack([g.norm() for g in v]).norm())
        sides = []
        for sign in (radius, -radius):
            moved = copy.deepcopy(run.student)
            with torch.no_grad():
                for parameter, g in zip(moved.parameters(), v, strict=True):
                    parameter += sign * g
            sides.append(torch.autograd.grad(teachers_loss(moved, teacher, batch), list(teacher.parameters())))
        own = torch.autograd.grad(teachers_loss(run.student, teacher, batch), list(teacher.parameters()))
        rate = 0.1 if influence is None else influence
        expected = [
            p.detach() - 0.1 * (g - rate * (a - b) / (2 * radius))
            for p, g, a, b in zip(teacher.parameters(), own, *sides, strict=True)
        ]
        update_teacher(run, [batch])
        for parameter, value in zip(teacher.parameters(), expected, strict=True):
            torch.testing.assert_close(parameter.detach(), value, rtol=1e-6, atol=1e-9)


@pytest.mark.usefixtures("float64")
def test_lgtm_without_influence_is_prokt() -> None:
    """The same teacher loss; only the split held out for the quiz is different, so it is held out here too."""
    ends = []
    for method, settings, beside in (
        ("lgtm", {"influence": 0.0, "quiz": 0.3}, {}),
        ("prokt", {}, {"quiz_holdout": {"quiz": 0.3}}),
    ):
        with entered(method, settings, methods=beside) as (run, batch):
            update_teacher(run, [batch])
            ends.append(state(run.model("teacher")))
    for name in ends[0]:
        torch.testing.assert_close(ends[0][name], ends[1][name], rtol=1e-12, atol=1e-14)


# -- MPL -------------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("sign", ["code", "theory"])
def test_mpl_moves_the_teacher_by_labels_agreement_and_feedback(sign: str) -> None:
    settings = {"quiz": 0.3, "sign": sign, "threshold": 0.12, "ramp": 4}
    optimizers = {
        "student": {"use": "sgd", "lr": 0.5},
        "teacher": {"use": "sgd", "lr": 0.1, "momentum": 0.0, "weight_decay": 0.0},
    }
    with entered("mpl", settings, optimizers=optimizers) as (run, batch):
        teacher = run.model("teacher")
        ((quiz, _),) = draw(run, "mpl", batch, size=None, augment=True)

        def labels(model: nn.Module) -> Tensor:
            return F.cross_entropy(model(quiz.inputs), quiz.target)

        before = labels(run.student).item()
        soft, z = (teacher(batch.inputs).detach() / 0.7).softmax(1), teacher(batch.views["strong"])
        run.methods["mpl"].threshold = float(soft.max(1).values.median())
        sure = (soft.max(1).values >= run.methods["mpl"].threshold).double()
        assert 0 < sure.sum() < len(sure)
        agreement = (-(soft * z.log_softmax(1)).sum(1) * sure).mean()
        hard = F.cross_entropy(z, z.argmax(1))
        parts = [
            torch.autograd.grad(part, list(teacher.parameters()), retain_graph=True)
            for part in (labels(teacher), agreement, hard)
        ]
        old = [p.detach().clone() for p in teacher.parameters()]
        update_teacher(run, [batch])
        assert all(torch.equal(p, o) for p, o in zip(teacher.parameters(), old, strict=True)), "it only listens before the step"
        train_step(run, batch)
        change = labels(run.student).item() - before
        assert change != 0
        assert run.notes["mpl.feedback"] == pytest.approx(change, rel=1e-9)
        feedback = change if sign == "code" else -change
        for p, o, a, b, c in zip(teacher.parameters(), old, *parts, strict=True):
            torch.testing.assert_close(p.detach(), o - 0.1 * (a + 8.0 / 4 * b + feedback * c), rtol=1e-9, atol=1e-12)


def test_mpls_student_sees_no_label_of_the_training_set() -> None:
    with entered("mpl", {"quiz": 0.3}) as (run, batch):
        step = run.step(batch)
        weights = {"mpl": {"pseudo": 1.0}}
        value = run.total(step, weights)
        relabeled = run.step(Batch(**{**vars(batch), "target": (batch.target + 1) % 10}))
        assert torch.equal(run.total(relabeled, weights), value)
        expected = F.cross_entropy(step.views["strong"].student.rows.logits, step.teachers["teacher"].rows.logits.argmax(1))
        torch.testing.assert_close(value, expected)


# -- MPDistil --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", ["collaborative", "competitive"])
def test_mpdistil_moves_only_the_classifier_and_only_between_epochs(loss: str) -> None:
    teacher = {"use": "trainable", "model": CNN}
    with entered("mpdistil", {"quiz": 0.3, "loss": loss}, student=CNN, teacher=teacher) as (run, batch):
        model = run.model("teacher")
        start = state(model)
        run.progress = Progress(0, 2, 0, 2)
        train_step(run, batch)
        assert all(torch.equal(start[name], value) for name, value in state(model).items())
        run.progress = Progress(0, 2, 0, 1)
        train_step(run, batch)
        moved = {name for name, value in state(model).items() if not torch.equal(start[name], value)}
        assert moved == {"fc.weight", "fc.bias"}
        assert run.student.training


def test_mpdistils_losses_are_those_of_the_released_code() -> None:
    own, theirs = torch.randn(2, 7, 5).unbind()
    target = torch.randint(5, (7,))
    ce = [F.cross_entropy(z, target) for z in (own, theirs)]
    right = [z.softmax(1)[torch.arange(7), target].mean() for z in (own, theirs)]
    torch.testing.assert_close(MPDistil().value(own, theirs, target), 0.5 * ce[0] + 0.5 * ce[1])
    torch.testing.assert_close(MPDistil(loss="competitive").value(own, theirs, target), ce[0] - right[0] + right[1])
    expected = 25 * F.mse_loss((own / 5).softmax(1), (theirs / 5).softmax(1))
    torch.testing.assert_close(softmax_gap(own, theirs, temperature=5.0), expected)


def test_mpdistil_needs_one_width() -> None:
    wide = {"use": "trainable", "model": {"use": "tiny_cnn", "widths": [4, 9]}}
    with pytest.raises(CapabilityError, match=r"they are \(8,\) and the teacher's \(9,\); use networks of one width"):
        assemble(made("mpdistil", {"quiz": 0.3}, student=CNN, teacher=wide).settings)


# -- SFTN ------------------------------------------------------------------------------------------------------------


def test_a_graft_of_a_networks_own_features_is_that_network() -> None:
    from kdzoo.models.tiny import TinyCNN

    net = TinyCNN(classes=5, channels=1, widths=[4, 8]).eval()
    x = torch.randn(6, 1, 8, 8)
    graft = Graft(net, "stage1", channels=4, shape=(4, 4, 4)).eval()
    graft.fit = nn.Identity()
    torch.testing.assert_close(graft(x, net.body[0](x)), net(x))
    other = torch.randn(6, 4, 8, 8)
    torch.testing.assert_close(graft(x, other), net.fc(net.pool(net.body[1](F.adaptive_avg_pool2d(other, 4)))))
    assert not net.body[0]._forward_hooks


def test_sftns_branches_teach_the_blocks_they_leave_from_and_are_gone_afterwards() -> None:
    teacher = {"use": "tiny_cnn", "widths": [6, 12]}
    with tiny_run(tiny_recipe("sftn", {"student": CNN, "taps": ["stage1"]}, recipe={"student": teacher})) as run:
        total = run.total(run.step(first_window(run)[0]), {"sftn": {"branch_ce": 1.0}})
        total.backward()
        grads = {name: p.grad for name, p in run.trainable().items()}
        assert grads["student.body.0.0.weight"].abs().sum() > 0
        assert grads["student.body.1.0.weight"] is None
        assert grads["methods.sftn.branches.0.network.body.1.0.weight"].abs().sum() > 0
        assert grads["methods.sftn.branches.0.network.body.0.0.weight"] is None
        assert run.deployed() is run.student


def test_sftn_as_a_plan_of_two_stages(tmp_path: Path) -> None:
    """Its teacher's recipe first, then ordinary distillation from the frozen result."""
    first = {
        "task": {"data": "digits", "train_size": 200, "validation": 1000, "crop": 1},
        "student": {"use": "tiny_cnn", "widths": [6, 12]},
        "methods": {"hard_label": {}, "sftn": {"student": CNN}},
        "optimizers": {"student": {"use": "sgd", "lr": 0.1}},
        "train": {"epochs": 4, "batch_size": 12},
    }
    recipe = tiny_recipe("kd", recipe={"teacher": {"use": "frozen", "recipe": first}}, out=tmp_path)
    result = launch(recipe)
    assert len(list((tmp_path / "teachers").iterdir())) == 1
    assert result.values["teachers"]["teacher"]["kind"] == "frozen"


def test_sftn_needs_maps() -> None:
    with pytest.raises(CapabilityError, match=r"'pooled' gives \(12,\) on the teacher and \(8,\) on the student, but a branch"):
        assemble(
            tiny_recipe(
                "sftn", {"student": CNN, "taps": ["pooled"]}, recipe={"student": {"use": "tiny_cnn", "widths": [6, 12]}}
            ).settings
        )


# -- RCO -------------------------------------------------------------------------------------------------------------


def anchors(folder: Path, count: int = 2) -> list[str]:
    """Weights files of the tiny teacher whose classifier's bias names them; the last one as a checkpoint stores it."""
    from kdzoo.models.tiny import TinyCNN

    files = []
    for number in range(count):
        net = TinyCNN(classes=10, channels=1, widths=[6, 12])
        nn.init.constant_(net.fc.bias, float(number))
        prefix = "student." if number == count - 1 else ""
        files.append(str(folder / f"{number}.safetensors"))
        save_file({prefix + name: t for name, t in net.state_dict().items()}, files[-1])
    return files


def route(folder: Path, **changes: Any) -> Recipe:
    teacher = {"use": "rco", "model": {"use": "tiny_cnn", "widths": [6, 12]}, "anchors": anchors(folder), **changes}
    return tiny_recipe("kd", out=folder / "runs", recipe={"teacher": teacher, "train": {"epochs": 4, "batch_size": 22}})


def test_rco_goes_from_anchor_to_anchor_in_equal_shares(tmp_path: Path) -> None:
    with tiny_run(route(tmp_path)) as run:
        (batch,) = first_window(run)
        teacher, seen = run.teachers["teacher"], []
        assert isinstance(teacher, RCO)
        for epoch in range(4):
            run.progress = Progress(epoch, 4, 0, 2)
            answer = run.answer("teacher", batch)
            assert not answer.rows.logits.requires_grad
            seen.append(float(run.model("teacher").fc.bias[0]))
        assert seen == [0, 0, 1, 1]
        assert not run.model("teacher").training


def test_rco_trains_to_the_end_and_starts_again_where_it_was(tmp_path: Path) -> None:
    assert launch(route(tmp_path)).values["teachers"]["teacher"]["kind"] == "rco"


def test_rco_says_which_anchor_is_missing_or_does_not_fit(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match=r"teachers\.teacher\.anchors\[0\]: there is no file"):
        assemble(route(tmp_path, anchors=[str(tmp_path / "none.safetensors")]).settings)
    with pytest.raises(RecipeError, match=r"anchors\[0\]: .* does not fit the model; it was saved from another architecture"):
        assemble(route(tmp_path, model={"use": "tiny_cnn", "widths": [6, 13]}).settings)
    with pytest.raises(RecipeError, match="anchors must name at least one weights file"):
        assemble(route(tmp_path, anchors=[]).settings)


# -- controls --------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("data", ["quiz", "train"])
def test_fine_tuning_steps_the_teacher_on_its_own_loss(data: str) -> None:
    with entered("teacher_fine_tuning", {"quiz": 0.3, "data": data}) as (run, batch):
        teacher = run.model("teacher")
        seen = draw(run, "teacher_fine_tuning", batch, size=None, augment=True)[0][0] if data == "quiz" else batch
        slopes = torch.autograd.grad(F.cross_entropy(teacher(seen.inputs), seen.target), list(teacher.parameters()))
        expected = [p.detach() - 0.1 * g for p, g in zip(teacher.parameters(), slopes, strict=True)]
        start = state(run.student)
        update_teacher(run, [batch])
        for p, value in zip(teacher.parameters(), expected, strict=True):
            torch.testing.assert_close(p.detach(), value, rtol=1e-12, atol=1e-14)
        assert all(torch.equal(start[name], value) for name, value in state(run.student).items())


def test_the_holdout_leaves_the_samples_that_metadistil_trains_on() -> None:
    places = []
    for method in ("quiz_holdout", "metadistil"):
        run = assemble(made(method, {"quiz": 0.3}, methods={"kd": {}}).settings)
        places.append(run.task.places["train"])  # type: ignore[attr-defined]
    assert torch.equal(*places)
