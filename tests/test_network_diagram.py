"""A model's networks are drawn as they compute, and the numbers add up to all of its parameters."""

import re

import pytest
import torch
from conftest import build, choices, compose_train
from torch import nn

from autoencoders import networks
from autoencoders.evaluation import exhibits
from autoencoders.figures.calls import is_chain, watch
from autoencoders.figures.networks import network_diagram, operation, table
from autoencoders.models import VAE


class Model(nn.Module):
    """A model of the parts given by name, each called on what the one before returns."""

    def __init__(self, **parts):
        super().__init__()
        for name, part in parts.items():
            setattr(self, name, part)
        self.called = [name for name, part in parts.items() if isinstance(part, nn.Module)]

    def forward(self, x):
        for name in self.called:
            x = getattr(self, name)(x)
        return x


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(6, 6), nn.Linear(6, 6)

    def forward(self, x):
        return x + self.second(self.first(x).relu())


class Heads(nn.Module):
    """Mean and logarithm of the variance, by a head each."""

    def __init__(self):
        super().__init__()
        self.body, self.mean, self.log_var = nn.Linear(6, 5), nn.Linear(5, 2), nn.Linear(5, 2)

    def forward(self, x):
        h = self.body(x)
        return torch.cat([self.mean(h), self.log_var(h)], 1)


class Block(nn.Module):
    """A transformer's."""

    def __init__(self):
        super().__init__()
        self.norm = nn.LayerNorm(8)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.mlp = nn.Sequential(nn.Linear(8, 16), nn.GELU(), nn.Linear(16, 8))

    def forward(self, x):
        h = self.norm(x)
        x = x + self.attention(h, h, h)[0]
        return x + self.mlp(x)


class Transformer(nn.Module):
    """Of images in patches, with a learned position."""

    def __init__(self):
        super().__init__()
        self.patches = nn.Conv2d(1, 8, 7, 7)
        self.position = nn.Parameter(torch.zeros(16, 8))
        self.blocks = nn.Sequential(Block(), Block())
        self.head = nn.Linear(8, 3)

    def forward(self, x):
        return self.head(self.blocks(self.patches(x).flatten(2).mT + self.position).mean(1))


class Conditional(nn.Module):
    """Its input comes in a second time."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(6, 4), nn.Linear(10, 2)

    def forward(self, x):
        return self.second(torch.cat([self.first(x), x], 1))


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.step = nn.Linear(6, 6)

    def forward(self, x):
        for _ in range(20):
            x = self.step(x)
        return x


class Filled(Residual):
    """An assignment to a part of a tensor is a step like any other."""

    def forward(self, x):
        out = torch.zeros(x.shape)
        out[:, :] = self.first(x)
        return self.second(out)


class InPlace(Residual):
    def forward(self, x):
        out = self.first(x)
        out += x
        return self.second(out)


class Scaled(Residual):
    """A parameter of its own, which no box would show."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(6))

    def forward(self, x):
        return self.second(self.first(x) * self.scale)


def series():
    return nn.Sequential(
        *(nn.Conv1d(3, 4, 5, stride=2, padding=2), nn.BatchNorm1d(4), nn.ReLU()),
        *(nn.Flatten(), nn.Linear(4 * 16, 2)),
    )


def texts(figure):
    return [text.get_text() for text in figure.findobj(lambda artist: hasattr(artist, "get_text"))]


def shown(figure):
    """The sum of the networks' parameters and of those that no network has, as headings and note
    say, and the total in the title."""
    title = re.search(r", ([\d,]+) parameters$", figure.get_suptitle())[1]
    note = figure.get_supxlabel()
    headings = [t for t in texts(figure) if re.match(r"[\w.]+: [\d,]+ parameters", t)]
    numbers = re.findall(r": ([\d,]+) parameters", "\n".join(headings))
    numbers += re.findall(r"\(([\d,]+) parameters\)", note)
    return sum(int(n.replace(",", "")) for n in numbers), int(title.replace(",", ""))


def count(module):
    return sum(parameter.numel() for parameter in module.parameters())


CHAINS = {
    "a row of layers": series,
    "a tensor that is filled": Filled,
    "a row with a dropout": lambda: nn.Sequential(
        nn.Linear(6, 6), nn.Dropout(), nn.ReLU(inplace=True), nn.Linear(6, 2)
    ),
}
TABLES = {
    "a residual network": Residual,
    "two heads": Heads,
    "a transformer": Transformer,
    "an input that comes in again": Conditional,
    "a layer that is called again and again": Recurrent,
    "a sum in place": InPlace,
    "a parameter of its own": Scaled,
}
INPUTS = {"a row of layers": (3, 32), "a transformer": (1, 28, 28)}


@pytest.mark.parametrize("name", [*CHAINS, *TABLES])
def test_layers_are_boxes_if_each_takes_what_the_one_before_returns(name):
    network = (CHAINS | TABLES)[name]()
    model, x = Model(net=network), torch.rand(2, *INPUTS.get(name, (6,)))
    figure = network_diagram(model, lambda: model(x), "title")
    assert ("module" in texts(figure)) == (name in TABLES)
    assert shown(figure) == (count(network), count(network))


def test_attention_and_what_a_module_owns_are_counted():
    model = Model(encoder=Transformer())
    seen = watch(model, lambda: model(torch.rand(2, 1, 28, 28)))
    lines = {line.name: line for line in table(seen.networks[0])}
    assert lines["position"].parameters == 16 * 8
    attention = lines["blocks.1.attention"]
    assert attention.parameters == count(model.encoder.blocks[1].attention)
    assert (attention.shape, lines["patches"].shape) == ((16, 8), (8, 4, 4))
    assert sum(line.parameters for line in lines.values()) == count(model)


