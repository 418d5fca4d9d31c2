"""``edgehost deploy``: what is deployed changes, and the terminal shows how that goes."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.spinner import Spinner
from rich.text import Text

from edgehost.arguments import (
    INTERRUPTED,
    CommandError,
    add_json,
    add_root,
    explain,
    json_object,
    pairs,
    quoted,
)
from edgehost.running_host import stream
from edgehost.terminal import columns, console, show

Components = list[dict[str, Any]]
Row = tuple[str, str, str]
"""State, name and version."""
Progress = Callable[[list[Row], list[Row]], None]
"""Shows the rows that have changed, and all that have changed so far."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What ``edgehost deploy`` takes."""
    explain(
        parser,
        "Deploy components to the host that runs, and wait until they are up. Those of\n"
        "earlier deployments stay. A deployment that fails exits with 1, and is rolled\n"
        "back unless the policy says otherwise.",
        "edgehost deploy --root /tmp/device --recipes greengrass-build/recipes \\",
        "    --artifacts greengrass-build/artifacts --add com.example.Hello=1.0.0 \\",
        """    --config 'com.example.Hello={"Greeting": "hi"}'""",
        "edgehost deploy --root /tmp/device --add com.example.Hello=0.9.0 --remove com.example.Old",
        """edgehost deploy --config 'com.example.Hello={"MERGE": {"Port": 1}, "RESET": ["/Greeting"]}'""",
    )
    add = parser.add_argument
    add_root(parser)
    add("--recipes", type=Path, metavar="DIR", help="where the recipes of versions new to the host are")
    add("--artifacts", type=Path, metavar="DIR", help="their artifacts: DIR/COMPONENT/VERSION/FILE")
    several = "; may be given several times"
    add(
        "--add",
        action="append",
        default=[],
        metavar="NAME=VERSION",
        help=f"a component to deploy{several}",
    )
    add("--remove", action="append", default=[], metavar="NAME", help=f"one to take away{several}")
    add(
        "--config",
        action="append",
        default=[],
        metavar="NAME=JSON|@FILE",
        help="configuration to merge into a component's, or "
        f"""{{"MERGE": {{…}}, "RESET": ["/key", …]}}{several}""",
    )
    add(
        "--policy",
        choices=("rollback", "nothing"),
        default="rollback",
        help="what to do when it fails: back to what was there, or leave it as it is (default: %(default)s)",
    )
    add_json(parser, "print what became of it as JSON")
    parser.set_defaults(run_command=run)


def run(arguments: argparse.Namespace) -> int:
    """Deploy, and show how it goes."""
    request = _request(arguments)
    event: dict[str, Any] = {}
    terminal, changes = console(), Changes()
    progress = _silent if arguments.json else _live if terminal.is_terminal else _lines
    try:
        with progress(terminal) as update:
            for event in stream(arguments.root, "deploy", **request):
                has_succeeded = (event.get("deployment") or {}).get("status") == "SUCCEEDED"
                named = request["versions"] if has_succeeded else ()
                changed = changes.note(event["components"], named)
                update(changed, changes.rows())
    except KeyboardInterrupt:
        status = f"edgehost status --root {quoted(arguments.root)}"
        text = f"edgehost: the deployment goes on in the host; how it ends: {status}"
        print(text, file=sys.stderr)
        return INTERRUPTED
    finally:
        if arguments.json and "deployment" in event:
            print(json.dumps(event, indent=2))
    return 0


def _request(arguments: argparse.Namespace) -> dict[str, Any]:
    if not (arguments.add or arguments.remove or arguments.config):
        raise CommandError(
            "nothing to deploy; name a component (--add NAME=VERSION, --remove NAME) or its --config"
        )
    versions = pairs("--add", arguments.add, "NAME=VERSION")
    if both := sorted(versions.keys() & set(arguments.remove)):
        raise CommandError(f"{both[0]} is both in --add and in --remove; choose one")
    configurations = pairs("--config", arguments.config, "NAME=JSON or NAME=@FILE")
    return {
        "recipes": arguments.recipes and str(arguments.recipes.absolute()),
        "artifacts": arguments.artifacts and str(arguments.artifacts.absolute()),
        "versions": versions,
        "config": {name: json_object(f"--config {name}", text) for name, text in configurations.items()},
        "remove": arguments.remove,
        "policy": arguments.policy,
    }


class Changes:
    """What has changed since the first look at the components."""

    def __init__(self) -> None:
        self._rows: dict[str, Row] = {}
        self._last: dict[str, tuple[Row, int | None]] | None = None

    def note(self, components: Components, named: Iterable[str] = ()) -> list[Row]:
        """Look again: a row for each component that has changed, or is ``named`` and had not changed so far."""
        now = {each["name"]: (_row(each), _process(each)) for each in components}
        last = now if self._last is None else self._last
        self._last = now
        changed = {name: row for name, (row, pid) in now.items() if last.get(name) != (row, pid)}
        changed |= {name: ("REMOVED", *row[1:]) for name, (row, _) in last.items() if name not in now}
        changed |= {name: now[name][0] for name in named if name in now and name not in self._rows | changed}
        self._rows |= changed
        return list(changed.values())

    def rows(self) -> list[Row]:
        """All that has changed so far, as it is now."""
        return list(self._rows.values())


def _row(component: Mapping[str, Any]) -> Row:
    return component["state"], component["name"], component["version"]


def _process(component: Mapping[str, Any]) -> int | None:
    """Which process is running: another one has been started anew, however fast."""
    return component["pid"] if component["state"] == "RUNNING" else None


@contextmanager
def _silent(terminal: Console) -> Iterator[Progress]:
    yield lambda rows, now: None


@contextmanager
def _live(terminal: Console) -> Iterator[Progress]:
    """What has changed so far, brought up to date in place."""
    spinner = Spinner("dots", "deploying")
    shown: list[Text] = []
    with Live(spinner, console=terminal) as live:

        def update(_: list[Row], now: list[Row]) -> None:
            shown[:] = columns(now)
            live.update(Group(*shown, spinner))

        try:
            yield update
        finally:
            live.update(Group(*shown))


@contextmanager
def _lines(terminal: Console) -> Iterator[Progress]:
    """A line for each change."""

    def update(changed: list[Row], _: list[Row]) -> None:
        for state, name, version in changed:
            show(terminal, f"{state:<10} {name} {version}")

    yield update
