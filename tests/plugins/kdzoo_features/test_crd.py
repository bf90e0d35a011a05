"""CRD: negatives of other classes, a memory that follows the training, constants from the first batch."""

import torch
from kdzoo_features.crd import UNKNOWN, other_classes

from kdzoo.engine.run import Run
from kdzoo.functional.contrast import memory_scores, noise_contrast
from kdzoo.testing import first_window

from .conftest import Running, seen

SMALL = {"negatives": 16, "width": 8}


def stepped(run: Run) -> None:
    """One whole training step on the first batch, with the hooks around it."""
    window = first_window(run)
    with torch.no_grad():
        run.methods["crd"].first_batch(window[0], run)
    total, step = run.objective(window[0])
    run.optimize("student", total)
    with torch.no_grad():
        run.methods["crd"].after_step([run.view(step, run.methods["crd"])], run)


def test_negatives_are_never_of_the_anchors_class_and_all_others_are_drawn() -> None:
    known = torch.arange(30) % 3
    index = torch.tensor([0, 1, 29])
    uniform = torch.linspace(0, 1 - 1e-6, 1000).expand(3, -1)
    rows = other_classes(uniform, index, known[index], known)
    for anchor, drawn in zip(index, rows, strict=True):
        assert set(drawn.tolist()) == set((known != known[anchor]).nonzero().flatten().tolist())


def test_an_unknown_class_may_be_drawn_but_never_the_anchor_itself() -> None:
    known = torch.full((5,), UNKNOWN)
    rows = other_classes(torch.linspace(0, 1 - 1e-6, 50)[None], torch.tensor([2]), torch.tensor([7]), known)
    assert set(rows.flatten().tolist()) == {0, 1, 3, 4}


def test_the_constants_are_the_mean_score_of_the_first_batch_over_the_samples(running: Running) -> None:
    run = running("crd", SMALL)
    method = run.methods["crd"]
    window = first_window(run)
    run.student.train()
    before = {name: value.clone() for name, value in run.student.state_dict().items()}
    with torch.no_grad():
        method.first_batch(window[0], run)
    assert all(torch.equal(value, before[name]) for name, value in run.student.state_dict().items())
    scores = method._scores(seen(run, "crd"))
    torch.testing.assert_close(method.z, torch.stack([each.mean() for each in scores]).detach() * run.samples)


def test_the_loss_is_that_of_both_sides_against_the_other_ones_memory(running: Running) -> None:
    run = running("crd", SMALL)
    method, step = run.methods["crd"], seen(run, "crd")
    e_s = method.embed["student"](step.student.features["pooled"])
    e_t = method.embed["teacher"](step.teacher.features["pooled"])
    rows = other_classes(step.uniform("negatives", 16), step.index, step.student.rows.target, method.labels)
    rows = torch.cat([step.index[:, None], rows], 1)
    expected = noise_contrast(memory_scores(e_s, method.memory_teacher, rows) / method.z[0], run.samples)
    expected = expected + noise_contrast(memory_scores(e_t, method.memory_student, rows) / method.z[1], run.samples)
    torch.testing.assert_close(method.crd(step), expected)


def test_a_step_moves_the_batchs_memories_and_learns_its_labels(running: Running) -> None:
    run = running("crd", SMALL)
    method, batch = run.methods["crd"], first_window(run)[0]
    before = {side: method.get_buffer(f"memory_{side}").clone() for side in ("student", "teacher")}
    stepped(run)
    there = torch.zeros(run.samples, dtype=torch.bool)
    there[batch.index] = True
    for side, memory in before.items():
        now = method.get_buffer(f"memory_{side}")
        assert torch.equal(now[~there], memory[~there])
        assert (now[there] != memory[there]).any(1).all()
        torch.testing.assert_close(now[there].norm(dim=1), torch.ones(len(batch.index)))
    assert torch.equal(method.labels[batch.index], batch.target)
    assert (method.labels[~there] == UNKNOWN).all()


def test_both_embeddings_learn(running: Running) -> None:
    run = running("crd", SMALL)
    total, _ = run.objective(first_window(run)[0])
    grads = torch.autograd.grad(total, list(run.methods["crd"].embed.parameters()))
    assert all(grad.abs().sum() > 0 for grad in grads)


def test_memories_start_near_the_sphere(running: Running) -> None:
    memory = running("crd", {"negatives": 4}).methods["crd"].memory_student
    torch.testing.assert_close(memory.norm(dim=1), torch.ones(len(memory)), atol=0.2, rtol=0)