def test_what_no_call_uses_is_named():
    model = Model(net=nn.Linear(6, 2), critic=nn.Linear(2, 1), points=nn.Parameter(torch.ones(7)))
    model.called = ["net"]
    figure = network_diagram(model, lambda: model(torch.rand(2, 6)), "title", "note")
    note = "points (7 parameters), critic (3 parameters); note"
    assert figure.get_supxlabel() == f"not drawn, since not called as a module: {note}"
    assert shown(figure) == (24, 24)


def test_shared_modules_count_once():
    layer = nn.Linear(6, 6)
    tied = nn.Linear(6, 6, bias=False)
    tied.weight = layer.weight
    model = Model(first=layer, again=layer, tied=tied)
    figure = network_diagram(model, lambda: model(torch.rand(2, 6)), "title")
    assert "first: 42 parameters" in texts(figure)
    assert "tied: 0 parameters and 36 shared with the above" in texts(figure)
    assert shown(figure) == (42, 42)


def test_a_deep_network_is_shown_as_deep_as_there_is_room():
    model = Model(encoder=nn.Sequential(*(Block() for _ in range(16))))
    seen = watch(model, lambda: model(torch.rand(2, 4, 8)))
    lines = table(seen.networks[0])
    assert [line.name for line in lines] == [str(i) for i in range(16)]
    assert sum(line.parameters for line in lines) == count(model)
    wide = Model(net=nn.Sequential(*(nn.Linear(6, 6) for _ in range(50))))
    lines = table(watch(wide, lambda: wide(torch.rand(2, 6))).networks[0])
    assert (len(lines), lines[-1].name) == (40, "11 further modules")
    assert sum(line.parameters for line in lines) == count(wide)


def test_a_module_called_again_is_one_line():
    model = Model(net=Recurrent())
    (line,) = table(watch(model, lambda: model(torch.rand(2, 6))).networks[0])
    assert line == ("step, 20 times", (6,), 42, "linear")


def test_watching_leaves_a_model_as_it_was():
    model = Model(net=nn.Sequential(nn.BatchNorm1d(6), nn.Dropout()))
    model.net[1].eval()
    before = [module.training for module in model.modules()]

    def fail():
        model(torch.rand(2, 6))
        raise RuntimeError

    with pytest.raises(RuntimeError):
        watch(model, fail)
    assert [module.training for module in model.modules()] == before
    assert model.net[0].num_batches_tracked == 0
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


def test_a_chains_boxes():
    network = nn.Sequential(
        nn.Conv2d(1, 4, 4, stride=2, padding=1, bias=False),
        *(nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 7 * 7, 3)),
    )
    model = Model(net=network)
    figure = network_diagram(model, lambda: model(torch.zeros(2, 1, 14, 14)), "title")
    shapes = ["1 x 14 x 14", "4 x 7 x 7", "3"]
    assert [text for text in texts(figure) if text in shapes] == shapes
    assert "conv 4x4\nstride 2\nbatch norm\nReLU\n72" in texts(figure)
    assert "linear\n591" in texts(figure)


def test_the_fields_words():
    words = {
        "conv 5": nn.Conv1d(1, 1, 5),
        "transposed\nconv 3x3x3": nn.ConvTranspose3d(1, 1, 3),
        "group norm": nn.GroupNorm(1, 2),
        "Multihead\nAttention": nn.MultiheadAttention(2, 1),
        "GELU": nn.GELU(),
        "": nn.Dropout(),
    }
    assert {operation(module) for module in words.values()} == words.keys()


@pytest.mark.parametrize("model", choices("model"))
def test_the_networks_of_every_model_are_drawn_with_all_their_parameters(model):
    data, model = build(compose_train(f"model={model}", "network.hidden_dim=2"))
    data.setup()
    figure = exhibits.networks(model, data, "note")
    drawn = {text.partition(":")[0] for text in texts(figure) if " parameters" in text}
    discriminator = {"discriminator"} if hasattr(model, "discriminator") else set()
    assert {"encoder", "decoder"} | discriminator <= drawn
    assert shown(figure) == (count(model), count(model))
    assert "module" not in texts(figure)


def test_a_models_own_further_modules_are_drawn():
    """A ladder of two codes, as a user would write it; the pass draws but leaves the seed alone."""

    class Ladder(VAE):
        def __init__(self, **common):
            super().__init__(**common)
            self.up, self.down = nn.Linear(8, 4), nn.Linear(4, 8)
            self.scale = nn.Parameter(torch.ones(3))

        def losses(self, batch, out):
            self.down(self.up(out.z))
            return super().losses(batch, out)

    data, _ = build(compose_train())
    data.setup()
    model = Ladder(network=networks.MLP(hidden_dim=4))
    torch.manual_seed(0)
    state = torch.get_rng_state()
    figure = exhibits.networks(model, data, "note")
    assert torch.equal(torch.get_rng_state(), state)
    headings = {text.partition(":")[0] for text in texts(figure) if " parameters" in text}
    assert {"encoder", "decoder", "up", "down"} <= headings
    assert "scale (3 parameters)" in figure.get_supxlabel()
    assert shown(figure) == (count(model), count(model))


@pytest.mark.parametrize("family", [networks.Paper(hidden_dim=2), networks.MLP(hidden_dim=8)])
def test_the_networks_of_other_families_are_chains(family):
    model = Model(encoder=family.encoder((1, 28, 28), 3), decoder=family.decoder(3, (1, 28, 28)))
    seen = watch(model, lambda: model(torch.rand(2, 1, 28, 28)))
    assert all(is_chain(call, seen.outlets[call.number]) for call in seen.networks)
