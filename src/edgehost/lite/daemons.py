"""Greengrass Lite's daemons, as far as their restart shows over IPC.

Sources: ``ipc_subscriptions.c`` of ggipcd, which forgets a subscription whose daemon is gone and doesn't tell its
client; ``ipc_components.c``, which holds the tokens in memory; the handlers under ggipcd's ``services``.
"""

from __future__ import annotations

from collections.abc import Mapping

from edgehost.daemon import Daemon
from edgehost.errors import ServiceError, UnauthorizedError

_NOT_AUTHORIZED = "IPC Operation not authorized."
_NOT_PUBLISHED = (ServiceError, "Failed to publish the message.")

DAEMONS: Mapping[str, Daemon] = {
    "ggipcd": Daemon(holds_connections=True),
    # It holds the policies too: as long as it is away, nothing is allowed.
    "ggconfigd": Daemon(
        subscriptions=frozenset({"SubscribeToConfigurationUpdate"}),
        answers={
            "GetConfiguration": (ServiceError, ""),
            "UpdateConfiguration": (ServiceError, "Failed to update the configuration."),
            "SubscribeToConfigurationUpdate": (ServiceError, "Failed to subscribe to configuration update."),
            "CreateLocalDeployment": (ServiceError, _NOT_AUTHORIZED),
            "RestartComponent": (UnauthorizedError, "Component not authorized to restart component."),
            "PublishToTopic": (UnauthorizedError, _NOT_AUTHORIZED),
            "SubscribeToTopic": (UnauthorizedError, _NOT_AUTHORIZED),
            "PublishToIoTCore": (UnauthorizedError, _NOT_AUTHORIZED),
            "SubscribeToIoTCore": (UnauthorizedError, _NOT_AUTHORIZED),
        },
    ),
    "ggpubsubd": Daemon(
        subscriptions=frozenset({"SubscribeToTopic"}),
        answers={
            "PublishToTopic": _NOT_PUBLISHED,
            "SubscribeToTopic": (ServiceError, "Failed to bind subscription."),
        },
    ),
    "iotcored": Daemon(
        subscriptions=frozenset({"SubscribeToIoTCore"}),
        answers={
            "PublishToIoTCore": _NOT_PUBLISHED,
            "SubscribeToIoTCore": (ServiceError, "Failed to bind the subscription."),
        },
        holds_broker=True,
    ),
}
