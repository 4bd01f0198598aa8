"""Every error that training raises on purpose.

RagError
└── TrainError              the base: `str(error)` is one line for a person
    ├── SettingsError       a setting is unknown, malformed or out of range, or two contradict each other
    ├── DataError           rows that cannot be read or trained on
    ├── BaseModelError      the base cannot be had, or is not the one that a checkpoint was trained from
    ├── CheckpointError     a checkpoint is missing, incomplete, damaged, or from other settings
    ├── DeviceError         no GPU, a card that cannot do what the profile asks, or too little memory
    ├── DiskError           no room, or a folder that cannot be written
    ├── HubError            no token, wrong repository, or a Hub that does not answer
    └── EquivalenceError    the merged model is not the trained one: nothing is pushed

A message says what is wrong, where, and what to do next, in one line.
"""

from __future__ import annotations

from rag_core.errors import RagError

__all__ = [
    "BaseModelError",
    "CheckpointError",
    "DataError",
    "DeviceError",
    "DiskError",
    "EquivalenceError",
    "HubError",
    "SettingsError",
    "TrainError",
]


class TrainError(RagError):
    """Base of all errors that training raises on purpose."""


class SettingsError(TrainError):
    """A setting is unknown, malformed or out of range, or two contradict each other."""


class DataError(TrainError):
    """Rows that cannot be read or trained on."""


class BaseModelError(TrainError):
    """The base cannot be had, or is not the one that a checkpoint was trained from."""


class CheckpointError(TrainError):
    """A checkpoint is missing, incomplete, damaged, or from other settings."""


class DeviceError(TrainError):
    """No GPU, a card that cannot do what the profile asks, or too little memory."""


class DiskError(TrainError):
    """No room, or a folder that cannot be written."""


class HubError(TrainError):
    """No token, wrong repository, or a Hub that does not answer."""


class EquivalenceError(TrainError):
    """The merged model is not the trained one: nothing is pushed."""
