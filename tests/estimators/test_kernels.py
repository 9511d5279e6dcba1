"""Kernels, and sums of them over pairs, against the plainest way to compute both."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from probgen import ConfigurationError, ShapeError
from probgen.estimators.kernel_sums import sum_across, sum_at, sum_within
from probgen.estimators.kernels import RBF, InverseMultiquadric, Kernel, KernelMixture, MultiscaleRBF, median_heuristic

KERNELS = {
    "rbf": RBF(1.3),
    "multiscale": MultiscaleRBF(0.9, octaves=2),
    "multiscale of a tensor": MultiscaleRBF(torch.tensor(0.9, dtype=torch.float64), octaves=1),
    "inverse multiquadric": InverseMultiquadric(0.7, exponent=0.8),
    "mixture": KernelMixture([RBF(0.5), RBF(2.0), InverseMultiquadric(1.0)]),
}

each_kernel = pytest.mark.parametrize("kernel", KERNELS.values(), ids=KERNELS)


class TestKernels:
    @each_kernel
    def test_slopes_are_the_derivatives_of_the_values(self, kernel):
        squared = torch.rand(5, 4, dtype=torch.float64) * 6
        values, slopes = kernel.values_and_slopes(squared)
        torch.testing.assert_close(values, kernel.values(squared))
        step = 1e-6
        difference = (kernel.values(squared + step) - kernel.values(squared - step)) / (2 * step)
        torch.testing.assert_close(slopes, difference, rtol=1e-7, atol=1e-9)

    @each_kernel
    def test_the_argument_stays_as_it_is(self, kernel):
        squared = torch.rand(3, 4, dtype=torch.float64)
        before = squared.clone()
        kernel.values_and_slopes(squared)
        kernel.values(squared)
        assert torch.equal(squared, before)

    @each_kernel
    def test_an_event_is_like_itself_and_grams_are_positive(self, kernel):
        points = torch.randn(30, 3, dtype=torch.float64)
        gram = kernel.values(torch.cdist(points, points).square())
        torch.testing.assert_close(gram.diagonal(), torch.ones(30, dtype=torch.float64), atol=1e-7, rtol=0)
        assert torch.linalg.eigvalsh(gram).min() > -1e-10

    def test_octaves_are_single_kernels(self):
        squared = torch.linspace(0, 30, 50, dtype=torch.float64)
        mixture = KernelMixture([RBF(1.5 * 2.0**octave) for octave in (-2, -1, 0, 1, 2)])
        for mine, its in zip(
            MultiscaleRBF(1.5, octaves=2).values_and_slopes(squared), mixture.values_and_slopes(squared), strict=True
        ):
            torch.testing.assert_close(mine, its)

    @each_kernel
    def test_far_events_give_finite_numbers(self, kernel):
        for number in kernel.values_and_slopes(torch.tensor([0.0, 1e4, 1e12])):
            assert number.isfinite().all()

    @pytest.mark.parametrize(
        "make",
        [
            lambda: RBF(0.0),
            lambda: RBF(float("nan")),
            lambda: MultiscaleRBF(-1.0),
            lambda: MultiscaleRBF(1.0, octaves=-1),
            lambda: InverseMultiquadric(1.0, exponent=0.0),
            lambda: KernelMixture([]),
        ],
    )
    def test_wrong_options_are_refused(self, make):
        with pytest.raises(ConfigurationError, match=r"expected .*; got"):
            make()


def plain_gram(kernel, x, y):
    """Return the Gram matrix in autograd's own hands."""

    class Differentiable(torch.autograd.Function):
        @staticmethod
        def forward(ctx, squared):
            values, slopes = kernel.values_and_slopes(squared)
            ctx.save_for_backward(slopes)
            return values

        @staticmethod
        def backward(ctx, grad):
            return grad * ctx.saved_tensors[0]

    return Differentiable.apply((x[:, None] - y).square().sum(-1))


sizes = st.integers(1, 9)


