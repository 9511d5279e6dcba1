"""The belief net against closed forms."""

from __future__ import annotations

import torch
from torch.distributions import MultivariateNormal, constraints

from probgen import Batch
from probgen.supports import categorical
from probgen_autoregressive.linear import FVBN


def fitted(model, x, context=None):
    """Maximise the likelihood of all of `x` at once."""
    model = model.double()
    model.initialize(Batch(x, context))
    optimizer = torch.optim.LBFGS(
        model.parameters(), max_iter=1000, line_search_fn="strong_wolfe", tolerance_grad=1e-9, tolerance_change=0
    )

    def loss():
        optimizer.zero_grad()
        value = -model.log_prob(x, context).mean()
        value.backward()
        return value

    optimizer.step(loss)
    return model


def correlated(n, size):
    return torch.randn(n, size, dtype=torch.float64) @ torch.randn(size, size, dtype=torch.float64) + torch.arange(size)


def test_the_gaussian_fit_is_the_multivariate_normal_one():
    x = correlated(500, 4)
    closed = MultivariateNormal(x.mean(0), x.T.cov(correction=0))
    for order in ("natural", "random"):
        model = fitted(FVBN(event_shape=(2, 2), context_shape=None, support=constraints.real, order=order), x.view(-1, 2, 2))
        torch.testing.assert_close(model.log_prob(x.view(-1, 2, 2)), closed.log_prob(x), atol=1e-4, rtol=0)


def test_the_gaussian_fit_without_the_weights_is_another():
    x = correlated(500, 4)
    model = FVBN(event_shape=(4,), context_shape=None, support=constraints.real).double()
    model.initialize(Batch(x))
    closed = MultivariateNormal(x.mean(0), x.T.cov(correction=0))
    assert model.log_prob(x).mean() < closed.log_prob(x).mean() - 0.1


def test_with_a_context_each_group_has_its_mean_and_scale():
    label = torch.arange(400) % 2
    x = torch.randn(400, 1, dtype=torch.float64) * (1.0 + 2.0 * label[:, None]) + 5.0 * label[:, None]
    context = torch.nn.functional.one_hot(label, 2).double()
    model = fitted(FVBN(event_shape=(1,), context_shape=(2,), support=constraints.real), x, context)
    for group in (0, 1):
        own = x[label == group]
        closed = torch.distributions.Normal(own.mean(), own.std(correction=0))
        scores = model.log_prob(own, context[label == group])
        torch.testing.assert_close(scores, closed.log_prob(own).squeeze(1), atol=1e-4, rtol=0)


def test_two_binary_entries_are_fitted_exactly():
    """Logistic regression on one binary entry can be any table, so the fit is the table of frequencies."""
    table = torch.tensor([[30.0, 10.0], [5.0, 55.0]]).double()
    x = torch.tensor([[i, j] for i in (0, 1) for j in (0, 1) for _ in range(int(table[i, j]))]).double()
    model = fitted(FVBN(event_shape=(2,), context_shape=None, support=constraints.boolean), x)
    events = torch.cartesian_prod(*[torch.tensor([0.0, 1.0]).double()] * 2)
    torch.testing.assert_close(model.log_prob(events).exp(), table.flatten() / 100, atol=1e-5, rtol=0)


def test_two_categorical_entries_are_fitted_exactly():
    table = torch.tensor([[8, 1, 3], [2, 9, 4], [5, 6, 7]])
    x = torch.tensor([[i, j] for i in range(3) for j in range(3) for _ in range(int(table[i, j]))])
    model = fitted(FVBN(event_shape=(2,), context_shape=None, support=categorical(3)), x)
    events = torch.cartesian_prod(torch.arange(3), torch.arange(3))
    torch.testing.assert_close(model.log_prob(events).exp(), table.flatten() / table.sum().double(), atol=1e-5, rtol=0)
