"""Figures hold what they are given, where their labels say."""

import io

import numpy as np
import pytest
import torch
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.text import Text

from autoencoders.figures import charts, codes, images, vectors
from autoencoders.figures.style import PALETTE


def test_a_montage_holds_every_image_in_its_place():
    rows = [torch.rand(3, 1, 5, 4), torch.rand(3, 1, 5, 4)]
    canvas = images.montage(rows)
    assert canvas.shape == (1, 2 * 5 + images.GAP, 3 * 4 + 2 * images.GAP)
    for i, row in enumerate(rows):
        for j, image in enumerate(row):
            top, left = i * (5 + images.GAP), j * (4 + images.GAP)
            assert torch.equal(canvas[:, top : top + 5, left : left + 4], image)


@pytest.mark.parametrize("channels", [1, 3])
def test_each_rows_label_stands_beside_it(channels):
    rows = [("original", torch.rand(4, channels, 8, 8)), ("AE", torch.rand(4, channels, 8, 8))]
    figure = images.image_rows(rows, "Reconstructions", "a note")
    (axes,) = figure.axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["original", "AE"]
    first, second = axes.get_yticks()
    assert 0 < first < 8  # pixel rows of the montage: the first image, the gap, the second
    assert 8 + images.GAP < second < 16 + images.GAP
    assert axes.get_title() == "Reconstructions"


def test_a_grid_is_square():
    figure = images.image_grid(torch.rand(9, 1, 8, 8), "Samples")
    assert figure.axes[0].get_images()[0].get_array().shape == (28, 28)


@pytest.mark.parametrize("latent_dim", [1, 2, 8])
def test_the_latent_space_shows_every_code_and_the_prior(latent_dim):
    torch.manual_seed(0)
    z, labels = 2 * torch.randn(60, latent_dim), torch.arange(60) % 3
    prior = 2 * torch.randn(100_000, latent_dim)
    figure = codes.latent_space(z / 2, z, labels, ("a", "b", "c"), prior, "title", "note")
    assert isinstance(figure, Figure)
    plane, histogram = figure.axes
    assert sum(len(points.get_offsets()) for points in plane.collections) == 60
    assert [text.get_text() for text in plane.get_legend().get_texts()] == ["a", "b", "c"]
    *bars, outline = histogram.patches
    heights = [bar.get_height() for bar in bars]
    edges = [bars[0].get_x(), *(bar.get_x() + bar.get_width() for bar in bars)]
    of_prior = outline.get_xy()[:, 1]  # the outline goes up and down at each edge
    assert of_prior.max() == pytest.approx(1 / (2 * np.sqrt(2 * np.pi)), rel=0.05)
    assert np.allclose(of_prior[1:-1:2], np.histogram(prior, edges, density=True)[0])
    assert np.allclose(heights, np.histogram(z, edges, density=True)[0], atol=1e-3)  # of the draws


@pytest.mark.filterwarnings("error")
def test_codes_without_classes_have_no_legend():
    points, labels = torch.randn(20, 3), torch.zeros(20, dtype=torch.long)
    plane, _ = codes.latent_space(
        points, points, labels, (), torch.randn(9, 2), "title", "note"
    ).axes
    assert plane.get_legend() is None
    assert len(plane.collections[0].get_offsets()) == 20
    assert len(codes.embeddings([("data", points[:4])], labels[:4], (), "title").axes) == 2


def texts(axes):
    return [text.get_text() for text in axes.texts]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("value", [0.0, 0.1, -4e6, 1e-20])
@pytest.mark.parametrize("n", [1, 4, 30])
def test_equal_points_have_no_variance_and_no_neighbours(value, n):
    """Also where they differ by the rounding of single precision."""
    points, labels = torch.full((n, 3), value), torch.arange(n) % 2
    points[::2] *= 1 + 2e-7
    plane, _ = codes.latent_space(
        points, points, labels, ("a", "b"), torch.randn(9, 2), "title", "note"
    ).axes
    assert plane.get_title() == "Codes by class (PCA, no variance)"
    figure = codes.embeddings([("data", points)], labels, ("a", "b"), "title")
    above, below = figure.axes
    assert above.get_xlabel() == "no variance"
    assert texts(below) == ["fewer than 5 points" if n < 5 else "all points are equal"]
    assert not below.collections
    figure.draw_without_rendering()


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("constant", [0.0, 1234567.8])
@pytest.mark.parametrize("shift", [0.0, 1e4])
def test_the_share_of_the_variance_is_that_of_the_plane(constant, shift):
    """Beside a constant column, and far from the origin; against NumPy."""
    generator = torch.Generator().manual_seed(0)
    points = shift + torch.randn(200, 3, generator=generator) * torch.tensor([3.0, 2.0, 1.5])
    points = torch.cat([points, torch.full((200, 1), constant)], 1)
    variances = np.linalg.eigvalsh(np.cov(points.double().numpy().T))
    _, share = codes.principal_plane(points)
    assert share == pytest.approx(variances[-2:].sum() / variances.sum(), rel=1e-6)
    figure = codes.embeddings([("data", points)], torch.zeros(200, dtype=torch.long), (), "title")
    assert figure.axes[0].get_xlabel() == f"{share:.0%} of the variance"
    assert len(figure.axes[1].collections[0].get_offsets()) == 200


