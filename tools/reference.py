"""Writes what the documentation says of configuration and messages, from the types that define them.

python tools/reference.py            write docs/configuration.md and docs/schema/*.json
python tools/reference.py --check    exit 1 if they are not what would be written
"""

from __future__ import annotations

import argparse
import json
import sys
import typing
from pathlib import Path
from typing import Any

import msgspec

from inspector.core.command import Command, Response
from inspector.core.message import Result, Status
from inspector.core.model_status import ModelStatus
from inspector.core.package import Manifest
from inspector.core.settings import Settings
from inspector.shell.keeper import Sidecar

DOCS = Path(__file__).resolve().parent.parent / "docs"
SCHEMAS: dict[str, Any] = {
    "result": Result,
    "status": Status,
    "command": Command,
    "response": Response,
    "manifest": Manifest,
    "kept": Sidecar,
    "model-status": ModelStatus,
}
HEADER = """\
# Configuration

<!-- Written by tools/reference.py from src/inspector/core/settings.py. -->

Set in the component's configuration, for example by a deployment's configuration update (merge). Every key has a
default; an empty configuration is a valid one. Keys are matched without regard to case; numbers and booleans may
come as strings. Unknown keys are ignored with a warning in the log. If anything is invalid, one message names every
error, nothing of it is applied, and the last valid configuration stays in force, over a restart too.

Every key is **live**: a change takes effect between two images, without restarting the process. (Greengrass Lite
restarts a component whose configuration a deployment changes; that loses nothing either.) Relative paths start at
the component's work directory.

| Key | Type | Default | Range | Meaning |
|---|---|---|---|---|
"""


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--check", action="store_true", help="write nothing; exit 1 if anything is out of date"
    )
    check = parser.parse_args().check
    stale = [path for path, text in documents().items() if not path.exists() or path.read_text() != text]
    for path in stale:
        if check:
            sys.stderr.write(f"{path} is out of date: run `make docs`\n")
        else:
            path.write_text(documents()[path])
    return 1 if check and stale else 0


def documents() -> dict[Path, str]:
    """Each generated file and its content."""
    schemas = {DOCS / "schema" / f"{name}.json": schema(kind) for name, kind in SCHEMAS.items()}
    return {DOCS / "configuration.md": HEADER + "".join(row(each) for each in fields())} | schemas


def schema(kind: Any) -> str:
    """A JSON Schema (2020-12) of a message."""
    document = {"$schema": "https://json-schema.org/draft/2020-12/schema"} | msgspec.json.schema(kind)
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def fields() -> list[tuple[msgspec.structs.FieldInfo, dict[str, Any]]]:
    """Each setting and the JSON Schema of its type."""
    return [(each, msgspec.json.schema(each.type)) for each in msgspec.structs.fields(Settings)]


def row(field: tuple[msgspec.structs.FieldInfo, dict[str, Any]]) -> str:
    info, kind = field
    default = {} if info.default is msgspec.NODEFAULT else info.default
    cells = (
        f"`{info.encode_name}`",
        type_name(kind),
        f"`{json.dumps(default)}`".replace("|", "\\|"),
        bounds(kind),
        meaning(info.type),
    )
    return "| " + " | ".join(cells) + " |\n"


def type_name(kind: dict[str, Any]) -> str:
    if "enum" in kind:
        return ", ".join(f"`{value}`" for value in kind["enum"])
    if "anyOf" in kind:
        return " or ".join(type_name(each) for each in kind["anyOf"])
    return str(kind.get("type", "object"))


def bounds(kind: dict[str, Any]) -> str:
    limits = next((each for each in kind.get("anyOf", []) if "minimum" in each), kind)
    words = {"minimum": "≥ {}", "exclusiveMinimum": "> {}", "maximum": "≤ {}"}
    said = [text.format(f"{limits[key]:g}") for key, text in words.items() if key in limits]
    return ", ".join(said)


def meaning(annotated: Any) -> str:
    """The description given to the field; those of the types that it is made of speak of something else."""
    described = [
        each.description for each in typing.get_args(annotated)[1:] if getattr(each, "description", None)
    ]
    return str(described[-1]).replace("|", "\\|")


if __name__ == "__main__":
    sys.exit(main())