class TestSums:
    @each_kernel
    @given(m=sizes, n=sizes, d=st.integers(1, 3), block_size=st.integers(1, 12))
    def test_values_and_gradients_are_those_of_the_gram_matrix(self, kernel, m, n, d, block_size):
        stream = torch.Generator().manual_seed(1)
        x = torch.randn(m, d, dtype=torch.float64, generator=stream).requires_grad_()
        y = torch.randn(n, d, dtype=torch.float64, generator=stream).requires_grad_()
        within = plain_gram(kernel, x, x)
        pairs = [
            (sum_across(kernel, x, y, block_size=block_size), plain_gram(kernel, x, y).sum()),
            (sum_within(kernel, x, block_size=block_size), within.sum() - within.diagonal().sum()),
        ]
        for streamed, plain in pairs:
            torch.testing.assert_close(streamed, plain)
            mine = torch.autograd.grad(2.5 * streamed, (x, y), allow_unused=True, materialize_grads=True)
            its = torch.autograd.grad(2.5 * plain, (x, y), allow_unused=True, materialize_grads=True)
            torch.testing.assert_close(mine, its, rtol=1e-9, atol=1e-11)

    def test_a_sum_over_distances(self):
        squared = torch.rand(7, dtype=torch.float64).requires_grad_()
        assert torch.autograd.gradcheck(lambda s: sum_at(RBF(0.8), s), squared)

    def test_only_what_is_wanted_gets_a_gradient(self):
        x, y = torch.randn(4, 2), torch.randn(5, 2, requires_grad=True)
        assert not sum_across(RBF(1.0), x, x, block_size=2).requires_grad
        (grad,) = torch.autograd.grad(sum_across(RBF(1.0), x, y, block_size=2), y)
        assert grad.shape == y.shape

    def test_a_second_derivative_is_refused_rather_than_wrong(self):
        x = torch.randn(4, 2, requires_grad=True)
        (grad,) = torch.autograd.grad(sum_within(RBF(1.0), x, block_size=2), x, create_graph=True)
        with pytest.raises(RuntimeError, match="does not require grad"):
            grad.sum().backward()

    def test_memory_is_bounded_by_the_block(self):
        seen = []

        class Watching(Kernel):
            def values_and_slopes(self, squared):
                seen.append(squared.shape)
                return RBF(1.0).values_and_slopes(squared)

        x, y = torch.randn(50, 2), torch.randn(70, 2, requires_grad=True)
        sum_across(Watching(), x, y, block_size=16)
        sum_within(Watching(), y, block_size=16)
        assert max(rows for rows, _ in seen) == 16
        assert sum(rows * columns for rows, columns in seen) < 50 * 70 + 0.65 * 70 * 70  # half of a symmetric matrix

    def test_digits_survive_far_from_the_origin(self):
        x = torch.randn(60, 2, dtype=torch.float64)
        near = sum_within(RBF(1.0), x, block_size=16)
        far = sum_within(RBF(1.0), (x + 1000).float(), block_size=16)
        assert abs(far.double() / near - 1) < 1e-4
        across = sum_across(RBF(1.0), x[:20], x[20:], block_size=16)
        far = sum_across(RBF(1.0), (x[:20] + 1000).float(), (x[20:] + 1000).float(), block_size=16)
        assert abs(far.double() / across - 1) < 1e-4

    def test_equal_events_have_finite_gradients(self):
        x = torch.zeros(6, 2, requires_grad=True)
        (grad,) = torch.autograd.grad(sum_within(RBF(1.0), x, block_size=4), x)
        assert torch.equal(grad, torch.zeros(6, 2))


class TestMedianHeuristic:
    def test_it_is_the_median_distance(self):
        assert median_heuristic(torch.tensor([[0.0, 0.0], [3.0, 4.0], [0.0, 1.0]])).item() == pytest.approx(18**0.5)

    def test_where_most_events_coincide_the_mean_stands_in(self):
        assert median_heuristic(torch.tensor([[0.0], [0.0], [0.0], [0.0], [4.0]])).item() == pytest.approx(1.6)
        assert median_heuristic(torch.zeros(4, 2)).item() == 1.0
        assert median_heuristic(torch.zeros(1, 2)).item() == 1.0

    def test_it_wants_rows(self):
        with pytest.raises(ShapeError, match="Flatten each event"):
            median_heuristic(torch.zeros(4))
