"""Every setting of a run, checked when it is read."""

from metakd_training.config.reading import Config, as_yaml, differences, read_config

__all__ = ["Config", "as_yaml", "differences", "read_config"]
