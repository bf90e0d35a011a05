"""Z-scores over classes."""

import torch

from kdzoo.functional.standardize import standardize


def test_rows_have_mean_zero_and_unbiased_deviation_one() -> None:
    z = standardize(5 + 3 * torch.randn(4, 9, dtype=torch.float64))
    torch.testing.assert_close(z.mean(-1), torch.zeros(4, dtype=torch.float64))
    torch.testing.assert_close(z.std(-1), torch.ones(4, dtype=torch.float64), rtol=1e-6, atol=0)


def test_shift_and_scale_of_a_row_do_not_matter() -> None:
    logits = torch.randn(4, 9, dtype=torch.float64)
    torch.testing.assert_close(standardize(10 * logits - 4), standardize(logits), rtol=1e-6, atol=1e-9)


def test_equal_logits_become_zeros_with_a_finite_gradient() -> None:
    logits = torch.full((2, 4), 3.0, requires_grad=True)
    z = standardize(logits)
    assert z.abs().max() == 0
    assert torch.autograd.grad(z.square().sum(), logits)[0].isfinite().all()