@pytest.mark.filterwarnings("error")
def test_the_errors_of_features_without_variance():
    variances, names = torch.tensor([0.0, 4.0, 0.0, 1.0]), ("a", "b", "c", "d")
    by_model = {
        "good": torch.tensor([0.0, 1.0, 0.25, 0.0]),
        "bad": torch.tensor([10.0, 5.0, 10.0, 5.0]),
        "perfect": torch.zeros(4),
    }
    figure = vectors.errors(variances, by_model, names, "title")
    figure.draw_without_rendering()
    good, bad, perfect, _ = figure.axes
    assert good.get_title() == "good: 75% of the variance"
    assert good.collections[0].get_offsets().tolist() == [[4, 1]]
    assert good.get_xlabel() == "variance of the feature; 3 at 0 not shown"
    assert texts(good) == ["b"]
    assert bad.get_title() == "bad: error 6 times the variance"
    assert sorted(bad.collections[0].get_offsets().tolist()) == [[1, 5], [4, 5]]
    assert perfect.get_title() == "perfect: 100% of the variance"
    assert texts(perfect) == ["no error"]


@pytest.mark.filterwarnings("error")
def test_the_errors_of_features_none_of_which_varies():
    figure = vectors.errors(torch.zeros(3), {"AE": torch.ones(3)}, (), "title")
    (panel,) = figure.axes
    assert panel.get_title() == "AE: no variance to know"
    assert texts(panel) == ["all examples are equal"]


@pytest.mark.filterwarnings("error")
def test_the_names_of_features_stand_beside_the_panel():
    """Also those of one feature, whose axes are narrow."""
    figure = vectors.errors(torch.tensor([1.18]), {"AE": torch.tensor([1.19])}, ("a",), "title")
    figure.savefig(io.BytesIO(), format="png", dpi=50)
    (panel,) = figure.axes
    assert panel.get_title() == "AE: error 1.01 times the variance"
    (name,) = panel.texts
    assert panel.bbox.x1 < Text.get_window_extent(name).x0 < figure.bbox.x1


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("value", [0.0, 0.1, 1e18])
def test_the_totals_of_equal_examples_have_a_bar(value):
    x = torch.full((30, 4), value)
    figure = vectors.moments(x, {"prior": x.clone()}, "title")
    figure.draw_without_rendering()
    totals = figure.axes[2]
    bars = [bar for bar in totals.patches if getattr(bar, "get_width", lambda: 0)() > 0]
    (only,) = [bar for bar in bars if bar.get_height() > 0]
    assert only.get_x() <= 4 * np.float32(value).item() <= only.get_x() + only.get_width()


def test_the_palette_tells_ten_classes_apart():
    assert len(set(PALETTE)) == 10


def luminance(colour):
    """WCAG 2.1's relative luminance."""
    parts = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return linear @ (0.2126, 0.7152, 0.0722)


def test_every_colour_stands_out_from_white():
    assert min(1.05 / (luminance(colour) + 0.05) for colour in PALETTE) > 2


def test_few_points_are_drawn_larger_than_many():
    sizes = []
    for n in (50, 5000):
        axes = Figure().subplots()
        codes.scatter(axes, np.zeros((n, 2)), torch.zeros(n, dtype=torch.long), ("a",))
        sizes.append(axes.collections[0].get_sizes()[0])
    assert sizes[0] > 2 * sizes[1] > 0


