"""``edgehost component``: one component at a time, as by hand on a device."""

from __future__ import annotations

import argparse
import json
from typing import Any

from edgehost.arguments import CommandError, add_json, add_root, explain, json_object, quoted
from edgehost.running_host import send
from edgehost.status_command import table
from edgehost.terminal import console, show

_ACTIONS = {
    "restart": "stop components and start them again, BROKEN ones too",
    "stop": "stop components and leave them stopped",
    "start": "start components that are stopped or BROKEN",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What ``edgehost component`` takes: an action, which takes the rest."""
    explain(
        parser,
        "Restart, stop, start or configure a component.",
        "edgehost component restart com.example.Hello",
        """edgehost component config com.example.Hello --merge '{"Greeting": "hi"}'""",
    )
    actions = parser.add_subparsers(required=True, metavar="ACTION", dest="action")
    for name, purpose in _ACTIONS.items():
        action = actions.add_parser(name, help=purpose)
        explain(
            action,
            f"{purpose.capitalize()}.".replace("broken", "BROKEN"),
            f"edgehost component {name} com.example.Hello --root /tmp/device",
        )
        action.add_argument("names", nargs="+", metavar="NAME", help="a component")
        add_root(action)
        add_json(action)
        action.set_defaults(run_command=_act)
    _add_config(actions.add_parser("config", help="show a component's configuration, or change it"))


def _add_config(parser: argparse.ArgumentParser) -> None:
    explain(
        parser,
        "Show the configuration in force, which is JSON; changed first, by a deployment,\n"
        "where that is asked for.",
        "edgehost component config com.example.Hello",
        """edgehost component config com.example.Hello --merge '{"Greeting": "hi"}'""",
        "edgehost component config com.example.Hello --merge @greeting.json --reset /Colour",
    )
    parser.add_argument("name", metavar="NAME", help="the component")
    parser.add_argument("--merge", metavar="JSON|@FILE", help="merge a JSON object into it")
    parser.add_argument(
        "--reset",
        action="append",
        default=[],
        metavar="/POINTER",
        help="back to the recipe's default at this JSON pointer; may be given several times",
    )
    add_root(parser)
    add_json(parser, "on one line")
    parser.set_defaults(run_command=_configure)


def _act(arguments: argparse.Namespace) -> int:
    rows = [send(arguments.root, "component", action=arguments.action, name=name) for name in arguments.names]
    if arguments.json:
        print(json.dumps(rows, indent=2))
    else:
        terminal = console()
        for line in table(rows):
            show(terminal, line)
    if broken := [row["name"] for row in rows if row["state"] == "BROKEN" and arguments.action != "stop"]:
        logs = f"edgehost logs {' '.join(broken)} -n 20 --root {quoted(arguments.root)}"
        raise CommandError(f"{', '.join(broken)}: BROKEN; the log says why: {logs}")
    return 0


def _configure(arguments: argparse.Namespace) -> int:
    if arguments.merge is not None or arguments.reset:
        configuration = send(arguments.root, "configure", name=arguments.name, values=_values(arguments))
    else:
        configuration = send(arguments.root, "configuration", name=arguments.name)
    print(json.dumps(configuration, indent=None if arguments.json else 2))
    return 0


def _values(arguments: argparse.Namespace) -> dict[str, Any]:
    merge = {} if arguments.merge is None else json_object("--merge", arguments.merge)
    for pointer in arguments.reset:
        if pointer and not pointer.startswith("/"):
            raise CommandError(f"--reset {pointer!r} is no JSON pointer; write /{pointer}")
    return {"MERGE": merge, "RESET": arguments.reset}
