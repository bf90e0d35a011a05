"""Losses between samples: relations within a batch, contrast against a memory, self-supervised answers."""

import itertools
import math

import pytest
import torch
from torch import Tensor

from kdzoo.functional.contrast import memory_scores, moved_memory, noise_contrast, partition
from kdzoo.functional.information import correlation_information, mutual_information
from kdzoo.functional.relations import (
    angle_relation,
    correlation_congruence,
    distance_relation,
    gaussian_correlation,
    neighbor_correlation,
    probability_transfer,
    similarity_preserving,
)
from kdzoo.functional.self_supervision import reliable_rows, transformation_similarity

F = torch.nn.functional


def rows(count: int, width: int, seed: int = 0) -> Tensor:
    return torch.randn(count, width, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def close(a: Tensor | float, b: Tensor | float) -> None:
    torch.testing.assert_close(torch.as_tensor(a, dtype=torch.float64), torch.as_tensor(b, dtype=torch.float64))


RELATIONS = {
    "sp": similarity_preserving,
    "distance": distance_relation,
    "angle": angle_relation,
    "pkt": probability_transfer,
    "cc": correlation_congruence,
}


@pytest.mark.parametrize("name", RELATIONS)
def test_identical_samples_give_zero_loss(name: str) -> None:
    close(RELATIONS[name](rows(6, 4), rows(6, 4)), 0.0)


@pytest.mark.parametrize("name", RELATIONS)
def test_rotating_the_students_space_changes_nothing(name: str) -> None:
    student, teacher = rows(6, 4), rows(6, 7, seed=1)
    rotation, _ = torch.linalg.qr(rows(4, 4, seed=2))
    close(RELATIONS[name](student @ rotation, teacher), RELATIONS[name](student, teacher))


@pytest.mark.parametrize("name", RELATIONS)
def test_the_order_of_the_batch_is_nothing(name: str) -> None:
    student, teacher, order = rows(6, 4), rows(6, 7, seed=1), torch.randperm(6)
    close(RELATIONS[name](student[order], teacher[order]), RELATIONS[name](student, teacher))


@pytest.mark.parametrize("name", ["sp", "distance", "angle", "cc"])
def test_a_louder_student_is_no_worse(name: str) -> None:
    assert RELATIONS[name](5 * rows(6, 4), rows(6, 4)) < 1e-12


@pytest.mark.parametrize("name", ["distance", "angle"])
def test_moving_the_students_origin_changes_nothing(name: str) -> None:
    close(RELATIONS[name](rows(6, 4) + 7, rows(6, 4)), 0.0)


def test_alike_against_orthogonal_samples_by_similarity() -> None:
    close(similarity_preserving(torch.ones(4, 3), torch.eye(4)), (4 * 0.25 + 12 * 0.25) / 16)


def test_distances_are_those_of_all_pairs_over_their_mean() -> None:
    student, teacher = rows(5, 3), rows(5, 4, seed=1)
    relative = []
    for x in (student, teacher):
        distances = torch.cdist(x, x)
        relative.append(distances / F.pdist(x).mean())
    close(distance_relation(student, teacher), F.smooth_l1_loss(*relative))


def test_angles_are_those_of_all_triplets() -> None:
    student, teacher = rows(4, 3), rows(4, 5, seed=1)

    def cosine(x: Tensor, i: int, j: int, k: int) -> Tensor:
        return F.cosine_similarity(x[j] - x[i], x[k] - x[i], dim=0)

    gaps = [F.smooth_l1_loss(cosine(student, *ijk), cosine(teacher, *ijk)) for ijk in itertools.product(range(4), repeat=3)]
    close(angle_relation(student, teacher), torch.stack(gaps).mean())


def test_neighbors_are_as_probable_as_their_cosine() -> None:
    student, teacher = rows(5, 3), rows(5, 4, seed=1)
    p_s, p_t = (
        (similar := (F.cosine_similarity(x[None], x[:, None], dim=-1) + 1) / 2) / similar.sum(1, keepdim=True)
        for x in (student, teacher)
    )
    expected = F.kl_div(p_s.log(), p_t, reduction="none").mean()
    torch.testing.assert_close(probability_transfer(student, teacher), expected, rtol=1e-5, atol=0)


def test_the_taylor_series_approaches_the_gaussian_kernel() -> None:
    x = F.normalize(rows(5, 3))
    close(gaussian_correlation(x, gamma=0.4, order=20), (-0.4 * torch.cdist(x, x).square()).exp())


def test_neighbor_correlation_is_the_product_of_adjacent_gaps() -> None:
    teacher = rows(3, 2)
    student = teacher + torch.tensor([[1.0, -1.0], [2.0, 0.0], [0.0, 3.0]])
    close(neighbor_correlation(student, teacher), (2.0 + 0.0) / 2)


def test_fully_correlated_columns_reach_the_floor_of_the_sample_size() -> None:
    x = rows(8, 3)
    close(correlation_information(2 * x + 1, x, alpha=1.5), math.log2(3 * 8.0**-3))
    assert correlation_information(-x, x) > correlation_information(rows(8, 3, seed=1), x)


def test_mutual_information_of_orthogonal_samples_is_zero_and_of_one_direction_the_teachers() -> None:
    orthogonal = torch.eye(4, dtype=torch.float64)
    close(mutual_information(orthogonal, orthogonal), 0.0)
    same = torch.ones(4, 2, dtype=torch.float64)
    close(mutual_information(same, orthogonal), 1 - 1 / 4)


# -- contrast ---------------------------------------------------------------------------------------------------------


def test_scores_are_exponentials_of_cosines_with_the_chosen_rows() -> None:
    embedding, memory = F.normalize(rows(2, 4)), F.normalize(rows(6, 4, seed=1))
    chosen = torch.tensor([[5, 0, 0], [1, 2, 3]])
    expected = [[math.exp(float(embedding[b] @ memory[r]) / 0.5) for r in chosen[b]] for b in range(2)]
    close(memory_scores(embedding, memory, chosen, temperature=0.5), torch.tensor(expected))


def test_the_partition_makes_the_mean_probability_one_over_the_samples() -> None:
    scores = rows(4, 5).exp()
    close((scores / partition(scores, 50)).mean(), 1 / 50)


def test_probabilities_of_the_noise_cost_as_many_coins_as_there_are_candidates() -> None:
    samples, negatives = 40, 3
    noise = torch.full((2, 1 + negatives), negatives / samples, dtype=torch.float64)
    close(noise_contrast(noise, samples, eps=0.0), (1 + negatives) * math.log(2))


def test_a_certain_positive_and_ruled_out_negatives_cost_little() -> None:
    sure = torch.tensor([[1e6, 0.0, 0.0]])
    assert noise_contrast(sure, 1000) < 1e-3
    assert noise_contrast(sure.flip(1), 1000) > 10


def test_memory_moves_half_way_and_stays_on_the_sphere() -> None:
    moved = moved_memory(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]]))
    close(moved, torch.full((1, 2), math.sqrt(0.5)))
    close(moved_memory(torch.eye(2), torch.ones(2, 2), momentum=1.0), torch.eye(2))


# -- self-supervision -------------------------------------------------------------------------------------------------


def test_similarity_is_the_cosine_of_every_pair() -> None:
    transformed, normal = rows(6, 4), rows(2, 4, seed=1)
    expected = F.cosine_similarity(transformed[:, None], normal[None], dim=-1)
    close(transformation_similarity(transformed, normal), expected)


def test_right_rows_are_always_kept_and_the_nearly_right_ones_before_the_rest() -> None:
    scores = torch.tensor([[3.0, 2.0, 1.0], [3.0, 2.0, 1.0], [3.0, 2.0, 1.0], [1.0, 2.0, 3.0]])
    target = torch.tensor([0, 2, 1, 2])
    assert reliable_rows(scores, target, keep=0.0).tolist() == [True, False, False, True]
    assert reliable_rows(scores, target, keep=0.5).tolist() == [True, False, True, True]
    assert reliable_rows(scores, target, keep=1.0).all()
