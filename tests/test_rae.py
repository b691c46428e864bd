"""The regularised auto-encoder's penalties, objective and training."""

import pytest
import torch
import torch.nn.functional as F
from small import SHAPE, adam, check_training, small

from autoencoders.data import Batch
from autoencoders.models import RAE


def test_the_objective():
    torch.manual_seed(0)
    model = small(RAE, cost="mse", code_weight=3.0, decoder_weight=0.5)
    x = torch.rand(8, *SHAPE)
    out = model(Batch(x))
    losses = model.losses(Batch(x), out)
    codes = sum(value**2 for value in out.z.flatten().tolist()) / 8 / 2
    weights = [
        *(model.decoder.project[0].weight, model.decoder.upsample[0].weight),
        *(model.decoder.upsample[3].weight, model.decoder.upsample[6].weight),
    ]
    decoder = sum(weight.detach().double().norm().item() ** 2 for weight in weights)
    assert losses["code_penalty"].item() == pytest.approx(codes)
    assert losses["decoder_penalty"].item() == pytest.approx(decoder)
    squared = ((out.logits.sigmoid() - x) ** 2).sum().item() / 8
    assert losses["loss"].item() == pytest.approx(squared + 3 * codes + 0.5 * decoder)


def test_training_is_the_plain_loop():
    def objective(model, x):
        z = model.encoder(x)
        decay = sum((p**2).sum() for p in model.decoder.parameters() if p.ndim > 1)
        x_hat = model.decoder(z).sigmoid()
        bce = F.binary_cross_entropy(x_hat, x, reduction="sum") / len(x)
        return bce + 0.2 / 2 * (z**2).sum() / len(x) + 0.01 * decay

    torch.manual_seed(0)
    weights = {"code_weight": 0.2, "decoder_weight": 0.01}
    check_training(small(RAE, **weights, scheduler=None, optimizer=adam(2e-3)), objective)


@pytest.mark.parametrize("argument", [{"code_weight": -1}, {"decoder_weight": float("nan")}])
def test_arguments_outside_their_range_are_named(argument):
    with pytest.raises(ValueError, match=next(iter(argument))):
        RAE(**argument)
