"""A trained model and its data in, numbers and figures out."""

from autoencoders.evaluation.evaluate import Evaluation, evaluate
from autoencoders.evaluation.exhibits import of_evaluation, of_model, of_training
from autoencoders.evaluation.settings import Settings, check

__all__ = [
    "Evaluation",
    "Settings",
    "check",
    "evaluate",
    "of_evaluation",
    "of_model",
    "of_training",
]
