"""A trained model and its data in, numbers and figures out."""

from autoencoders.evaluation.evaluate import Evaluation, Settings, check, evaluate
from autoencoders.evaluation.exhibits import of_evaluation, of_model, of_training

__all__ = [
    "Evaluation",
    "Settings",
    "check",
    "evaluate",
    "of_evaluation",
    "of_model",
    "of_training",
]
