"""A finished run's model as files that others load: written, and read back without trust."""

from autoencoders.export.config import DataConfig, ModelConfig, config_of
from autoencoders.export.folder import Export, write_export
from autoencoders.export.loading import (
    load_export,
    load_exported_sampler,
    read_config,
    read_sampler,
)

__all__ = [
    "DataConfig",
    "Export",
    "ModelConfig",
    "config_of",
    "load_export",
    "load_exported_sampler",
    "read_config",
    "read_sampler",
    "write_export",
]
