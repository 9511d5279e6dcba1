"""Pictures: the right kind for the data, drawn without a display, written whole or not at all."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from probgen import as_source, report
from probgen.batch import Batch
from probgen.capabilities import Autoencoder
from probgen.report.codes import interpolations, reconstructions
from probgen.report.curves import training_curves
from probgen.report.folder import draw_pictures
from probgen.report.pictures import compared, draws_grid, picture_grid, picture_rows
from probgen.report.style import save_figure
from probgen.sampler import Sampler
from probgen.training import MetricRow


def events(view, n=70):
    return view.split("test").batch(torch.arange(min(n, len(view.split("test"))))).x


def axes_of(figure):
    return [axes for axes in figure.axes if axes.has_data() or axes.images]


@pytest.fixture(scope="module")
def table():
    """A source of fourteen real columns."""
    values = torch.randn(200, 14, generator=torch.Generator().manual_seed(0)).double() * 3 + 5
    return as_source(values, name="wide")


class TestGrid:
    def test_pictures_stand_in_reading_order_with_a_line_between(self):
        pictures = torch.arange(5).view(5, 1, 1, 1).expand(5, 1, 2, 3) / 10
        grid = picture_grid(pictures, across=3)[..., 0]
        assert grid.shape == (5, 11)
        assert grid[0].tolist() == pytest.approx([0, 0, 0, 1, 0.1, 0.1, 0.1, 1, 0.2, 0.2, 0.2])
        assert grid[2].tolist() == [1.0] * 11
        assert grid[3, :7].tolist() == pytest.approx([0.3, 0.3, 0.3, 1, 0.4, 0.4, 0.4])
        assert grid[3:, 8:].min() == 1

    def test_colours(self):
        picture = torch.tensor([1.0, 0.5, 0.0]).view(1, 3, 1, 1).expand(1, 3, 4, 4)
        assert picture_grid(picture, across=1).tolist() == np.full((4, 4, 3), [1.0, 0.5, 0.0]).tolist()


class TestCompared:
    def test_pictures_become_grids(self):
        view = as_source("digits").view("binary")
        left, right = axes_of(compared(view, events(view, 40), events(view)))
        assert left.images[0].get_array().shape == right.images[0].get_array().shape == (6 * 9 - 1, 6 * 9 - 1)

    def test_two_columns_become_points_in_the_datas_own_units(self):
        view = as_source("moons", n=300).view("real")
        left, right = axes_of(compared(view, events(view), events(view)))
        data = as_source("moons", n=300).splits["test"]
        np.testing.assert_allclose(right.collections[0].get_offsets(), data, atol=1e-5)
        assert left.get_xlim() == right.get_xlim()
        assert (right.get_xlabel(), right.get_ylabel()) == ("x", "y")

    def test_many_columns_become_histograms(self, table):
        view = table.view("real")
        figure = compared(view, events(view), events(view))
        assert [axes.get_xlabel() for axes in axes_of(figure)] == [f"x{entry}" for entry in range(12)]
        heights = [patch.get_height() for patch in axes_of(figure)[0].patches]
        assert sum(heights) == pytest.approx(2.0)  # shares of the data, and of the samples

    def test_samples_outside_the_datas_range_are_counted(self, table):
        view = table.view("real")
        samples = events(view).clone()
        samples[: len(samples) // 4] += 1000
        axes = axes_of(compared(view, samples, events(view)))[0]
        assert axes.get_title(loc="right") == "25.0% outside"
        assert sum(patch.get_height() for patch in axes.patches) == pytest.approx(1.75)  # they are in no bin
        assert axes_of(compared(view, events(view), events(view)))[0].get_title(loc="right") == ""

    def test_samples_that_are_no_numbers_are_outside(self, table):
        view = table.view("real")
        axes = axes_of(compared(view, events(view) * float("nan"), events(view)))[0]
        assert axes.get_title(loc="right") == "100.0% outside"

    def test_points_outside_the_frame_are_counted(self):
        view = as_source("moons", n=2000).view("real")
        held_out = view.split("test").all().x
        samples = held_out.repeat(6, 1)
        samples[0] += 1000
        left, right = axes_of(compared(view, samples, held_out))
        assert left.get_title(loc="left") == "Samples of the model, below 0.1% outside"
        assert right.get_title(loc="left") == "Held-out data"


class TestRows:
    def test_each_row_has_its_name(self):
        view = as_source("digits").view("binary")
        (axes,) = picture_rows(view, [("data", events(view, 5)), ("decoded", events(view, 5))]).axes
        assert [label.get_text() for label in axes.get_yticklabels()] == ["data", "decoded"]
        assert axes.images[0].get_array().shape == (17, 44)

    def test_a_square_of_draws(self):
        view = as_source("digits").view("binary")
        (axes,) = draws_grid(view, events(view, 10)).axes
        assert axes.images[0].get_array().shape == (3 * 9 - 1, 4 * 9 - 1)


class Projection(torch.nn.Module, Autoencoder, Sampler):
    """Keeps the first entries of an event; the code of an event is its flat shape halved."""

    def __init__(self, view):
        super().__init__()
        self.event_shape, self.context_shape, self.support = view.event_shape, view.context_shape, view.support

    def encode(self, x, context=None):
        return x.flatten(1)[:, : x[0].numel() // 2]

    def decode(self, z, context=None):
        return torch.cat([z, torch.zeros(len(z), self.event_shape.numel() - z.shape[1])], 1).reshape(-1, *self.event_shape)

    def _sample(self, n, context):
        assert context is None or len(context) == n
        return torch.rand(n, *self.event_shape).round()


class TestCodes:
    def test_reconstructions_of_pictures(self):
        view = as_source("digits").view("binary")
        (axes,) = reconstructions(Projection(view), view, Batch(events(view))).axes
        grid = axes.images[0].get_array()
        np.testing.assert_array_equal(grid[:4], grid[9:13])  # the upper halves survive
        assert grid[13:].max() <= 1
        assert grid[13:, :8].max() == 0  # and the lower ones do not

    def test_walks_lead_from_one_event_to_the_other(self):
        view = as_source("digits").view("binary")
        x = events(view)
        (axes,) = interpolations(Projection(view), view, Batch(x)).axes
        grid = axes.images[0].get_array()
        np.testing.assert_array_equal(grid[:4, :8], x[0, 0, :4])
        np.testing.assert_array_equal(grid[:4, -8:], x[1, 0, :4])

    def test_tables(self, table):
        view = table.view("real")
        batch = Batch(events(view))
        assert len(axes_of(reconstructions(Projection(view), view, batch))) == 8
        assert len(axes_of(interpolations(Projection(view), view, batch))) == 8

    def test_conditional_models_get_their_contexts(self):
        view = as_source("digits").view("binary", context="label")
        batch = view.split("test").batch(torch.arange(20))
        assert interpolations(Projection(view), view, batch).axes


def rows(stage="main", phase="main", steps=100, split="train"):
    return [MetricRow(stage, step, step / 10, split, phase, "value", -100 / step) for step in range(1, steps + 1)]


class TestCurves:
    def test_training_and_validation_with_a_unit(self):
        (axes,) = training_curves(rows() + rows(split="valid", steps=20), {("main", "main"): "elbo [nats]"}).axes
        assert (axes.get_xlabel(), axes.get_ylabel()) == ("step", "elbo [nats]")
        assert [text.get_text() for text in axes.get_legend().get_texts()] == ["training batches", "validation data"]
        assert [len(line.get_xdata()) for line in axes.lines] == [100, 20]

    def test_the_first_steps_do_not_flatten_the_rest(self):
        (axes,) = training_curves(rows(steps=1000), {}).axes
        assert axes.get_ylim()[0] > -3

    def test_a_plot_for_each_phase_of_each_stage(self):
        measured = rows("gan", "critic") + rows("gan", "generator") + rows("prior", "main")
        values = {("gan", "critic"): "distance", ("gan", "generator"): "loss", ("prior", "main"): "log_prob [nats]"}
        figure = training_curves(measured, values)
        assert [axes.get_title(loc="left") for axes in figure.axes] == ["gan: critic", "gan: generator", "prior"]
        assert [axes.get_ylabel() for axes in figure.axes] == list(values.values())

    def test_nothing_was_measured(self):
        assert training_curves([], {}) is None

    def test_constant_and_infinite_values(self):
        broken = [
            MetricRow("main", step, 0.0, "train", "main", "value", value) for step, value in ((1, 2.0), (2, float("inf")))
        ]
        assert training_curves(broken, {}).axes


class TestFolder:
    def test_what_the_model_can_do_is_drawn(self, tmp_path):
        view = as_source("digits").view("binary")
        assert draw_pictures(tmp_path, Projection(view), view, rows(), {}) == [
            "samples.png",
            "reconstructions.png",
            "interpolation.png",
            "curves.png",
        ]
        for path in tmp_path.iterdir():
            with Image.open(path) as picture:
                assert picture.width > 400

    def test_what_is_there_stays(self, tmp_path):
        view = as_source("moons", n=200).view("real")
        (tmp_path / "samples.png").write_bytes(b"mine")
        draw_pictures(tmp_path, Projection(view), view, [], {})
        assert (tmp_path / "samples.png").read_bytes() == b"mine"
        assert not (tmp_path / "curves.png").exists()

    def test_the_seed_decides_and_the_global_stream_is_left_alone(self, tmp_path):
        view = as_source("moons", n=200).view("real")
        pictures = []
        for number, seed in enumerate((0, 0, 1)):
            folder = tmp_path / str(number)
            folder.mkdir()
            before = torch.get_rng_state()
            draw_pictures(folder, Projection(view), view, [], {}, seed=seed)
            assert torch.equal(before, torch.get_rng_state())
            pictures.append((folder / "samples.png").read_bytes())
        assert pictures[0] == pictures[1] != pictures[2]

    def test_a_picture_is_written_whole_or_not_at_all(self, tmp_path, monkeypatch):
        figure = training_curves(rows(), {})

        def full(*_, **__):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(figure, "savefig", full)
        with pytest.raises(OSError, match="No space left"):
            save_figure(figure, tmp_path / "curves.png")
        assert list(tmp_path.iterdir()) == []


def test_there_is_no_current_figure_to_leak():
    folder = Path(report.__file__).parent
    assert not [path.name for path in folder.glob("*.py") if "matplotlib.pyplot" in path.read_text()]
