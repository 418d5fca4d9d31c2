"""What a component's processes get of the world around them: the environment variables that both nuclei give them.

Sources: ``GenericExternalService`` and ``ShellRunner`` of the nucleus, modules/recipe-runner of Greengrass Lite.
AWS_CONTAINER_CREDENTIALS_FULL_URI is not among them, as there is no token exchange service here; on a device classic
sets it where that service runs, Lite where the recipe depends on it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from edgehost.tokens import Tokens

DEFAULT_REGION = "us-east-1"
# Of the developer's shell: a service manager starts the nucleus without them, and they would lead Python astray.
_LEFT_OUT = ("AWS_", "PYTHON", "PYTEST_", "VIRTUAL_ENV", "COVERAGE_", "COV_CORE_")


@dataclass(frozen=True, slots=True)
class Surroundings:
    """The host as a component sees it."""

    root: Path
    thing_name: str
    socket_path: Path
    tokens: Tokens
    nucleus_version: str
    region: str = DEFAULT_REGION

    def environment(self, component: str) -> dict[str, str]:
        """The environment of a component's processes, with its token."""
        token = self.tokens.issue(component)
        return {
            **inherited(os.environ),
            "SVCUID": token,
            "AWS_CONTAINER_AUTHORIZATION_TOKEN": token,
            "AWS_GG_NUCLEUS_DOMAIN_SOCKET_FILEPATH_FOR_COMPONENT": str(self.socket_path),
            "AWS_REGION": self.region,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_IOT_THING_NAME": self.thing_name,
            "GGC_VERSION": self.nucleus_version,
            "GG_ROOT_CA_PATH": str(self.root / "rootCA.pem"),
        }


def inherited(environment: Mapping[str, str]) -> dict[str, str]:
    """What of the host's own environment is passed on: not its AWS credentials, not its Python paths."""
    return {name: value for name, value in environment.items() if not name.startswith(_LEFT_OUT)}
