"""The ``edgehost`` command line: each command is a module, imported when it is asked for."""

from __future__ import annotations

import argparse
import os
import sys
from functools import partial
from importlib import import_module

from edgehost.arguments import INTERRUPTED, CommandError, explain
from edgehost.running_host import ControlError

_ABOUT = """A simulated AWS IoT Greengrass v2 core device (classic or Lite): runs components
without AWS.

In one terminal run the host, in another deploy to it and look at it."""
_EXAMPLES = (
    "edgehost run --root /tmp/device",
    "edgehost deploy --root /tmp/device --recipes recipes --artifacts artifacts --add com.example.Hello=1.0.0",
    "edgehost logs --root /tmp/device com.example.Hello -f",
)
_COMMANDS = {
    "run": ("edgehost.run_command", "run the host until Ctrl-C"),
    "deploy": ("edgehost.deploy_command", "deploy components to the host that runs, or remove them"),
    "status": ("edgehost.status_command", "what runs on the host"),
    "component": ("edgehost.component_command", "restart, stop, start or configure a component"),
    "logs": ("edgehost.logs_command", "the logs of components and of the host"),
    "publish": ("edgehost.publish_command", "publish a message, as the cloud would or locally"),
    "subscribe": ("edgehost.subscribe_command", "show messages as they come, the cloud's or local ones"),
    "fault": ("edgehost.fault_command", "have the host misbehave, as a real device does"),
    "camera": ("edgehost.camera", "drop simulated pictures into a directory, as a camera would"),
}


def main(argv: list[str] | None = None) -> int:
    """Run the command line; return its exit code."""
    argv = sys.argv[1:] if argv is None else argv
    try:
        arguments = _parser(wanted=argv[0] if argv else "").parse_args(argv)
        return int(arguments.run_command(arguments))
    except BrokenPipeError:
        # Whoever read the output went away; the flush at exit must not fail too.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (CommandError, ControlError, OSError) as error:
        return _complain(error)
    except KeyboardInterrupt:
        return INTERRUPTED


def _complain(error: Exception) -> int:
    from edgehost.terminal import printable  # which loads rich

    print(f"edgehost: {printable(str(error), keep=chr(10))}", file=sys.stderr)
    return 1


def _parser(wanted: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("edgehost")
    explain(parser, _ABOUT, *_EXAMPLES)
    parser.formatter_class = partial(argparse.RawDescriptionHelpFormatter, indent_increment=1)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, (module, purpose) in _COMMANDS.items():
        command = commands.add_parser(name, help=purpose)
        if name == wanted:
            import_module(module).add_arguments(command)
    return parser


if __name__ == "__main__":
    sys.exit(main())
