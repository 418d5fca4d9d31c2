"""The ``station`` command."""

from __future__ import annotations

import argparse
import os
import queue
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

from station.broker import Broker, Credentials, Inbox, Subscription, locate
from station.expectation import Expectation, expected_names
from station.tally import Tally
from station.view import View, abandon_stdout, console
from station.watch import watch

INTERRUPTED = 130
WATCH_EXAMPLES = """\
exit code: 0 when what was expected arrived, 1 when something is missing, 130 after Ctrl-C

examples:
  station watch --broker mqtt://127.0.0.1:1883
  station watch --broker mqtt://127.0.0.1:1883 --expect sample_images --timeout 60
  station watch --broker mqtts://xxx-ats.iot.eu-west-1.amazonaws.com --certificate c.pem --key c.key
  station watch --broker mqtt://127.0.0.1:1883 --json | jq .verdict
"""


def main(argv: list[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = _parser()
    args = parser.parse_args(argv)
    try:
        broker = locate(args.broker, Credentials(args.certificate, args.key, args.ca))
        names = expected_names(args.expect) if args.expect else frozenset()
    except (ValueError, OSError) as error:
        parser.error(str(error))
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return _watch(args, broker, Expectation(names, args.count))
    except BrokenPipeError:
        abandon_stdout()
        return 1


def _watch(args: argparse.Namespace, broker: Broker, expectation: Expectation) -> int:
    inbox: Inbox = queue.SimpleQueue()
    tally = Tally()
    stream = sys.stderr if args.json else sys.stdout
    terminal = console(stream, no_color=bool(os.environ.get("NO_COLOR")))
    topics = [f"{args.prefix}/{args.thing}/{kind}" for kind in ("results", "status")]
    deadline_s = time.monotonic() + args.timeout
    interrupted, connected = True, False
    subscription = Subscription(broker, topics, inbox, args.client_id)
    view = View(terminal, with_thing=args.thing == "+", raw=sys.stdout if args.json else None)
    with suppress(KeyboardInterrupt), subscription, view:
        watch(inbox, tally, view, expectation, deadline_s)
        interrupted, connected = False, subscription.subscribed.is_set()
    view.end(tally.summary(), expectation.missing(), _hints(args))
    if interrupted:
        return INTERRUPTED
    return 0 if connected and not expectation.missing() else 1


def _hints(args: argparse.Namespace) -> list[str]:
    if args.json:
        return []
    return ["where to look next: --json shows the whole messages; kept images and logs are on the device"]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "station",
        description="Look at what the inspectors say.",
        epilog="example:\n  station watch --broker mqtt://127.0.0.1:1883",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_watch(parser.add_subparsers(required=True, metavar="COMMAND"))
    return parser


def _add_watch(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    watch_parser = commands.add_parser(
        "watch",
        help="show verdicts and states as they arrive over MQTT",
        description="Show verdicts and states as they arrive over MQTT, and what is missing.",
        epilog=WATCH_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = watch_parser.add_argument
    add("--broker", required=True, metavar="URL", help="mqtt://HOST[:PORT], or mqtts://HOST[:PORT] for TLS")
    add("--certificate", type=Path, metavar="FILE", help="client certificate (AWS IoT Core asks for one)")
    add("--key", type=Path, metavar="FILE", help="the certificate's private key")
    add("--ca", type=Path, metavar="FILE", help="authority to trust (default: the system's)")
    add(
        "--client-id",
        default="",
        metavar="ID",
        help="MQTT client id, where a policy prescribes one (default: random)",
    )
    add("--prefix", default="inspect", help="TopicPrefix of the inspectors (default: %(default)s)")
    add("--thing", default="+", metavar="NAME", help="the one core device to watch (default: all)")
    add("--json", action="store_true", help="each message as a JSON line on stdout; all else goes to stderr")
    add(
        "--timeout",
        type=_seconds,
        default=float("inf"),
        metavar="S",
        help="end after S seconds",
    )
    until = watch_parser.add_mutually_exclusive_group()
    until.add_argument(
        "--expect",
        type=Path,
        metavar="DIR|FILE",
        help="end when every image of the directory, or named in the file (one a line), has its verdict",
    )
    until.add_argument("--count", type=_positive, default=0, metavar="N", help="end after N verdicts")


def _seconds(text: str) -> float:
    value = float(text)
    if not value > 0:
        raise argparse.ArgumentTypeError(f"{text} seconds is no time to wait")
    return value


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a number of results to wait for")
    return value


if __name__ == "__main__":
    sys.exit(main())
