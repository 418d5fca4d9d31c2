"""The errors an IPC operation may answer with. How they are written is the wire's matter."""

from __future__ import annotations


class IpcError(Exception):
    """An answer of message type 1. The class name is the model's name without its prefix."""


class UnauthorizedError(IpcError):
    """No accessControl policy of the component allows this."""


class InvalidArgumentsError(IpcError):
    """The request itself is wrong; sending it again can't help."""


class ResourceNotFoundError(IpcError):
    """The component or configuration key named isn't there."""


class FailedUpdateConditionCheckError(IpcError):
    """A configuration value is newer than the update's timestamp."""


class InvalidTokenError(IpcError):
    """The token that was asked about is nobody's."""


class ServiceError(IpcError):
    """The host could not do it now."""
