"""What researchers add that no shipped example shows: each as they would write it, run by the real
command in this process, its numbers recomputed from its weights."""

import math

import pytest
import torch
import torch.nn.functional as F
from pydantic import BaseModel
from test_train import short_run
from torch import nn

import autoencoders.data
import autoencoders.losses
import autoencoders.models
import autoencoders.networks
from autoencoders.data import DataModule, Digits, Examples
from autoencoders.distributions import NormalPosterior, NormalPrior
from autoencoders.models import AE, VAE
from autoencoders.runs import load_run, load_sampler

EVALUATED = ("evaluate=true", "evaluation.images=40", "network=mlp", "model=ae")


@pytest.fixture
def run_own(tmp_path, monkeypatch):
    """Runs train.py with classes of the test's own; returns the run, read back, and its numbers."""

    def run(*overrides, figures=False, **own):
        rooms = {"model": autoencoders.models, "network": autoencoders.networks}
        rooms |= {"dataset": autoencoders.data, "cost": autoencoders.losses}
        targets = []
        for key, made in own.items():
            monkeypatch.setattr(rooms[key], "Own", made, raising=False)
            name = "+model.cost" if key == "cost" else key
            target = f"{rooms[key].__name__}.Own"
            targets.append(f"model.cost={{_target_: {target}}}" if key == "cost" else "")
            targets[-1] = targets[-1] or f"{name}._target_={target}"
        short_run(tmp_path / "run", *EVALUATED, *targets, *overrides, figures=figures)
        read = load_run(tmp_path / "run")
        return read, read.metrics

    return run


def drawn(run):
    """The figures of a run, none of which has failed."""
    return {path.stem for path in (run.folder / "figures").glob("*.png")}


class Ancestral:
    """z ~ p(z|u), u ~ N(0, I): drawn, with no density in closed form."""

    scale = 1.0

    def __init__(self, model):
        self.model = model
        self.latent_dim = model.latent_dim

    def draw(self, n, generator=None, device=None):
        u = NormalPrior(2).draw(n, generator, self.model.device)
        with torch.no_grad():
            below = NormalPosterior.of(self.model.down(u))
        noise = torch.randn(below.mean.shape, generator=generator).to(u)
        return (below.mean + (below.log_var / 2).exp() * noise).to(device or u.device)

    def frozen(self):
        return self


class Hierarchical(VAE):
    """Two posteriors: Q(z|x) and Q(u|z), and a prior of z that depends on u."""

    label = "Hierarchical"

    def __init__(self, **common):
        super().__init__(**common)
        self.up = nn.Linear(self.latent_dim, 4)
        self.down = nn.Linear(2, 2 * self.latent_dim)
        self.prior = Ancestral(self)

    def forward(self, batch):
        out = super().forward(batch)
        top = NormalPosterior.of(self.up(out.z))
        out.extras = {"top": top, "u": top.draw()}
        return out

    def losses(self, batch, out):
        reconstruction = self.reconstruction(batch, out)
        below = NormalPosterior.of(self.down(out.extras["u"]))
        kl = (out.posterior.log_prob(out.z) - below.log_prob(out.z)).mean()
        kl_top = out.extras["top"].kl(NormalPrior(2), out.extras["u"])
        terms = {"reconstruction": reconstruction, "kl": kl, "kl_top": kl_top}
        return {"loss": reconstruction + kl + kl_top, **terms}


def test_two_posteriors_and_a_prior_without_a_density(run_own, capsys):
    run, metrics = run_own(model=Hierarchical, figures=True)
    assert metrics["test/loss"] == pytest.approx(
        metrics["test/reconstruction"] + metrics["test/kl"] + metrics["test/kl_top"], rel=1e-4
    )
    x = run.data.test.x()
    with torch.no_grad():
        top = NormalPosterior.of(run.model.up(run.model(run.data.test.batch()).z))
    exact = 0.5 * (top.mean**2 + top.log_var.exp() - 1 - top.log_var).sum(1).mean()
    assert metrics["test/kl_top"] == pytest.approx(exact.item(), rel=0.25)  # draws vary
    assert metrics["test/mse"] == pytest.approx(F.mse_loss(run.model.reconstruct(x), x).item())
    assert "prior/fd_cnn" in metrics
    assert not {"latent/kl", "prior/log_likelihood"} & metrics.keys()
    assert "kl: AttributeError" in capsys.readouterr().out
    assert {"networks", "latent_space", "samples_prior"} <= drawn(run)


