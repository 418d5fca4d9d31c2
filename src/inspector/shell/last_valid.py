"""The last valid configuration, on the disk: a restart over an invalid one goes on with it.

Greengrass Lite restarts a component whose configuration a deployment changes, and asks it nothing before.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from inspector.core.settings import Settings, SettingsError, parse
from inspector.shell.files import write_durably

log = logging.getLogger(__name__)

NAME = "last-valid-configuration.json"


def keep(work: Path, configuration: Mapping[str, Any]) -> None:
    """Keep a valid configuration, where it is not the one that is kept already.

    Where that fails none is kept: a later start must not take an older one for it.
    """
    path = work / NAME
    content = json.dumps(configuration, sort_keys=True).encode()
    with contextlib.suppress(OSError):
        if path.read_bytes() == content:
            return
    try:
        write_durably(io.BytesIO(content), work / f".{NAME}.part", path)
    except OSError as error:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)
        fix = "make room, and let the component's user write there; else an invalid configuration blocks at a start"
        log.error("last valid configuration not kept", extra={"path": path, "cause": str(error), "fix": fix})


def recall(work: Path) -> Settings | None:
    """The settings of the configuration that is kept; None where there is none, or none that can be used."""
    path = work / NAME
    try:
        return _settings(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError, SettingsError) as error:
        fix = "deploy a valid configuration, which replaces it"
        log.error("last valid configuration ignored", extra={"path": path, "cause": str(error), "fix": fix})
        return None


def _settings(content: bytes) -> Settings:
    configuration = json.loads(content)
    if not isinstance(configuration, dict):
        raise ValueError("it is no JSON object")
    return parse(configuration)[0]
