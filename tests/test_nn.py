"""The shared network pieces."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from probgen import ConfigurationError, ShapeError
from probgen.nn import MLP, ConvDecoder, ConvEncoder, Linear, activation_layer, linear, over_leading, soft_limit

BATCH = st.lists(st.integers(1, 3), max_size=2).map(tuple)


def test_linear_is_an_affine_map():
    layer = Linear(3, 2)
    x = torch.randn(4, 5, 3)
    torch.testing.assert_close(layer(x), x @ layer.weight.T + layer.bias)
    torch.testing.assert_close(linear(x, layer.weight), x @ layer.weight.T)


def test_linear_starts_as_glorot_says():
    layer = Linear(300, 100)
    bound = math.sqrt(6 / 400)
    assert layer.weight.abs().max() <= bound
    assert abs(layer.weight.std() - bound / math.sqrt(3)) < 5 * bound / math.sqrt(layer.weight.numel())
    assert torch.equal(layer.bias, torch.zeros(100))


class TestMLP:
    @given(batch=BATCH)
    def test_it_keeps_leading_dimensions(self, batch):
        assert MLP((3, 5, 2))(torch.zeros(*batch, 3)).shape == (*batch, 2)

    def test_its_layers(self):
        plain = MLP((3, 5, 2), activation="relu", dropout=0.5)
        kinds = (Linear, nn.ReLU, nn.Dropout, Linear)
        assert all(isinstance(layer, kind) for layer, kind in zip(plain, kinds, strict=True))
        assert isinstance(MLP((3, 5), activate_last=True)[-1], nn.Tanh)

    @pytest.mark.parametrize("sizes", [(), (3,), (3, 0)])
    def test_sizes_are_checked(self, sizes):
        with pytest.raises(ConfigurationError, match="MLP: expected two sizes or more"):
            MLP(sizes)

    def test_activations_are_known_by_name(self):
        with pytest.raises(ConfigurationError, match=r"got 'tanhh'\. Did you mean 'tanh'\?"):
            activation_layer("tanhh")


class TestConvolutions:
    @given(height=st.integers(4, 13), width=st.integers(4, 13), channels=st.integers(1, 3), batch=BATCH)
    def test_any_image_and_any_batch(self, height, width, channels, batch):
        shape = (channels, height, width)
        features = ConvEncoder(shape, features=5, channels=(2, 3))(torch.zeros(*batch, *shape))
        assert features.shape == (*batch, 5)
        assert ConvDecoder(shape, features=5, channels=(3, 2))(features).shape == (*batch, *shape)

    def test_an_extra_vector_matters(self):
        encoder = ConvEncoder((1, 4, 4), features=5, extra=2)
        image = torch.randn(3, 1, 4, 4)
        assert not torch.equal(encoder(image, torch.zeros(3, 2)), encoder(image, torch.ones(3, 2)))

    @pytest.mark.parametrize("shape", [(4, 4), (1, 3, 8), (0, 8, 8)])
    @pytest.mark.parametrize("network", [ConvEncoder, ConvDecoder])
    def test_what_is_no_image(self, network, shape):
        with pytest.raises(ShapeError, match=rf"{network.__name__}: expected an image shape .* Use architecture='mlp'"):
            network(shape, features=5)


def test_over_leading_agrees_with_a_flat_batch():
    network = nn.Conv2d(1, 2, 3)
    x = torch.randn(2, 3, 1, 5, 5)
    torch.testing.assert_close(over_leading(network, x, 3).flatten(0, 1), network(x.flatten(0, 1)))
    torch.testing.assert_close(over_leading(network, x[0, 0], 3), network(x[0, :1])[0])


def test_soft_limit_is_a_bent_identity():
    x = torch.linspace(-100, 100, 201, dtype=torch.float64)
    y = soft_limit(x, 5.0)
    assert y.abs().max() <= 5.0
    assert (y.diff() >= 0).all()
    assert torch.autograd.functional.jacobian(lambda v: soft_limit(v, 5.0), torch.zeros(1)).item() == 1.0


@pytest.mark.parametrize("name", ["elu", "leaky-relu", "relu"])
def test_activations_write_over_only_where_no_gradient_is_recorded(name):
    written_over, plain = activation_layer(name, write_over=True), activation_layer(name)
    x = torch.linspace(-2, 2, 9)
    given = x.clone()
    assert torch.equal(written_over(given), plain(x))
    assert torch.equal(given, x)
    with torch.no_grad():
        assert written_over(given) is given
    assert torch.equal(given, plain(x))


def test_hooks_on_the_layers_of_a_network_see_their_results_in_training():
    network, seen = MLP((3, 4, 2), activation="relu"), []
    network[0].register_forward_hook(lambda layer, given, result: seen.append(result))
    network[0].register_full_backward_hook(lambda layer, before, after: None)
    x = torch.randn(5, 3, requires_grad=True)
    network(x).sum().backward()
    assert torch.equal(seen[0], linear(x, network[0].weight, network[0].bias))
