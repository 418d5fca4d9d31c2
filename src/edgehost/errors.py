"""The errors an IPC operation may answer with, as classic writes them."""

from __future__ import annotations

from typing import Any


class IpcError(Exception):
    """An answer of message type 1. The class name is the model's name without its prefix."""

    def payload(self) -> dict[str, Any]:
        """The error as classic's JSON writes it (field order included)."""
        message = str(self)
        return {
            "message": message,
            "_service": "aws.greengrass#GreengrassCoreIPC",
            "_message": message,
            "_errorCode": type(self).__name__,
        }


class UnauthorizedError(IpcError):
    """No accessControl policy of the component allows this."""


class InvalidArgumentsError(IpcError):
    """The request itself is wrong; sending it again can't help."""


class ResourceNotFoundError(IpcError):
    """The component or configuration key named isn't there."""


class FailedUpdateConditionCheckError(IpcError):
    """A configuration value is newer than the update's timestamp."""


class ServiceError(IpcError):
    """The host could not do it now."""