class SemiSupervised(VAE):
    """A classifier on the codes, which the labels of all examples teach."""

    label = "Semi-supervised"

    def __init__(self, **common):
        super().__init__(**common)
        self.classifier = nn.Linear(self.latent_dim, self.classes)

    def losses(self, batch, out):
        terms = super().losses(batch, out)
        logits = self.classifier(out.posterior.mean)
        class_loss = F.cross_entropy(logits, batch.labels)
        accuracy = (logits.argmax(1) == batch.labels).float().mean()
        loss = terms["loss"] + class_loss
        return {**terms, "loss": loss, "class_loss": class_loss, "class_accuracy": accuracy}


def test_labels_reach_validation_and_test(run_own):
    run, metrics = run_own("monitor=val/class_accuracy", model=SemiSupervised)
    logits = run.model.classifier(run.model.encode(run.data.test.x()))
    accuracy = (logits.argmax(1) == run.data.test.labels).float().mean().item()
    assert metrics["test/class_accuracy"] == pytest.approx(accuracy, abs=1e-6)
    expected = F.cross_entropy(logits, run.data.test.labels).item()
    assert metrics["test/class_loss"] == pytest.approx(expected, rel=1e-4)


class VectorQuantised(AE):
    """The nearest of a codebook's vectors is decoded; gradients pass by it."""

    label = "VQ"

    def __init__(self, **common):
        super().__init__(**common)
        self.codebook = nn.Embedding(16, self.latent_dim)

    def forward(self, batch):
        out = super().forward(batch)
        nearest = torch.cdist(out.z, self.codebook.weight).argmin(1)
        out.extras["quantised"] = quantised = self.codebook(nearest)
        out.logits = self.logits(out.z + (quantised - out.z).detach(), batch)
        return out

    def losses(self, batch, out):
        reconstruction = self.reconstruction(batch, out)
        quantised = out.extras["quantised"]
        codebook_loss = (quantised - out.z.detach()).square().sum(1).mean()
        commitment = (quantised.detach() - out.z).square().sum(1).mean()
        loss = reconstruction + codebook_loss + 0.25 * commitment
        terms = {"codebook_loss": codebook_loss, "commitment": commitment}
        return {"loss": loss, "reconstruction": reconstruction, **terms}


def test_further_modules_are_trained(run_own):
    torch.manual_seed(0)
    run, metrics = run_own(model=VectorQuantised)
    state = torch.load(run.folder / "checkpoints/last.ckpt", weights_only=True)
    moved = [
        s for s in state["optimizer_states"][0]["state"].values() if s["exp_avg"].shape[0] == 16
    ]
    assert len(moved) == 1  # the codebook's
    z = run.model.encode(run.data.test.x())
    gap = torch.cdist(z, run.model.codebook.weight).min(1).values.square().mean().item()
    assert metrics["test/commitment"] == pytest.approx(gap, rel=1e-3)


class Patches(BaseModel):
    """A vision transformer's encoder; a linear decoder."""

    dim: int = 8

    def encoder(self, shape, out_dim):
        return Transformer(shape, self.dim, out_dim)

    def decoder(self, latent_dim, shape):
        return nn.Sequential(nn.Linear(latent_dim, math.prod(shape)), nn.Unflatten(1, shape))


class Transformer(nn.Module):
    def __init__(self, shape, dim, out_dim):
        super().__init__()
        self.embed = nn.Conv2d(shape[0], dim, 7, stride=7)
        self.place = nn.Parameter(torch.zeros(16, dim))
        self.attention = nn.MultiheadAttention(dim, 2, batch_first=True)
        self.head = nn.Linear(dim, out_dim)

    def forward(self, x):
        tokens = self.embed(x).flatten(2).transpose(1, 2) + self.place  # (B, 16, dim)
        tokens = tokens + self.attention(tokens, tokens, tokens)[0]
        return self.head(tokens.mean(1)).to(x.dtype)


def test_attention_and_skips(run_own, tmp_path):
    run, metrics = run_own(
        "~network.hidden_dim",
        "~network.layers",
        "~network.norm",
        "~network.dropout",
        network=Patches,
        figures=True,
    )
    assert metrics["parameters"] == sum(p.numel() for p in run.model.parameters())
    assert "networks" in drawn(run)
    x = run.data.test.x()
    assert metrics["test/mse"] == pytest.approx(F.mse_loss(run.model.reconstruct(x), x).item())


class Waves(DataModule):
    """Two channels of noisy sines; the class is the frequency."""

    label = "waves"
    kind = "series"
    shape = (2, 24)
    bounded = False
    class_names = ("slow", "fast")

    def load(self):
        generator = torch.Generator().manual_seed(0)
        labels = torch.arange(160) % 2
        phase = 6.28 * torch.rand(160, 1, generator=generator)
        t = torch.linspace(0, 6.28, 24)
        angle = (1 + labels[:, None]) * t + phase
        x = torch.stack([angle.sin(), angle.cos()], 1)
        x = x + 0.1 * torch.randn(x.shape, generator=generator)
        series = Examples(x, labels)
        return series.subset(slice(100)), series.subset(slice(100, None))


