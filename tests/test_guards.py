"""What ends a run that has nothing to train on."""

import pytest
from small import batches, make_trainer, small

from autoencoders.errors import InputError
from autoencoders.models import AE
from autoencoders.training import RequireBatches


def test_a_run_without_a_batch_is_no_run():
    trainer = make_trainer(callbacks=[RequireBatches()])
    with pytest.raises(InputError, match="no batch to train on"):
        trainer.fit(small(AE), batches(n=0))
