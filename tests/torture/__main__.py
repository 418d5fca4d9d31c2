"""``make torture``: the command line."""

from __future__ import annotations

import argparse
import signal
import sys
import time

from rich.console import Console

from edgehost.profile import CLASSIC, PROFILES
from torture import enclosure
from torture.cuts import EffectsChangedError
from torture.device import CHECKOUT, DeviceError
from torture.run import INTERRUPTED, Run

_ABOUT = """Inject faults into the real component on the simulated host, and count what is lost.

Exits with 1 when an image was lost, two contents conflict, a bad part passed, or what was held up did not follow."""
_EXAMPLE = """examples:
  make torture MINUTES=30 PROFILE=lite
  PYTHONPATH=src:tests python -m torture --minutes 2 --seed 7"""
RESULTS = CHECKOUT / "torture"
NOT_POSSIBLE = 2


def main(argv: list[str]) -> int:
    """Run the torture; return its exit code."""
    arguments = _parse(argv)
    try:
        enclosure.enter(argv)
    except enclosure.NotPossibleError as error:
        print(f"torture: {error}", file=sys.stderr)
        return NOT_POSSIBLE
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        run = Run(RESULTS, arguments.profile, arguments.minutes, arguments.seed, _terminal())
        return run.carry_out()
    except enclosure.NotPossibleError as error:
        print(f"torture: {error}", file=sys.stderr)
        return NOT_POSSIBLE
    except (DeviceError, EffectsChangedError) as error:
        print(f"torture: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return INTERRUPTED


def _terminal() -> Console:
    """Wide enough for the table where nobody looks at a screen."""
    return Console() if sys.stdout.isatty() else Console(width=120)


def _parse(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "torture",
        description=_ABOUT,
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--profile",
        choices=PROFILES,
        default=CLASSIC.name,
        help="the nucleus that is played (default: %(default)s)",
    )
    parser.add_argument("--minutes", type=float, default=2, help="how long (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="repeats a run's choices")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