def test_series_are_evaluated_and_drawn(run_own):
    run, metrics = run_own("model.cost=mse", "dataset.val_size=20", dataset=Waves, figures=True)
    x = run.data.test.x()
    assert metrics["test/mse"] == pytest.approx(F.mse_loss(run.model.reconstruct(x), x).item())
    assert {"reconstruction/fd_pca", "prior/precision", "latent/knn_accuracy"} <= metrics.keys()
    assert {"reconstructions", "samples", "embeddings", "latent_space"} <= drawn(run)
    assert load_sampler(run.folder, "mixture").draw(3).shape == (3, 3)


class Counts(DataModule):
    """Poisson counts of 12 genes at a library size that the model is told."""

    label = "counts"
    kind = "vector"
    shape = (12,)
    bounded = False
    covariate_names = ("library",)

    def load(self):
        generator = torch.Generator().manual_seed(0)
        library = 20 + 200 * torch.rand(160, 1, generator=generator)
        shares = torch.rand(160, 12, generator=generator)
        shares = shares / shares.sum(1, keepdim=True)
        x = torch.poisson(library * shares, generator=generator)
        cells = Examples(x, covariates={"library": x.sum(1, keepdim=True)})
        return cells.subset(slice(100)), cells.subset(slice(100, None))


class Poisson:
    """-log p(x) of Poisson counts whose mean is exp(logits)."""

    heads = 1

    def mean(self, logits):
        return logits.exp()

    def loss(self, logits, x):
        return F.poisson_nll_loss(logits, x, full=False, reduction="sum") / len(x)


class OfLibrary(VAE):
    """The decoder gives shares, which the library size makes counts."""

    label = "Counts"

    def posterior(self, batch):
        return super().posterior(batch._replace(x=batch.x.log1p()))

    def logits(self, z, given):
        return self.decoder(z).log_softmax(1) + given.covariates["library"].log()


def test_covariates_reach_the_decoder_wherever_codes_are_decoded(run_own):
    run, metrics = run_own(
        "dataset.val_size=20", model=OfLibrary, dataset=Counts, cost=Poisson, figures=True
    )
    batch = run.data.test.batch()
    library = batch.x.sum(1, keepdim=True)
    z = run.model.encode(batch.x, library=library)
    with torch.no_grad():
        expected = run.model.decoder(z).softmax(1) * library
    torch.testing.assert_close(run.model.decode(z, library=library), expected)
    torch.testing.assert_close(expected.sum(1, keepdim=True), library)
    assert metrics["test/mse"] == pytest.approx(F.mse_loss(expected, batch.x).item(), rel=1e-4)
    assert {"prior/fd_pca", "mixture/fd_pca", "reconstruction/fd_pca"} <= metrics.keys()
    assert {"feature_moments", "feature_errors", "embeddings"} <= drawn(run)


class Heads:
    """A Gaussian with a variance of its own in each dimension: two numbers for each."""

    heads = 2

    def mean(self, logits):
        return logits.chunk(2, dim=1)[0]

    def loss(self, logits, x):
        mean, log_var = logits.chunk(2, dim=1)
        normal = torch.distributions.Normal(mean, (log_var.clamp(-6, 6) / 2).exp())
        return -normal.log_prob(x).flatten(1).sum(1).mean()


def test_a_cost_that_takes_several_numbers_of_the_decoder(run_own):
    run, metrics = run_own(cost=Heads)
    x = run.data.test.x()
    with torch.no_grad():
        logits = run.model.decoder(run.model.encode(x))
    assert logits.shape == (len(x), 2, 28, 28)
    mean, log_var = logits[:, :1].double(), logits[:, 1:].double().clamp(-6, 6)
    nats = 0.5 * ((x - mean) ** 2 / log_var.exp() + log_var + math.log(2 * math.pi))
    assert metrics["test/reconstruction"] == pytest.approx(
        nats.sum((1, 2, 3)).mean().item(), rel=1e-4
    )
    torch.testing.assert_close(run.model.reconstruct(x).double(), mean)


def test_random_flips_as_the_data_modules_hook(run_own, monkeypatch):
    """After a batch is on its device, in training alone."""

    class Flipped(Digits):
        def on_after_batch_transfer(self, batch, dataloader_idx):
            batch = super().on_after_batch_transfer(batch, dataloader_idx)
            if not self.trainer.training:
                return batch
            seen.append(len(batch.x))
            return batch._replace(x=batch.x.flip(3))

    seen = []
    run, metrics = run_own(dataset=Flipped)
    assert sum(seen) == 2 * 3 * 16
    x = run.data.test.x()
    assert metrics["test/mse"] == pytest.approx(F.mse_loss(run.model.reconstruct(x), x).item())
