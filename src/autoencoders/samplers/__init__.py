"""Where codes to decode come from; one sampler a file.

A sampler is made with its settings, fitted on a trained model's codes, and then draws codes, which
`model.sample(n, sampler=...)` decodes. The evaluation's config lists the samplers that it judges.
"""

from autoencoders.samplers.base import ClassSampler, Density, Sampler, SupportsDraw
from autoencoders.samplers.class_mixture import ClassMixture
from autoencoders.samplers.flow import Flow
from autoencoders.samplers.flow_matching import FlowMatching
from autoencoders.samplers.mixture import Mixture
from autoencoders.samplers.prior import Prior
from autoencoders.samplers.two_stage import TwoStage

__all__ = [
    "ClassMixture",
    "ClassSampler",
    "Density",
    "Flow",
    "FlowMatching",
    "Mixture",
    "Prior",
    "Sampler",
    "SupportsDraw",
    "TwoStage",
]
