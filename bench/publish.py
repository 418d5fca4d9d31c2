"""Results published each second: from a real ledger, over a real socket, to the simulated host and its broker.

    python bench/publish.py [--results 2000] [--payload 900] [--delay 0.02]

The results count as live, as on a line that is faster than the network; the two targets run one after the other.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from edgehost.call import Call, Handler
from edgehost.configuration import now_ms
from edgehost.nucleus import DEFAULT_THING_NAME
from edgehost.thread import ThreadedHost, run_in_thread
from inspector.core.frame import Identity
from inspector.courier import Courier
from inspector.ports import Claimed, Decision, Target
from inspector.shell.greengrass import SOCKET, Greengrass
from inspector.shell.ledger import SqliteLedger

COMPONENT = "com.edgeinspector.Inspector"
TOPIC = f"inspect/{DEFAULT_THING_NAME}/results"


def decide(ledger: SqliteLedger, target: Target, count: int, payload: bytes) -> None:
    for number in range(count):
        claimed = Claimed(Identity("x.jpg", number, 1, "ab"), Path("x.jpg"), 0.0, b"")
        decision = Decision(f"{target}{number}", claimed, "pass", (), b"[]", lambda _: payload, (target,))
        ledger.decide([decision], 0.0)


def connect(host: ThreadedHost) -> Greengrass:
    services = ("aws.greengrass.ipc.pubsub", "aws.greengrass.ipc.mqttproxy")
    access = {service: {"all": {"operations": ["*"], "resources": ["*"]}} for service in services}
    host.host.configuration.merge(COMPONENT, (), {"accessControl": access}, now_ms())
    os.environ |= {SOCKET: str(host.host.socket_path), "SVCUID": host.host.tokens.issue(COMPONENT)}
    adapter = Greengrass(lambda _: None)
    adapter.connect()
    adapter.listen(f"inspect/{DEFAULT_THING_NAME}/commands")
    return adapter


def delay(host: ThreadedHost, seconds: float) -> None:
    """Let the host answer each publish so much later."""

    def delayed(handler: Handler) -> Handler:
        async def answer(call: Call) -> dict[str, Any]:
            await asyncio.sleep(seconds)
            return await handler(call)

        return answer

    operations: Any = host.host.ipc._operations
    for name in ("PublishToTopic", "PublishToIoTCore"):
        operations[name] = delayed(operations[name])


def measure(ledger: SqliteLedger, target: Target, adapter: Greengrass, count: int, payload: bytes) -> float:
    publish = adapter.publish_to_topic if target == "topic" else adapter.publish_to_iot_core
    courier, stop = Courier(target, TOPIC, publish, ledger, 1_000), threading.Event()
    decide(ledger, target, count, payload)
    thread = threading.Thread(target=courier.run, args=(stop,))
    started_s = time.monotonic()
    thread.start()
    while ledger.count("waiting"):
        time.sleep(0.01)
    taken_s = time.monotonic() - started_s
    stop.set()
    courier.wake()
    thread.join()
    return count / taken_s


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--results", type=int, default=2_000)
    parser.add_argument("--payload", type=int, default=900, help="bytes of a result")
    parser.add_argument("--delay", type=float, default=0.0, help="seconds that Greengrass takes to answer")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory, run_in_thread(Path(directory)) as host:
        if options.delay:
            delay(host, options.delay)
        ledger, adapter = SqliteLedger(Path(directory) / "ledger.sqlite"), connect(host)
        targets: tuple[Target, ...] = ("topic", "iot_core")
        for target in targets:
            rate = measure(ledger, target, adapter, options.results, b"x" * options.payload)
            print(f"{target:<9} {rate:7.0f} results/s")
        while len(host.host.iot_core.spool):
            time.sleep(0.01)
        adapter.close()
        ledger.close()


if __name__ == "__main__":
    main()