def test_error_bars_reach_one_deviation_and_the_floor_lies_within_the_axes():
    groups = [("AE", {"prior": 16.0, "mixture": 2.0}), ("VAE", {"prior": 8.0})]
    stds = [{"prior": 3.0}, {}]
    figure = charts.bars(groups, "title", "y", floor=("real", 0.01), stds=stds)
    (axes,) = figure.axes
    segments = [bar.get_segments() for bar in axes.collections]
    ends = [[s[:, 1].tolist() for s in several if len(s)] for several in segments]
    assert ends[0][0] == [13.0, 19.0]
    assert ends[0][1] == [8.0, 8.0]  # a single seed: nothing to see
    low, high = axes.get_ylim()
    assert low < 0
    assert high > 19
    line = next(line for line in axes.lines if line.get_linestyle() == "--")
    height = axes.transAxes.inverted().transform(axes.transData.transform((0, 0.01)))[1]
    assert line.get_ydata()[0] == 0.01
    assert height > 0.02  # of the axes' height: it does not lie on the axis


def test_each_term_has_a_panel_with_training_beside_validation():
    history = {
        "train/loss": {1: 90.0, 2: 80.0, 3: 75.0},
        "train/kl": {1: 1.0, 2: 30.0, 3: 31.0},
        "val/loss": {2: 85.0},
        "val/mse": {2: 0.1},
        **{f"train/{name}": {1: 1.0, 2: 2.0, 3: 0.0} for name in "ab"},
    }
    figure = charts.loss_curves(history, "title", "note")
    panels = {axes.get_title(): axes for axes in figure.axes if axes.axison}
    assert list(panels) == ["loss", "kl", "a", "b"]
    training, validation = panels["loss"].lines
    assert training.get_xydata().tolist() == [[1, 90], [2, 80], [3, 75]]
    assert validation.get_xydata().tolist() == [[2, 85]]
    scales = [axes.get_yscale() for axes in panels.values()]
    assert scales == ["linear", "log", "linear", "linear"]
    figure.draw_without_rendering()
    marks = [label.get_text() for label in panels["kl"].get_yticklabels()]
    assert {"1", "2", "5", "10", "20"} <= set(marks)  # figures are saved without formulas
    figure.canvas.draw()
    ticks = panels["kl"].get_yticklabels(which="both")
    assert {"1", "10"} < {tick.get_text() for tick in ticks}
    assert not any("$" in tick.get_text() for tick in ticks)  # which would be shown as it is
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["training", "validation"]
    assert all(float(tick).is_integer() for tick in panels["loss"].get_xticks())


def test_parallel_coordinates_of_numbers_and_words():
    settings = {"lr": [0.001, 0.1, 0.01], "precision": ["16-mixed", 32, "32-true"]}
    figure = charts.parallel_coordinates(settings, ("FD-CNN", [3.0, 1.0, 2.0]), "searched")
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert {"lr (log)", "precision", "FD-CNN", "16-mixed", "32", "32-true"} < set(texts)
    trials = [line.get_ydata() for line in figure.axes[0].lines if len(line.get_ydata()) == 3]
    assert np.allclose(sorted(map(tuple, trials)), [(0, 0, 1), (0.5, 1, 0.5), (1, 0.5, 0)])


def test_the_axes_of_a_search():
    """Logarithmic where the space is, whole numbers whole, and a legend for the colour."""
    settings = {"latent_dim": [4, 9, 5], "lr": [0.001, 0.004, 0.002], "weight": [1.0, 100.0, 10.0]}
    log = {"lr": True, "weight": False}
    figure = charts.parallel_coordinates(settings, ("FD", [3.0, 1.0, 2.0]), "title", log=log)
    axes, colours = figure.axes
    texts = [text.get_text() for text in axes.texts]
    assert {"lr (log)", "weight", "latent_dim", "4", "6", "9"} < set(texts)
    assert "6.5" not in texts
    lines = {line.get_ydata()[-1]: line for line in axes.lines if len(line.get_ydata()) == 4}
    third = lines[0.5].get_ydata()
    assert np.allclose(third, [1 / 5, np.log(2) / np.log(4), 9 / 99, 1 / 2])
    marks = dict(zip(texts, (text.get_position()[1] for text in axes.texts), strict=True))
    assert marks["6"] == pytest.approx(2 / 5)
    assert colours.get_ylim() == (1, 3)
    assert colours.get_ylabel() == "FD, the darker the better"
    wide = charts.parallel_coordinates(settings, ("FD", [3.0, 1.0, 200.0]), "title")
    wide.canvas.draw()
    texts = [tick.get_text() for tick in wide.axes[1].get_yticklabels(which="both")]
    assert {"1", "10", "100"} < set(texts)
    assert not any("$" in text for text in texts)
    brightness = [sum(to_rgb(lines[height].get_color())) for height in (0, 0.5, 1)]
    assert brightness == sorted(brightness)  # the best is the darkest
