"""What each answer of Greengrass does to a result: the table in docs/decisions/publishing.md, row by row."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest
from awscrt.exceptions import from_code
from awsiot import eventstreamrpc as rpc
from awsiot.greengrasscoreipc import model

from edgehost import errors
from edgehost.call import Call
from edgehost.configuration import now_ms
from edgehost.thread import ThreadedHost, run_in_thread
from edgehost.wire import TERMINATE, Type
from inspector import courier as couriers
from inspector import suspects
from inspector.courier import DENIED_TRIES, Courier
from inspector.ports import Disconnected
from inspector.shell import greengrass
from inspector.shell.greengrass import ConnectionLost, Greengrass, TokenRefusedError
from inspector.shell.ledger import SqliteLedger
from inspector_fakes import decision, eventually

PAGE = Path(__file__).parents[2] / "docs" / "decisions" / "publishing.md"
COMPONENT = "com.example.Probe"
TOPIC = "inspect/edgehost-1/results"
AWS_IO_SOCKET_CLOSED = 1051

Fate = Literal["published", "parked", "parked slowly", "tried again", "fatal"]


class InvalidTokenError(errors.IpcError):
    """The host has no use for it, but the SDK knows it."""


@dataclass(frozen=True)
class Row:
    """An answer: as the page names it, as the SDK's client gives it, and as a nucleus does it on the wire."""

    name: str
    fate: Fate
    from_sdk: Callable[[FakeOperation], None]
    on_wire: Callable[[Call], Awaitable[Any]] | None


def raises(error: Exception) -> tuple[Callable[[FakeOperation], None], None]:
    return lambda operation: operation.response.set_exception(error), None


def answers(
    sdk: type[Exception], wire: type[errors.IpcError], message: str | None
) -> tuple[Callable[[FakeOperation], None], Callable[[Call], Awaitable[Any]]]:
    """An error that Greengrass answers with."""

    async def answer(_: Call) -> None:
        raise wire(message or "")

    return lambda operation: operation.response.set_exception(sdk(message=message)), answer


def accept(operation: FakeOperation) -> None:
    operation.response.set_result(model.PublishToIoTCoreResponse())


async def accept_on_wire(_: Call) -> dict[str, Any]:
    return {}


async def say_nothing(_: Call) -> None:
    await asyncio.Event().wait()


async def hang_up(call: Call) -> None:
    call._connection.close()  # type: ignore[attr-defined]
    await say_nothing(call)


async def answer_something_else(call: Call) -> dict[str, Any]:
    call._connection.send_message(call._stream, "UpdateStateResponse", {}, TERMINATE)
    return {}


async def answer_no_json(call: Call) -> dict[str, Any]:
    connection: Any = call._connection
    connection._send(Type.APPLICATION_MESSAGE, TERMINATE, call._stream, "PublishToIoTCoreResponse", b"{")
    connection._end_if(TERMINATE, call._stream)
    return {}


async def fail_without_a_type(call: Call) -> dict[str, Any]:
    connection: Any = call._connection
    connection._send(Type.APPLICATION_ERROR, TERMINATE, call._stream, "", b"{}")
    connection._end_if(TERMINATE, call._stream)
    return {}


def not_written(operation: FakeOperation) -> None:
    operation.written = Future()
    operation.written.set_exception(from_code(AWS_IO_SOCKET_CLOSED))


def not_opened(_: FakeOperation) -> None:
    raise rpc.ConnectionClosedError


SERVICE = (model.ServiceError, errors.ServiceError)
ROWS = [
    Row("accepted", "published", accept, accept_on_wire),
    Row(
        "`UnauthorizedError`",
        "parked slowly",
        *answers(model.UnauthorizedError, errors.UnauthorizedError, "Not Authorized"),
    ),
    Row(
        "`InvalidArgumentsError`",
        "parked",
        *answers(model.InvalidArgumentsError, errors.InvalidArgumentsError, "Topic is required"),
    ),
    Row("`ServiceError`: classic, offline", "tried again", *answers(*SERVICE, "Device is offline. Dropping")),
    Row("`ServiceError`: classic, spool full", "tried again", *answers(*SERVICE, "Message spool is full.")),
    Row("`ServiceError`: Lite, offline or too much", "tried again", *answers(*SERVICE, None)),
    Row(
        "`ResourceNotFoundError`",
        "tried again",
        *answers(model.ResourceNotFoundError, errors.ResourceNotFoundError, "Key not found."),
    ),
    Row("`InvalidTokenError`", "fatal", *answers(model.InvalidTokenError, InvalidTokenError, "unknown")),
    Row("no reply within 10 s", "tried again", lambda _: None, say_nothing),
    Row("the connection is closed before it is sent", "tried again", not_opened, None),
    Row("the connection is closed while it is sent", "tried again", not_written, None),
    Row(
        "the connection is closed before the reply",
        "tried again",
        raises(rpc.StreamClosedError())[0],
        hang_up,
    ),
    Row(
        "a reply of another operation",
        "tried again",
        raises(rpc.UnmappedDataError("Unexpected response type"))[0],
        answer_something_else,
    ),
    Row(
        "a reply that is no JSON",
        "tried again",
        raises(rpc.DeserializeError("Failed to deserialize"))[0],
        answer_no_json,
    ),
    Row("an error without a type", "tried again", raises(rpc.StreamClosedError())[0], fail_without_a_type),
]


class FakeOperation:
    """What the SDK's client makes of one publish, as a row says."""

    def __init__(self, behave: Callable[[FakeOperation], None]) -> None:
        self.response: Future[Any] = Future()
        self.written: Future[None] = Future()
        self.written.set_result(None)
        behave(self)

    def activate(self, _: object) -> Future[None]:
        return self.written

    def get_response(self) -> Future[Any]:
        return self.response

    def close(self) -> None:
        pass


class FakeClient:
    """The SDK's client."""

    def __init__(self, behave: Callable[[FakeOperation], None]) -> None:
        self.behave = behave
        self.tries = 0

    def new_publish_to_iot_core(self) -> FakeOperation:
        self.tries += 1
        return FakeOperation(self.behave)


@pytest.fixture(autouse=True)
def in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seconds become hundredths."""
    monkeypatch.setattr(couriers, "FIRST_PAUSE_S", 0.005)
    monkeypatch.setattr(couriers, "LAST_PAUSE_S", 0.02)
    monkeypatch.setattr(couriers, "DENIED_PAUSE_S", 0.01)
    monkeypatch.setattr(couriers, "TURN_S", 0.001)
    monkeypatch.setattr(couriers, "TIMEOUT_S", 1.0)
    monkeypatch.setattr(couriers, "LANDING_S", 0.0)
    monkeypatch.setattr(suspects, "REST_S", 0.05)
    monkeypatch.setattr(greengrass, "LINGER_S", 0.0)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[SqliteLedger]:
    ledger = SqliteLedger(tmp_path / "ledger.sqlite")
    yield ledger
    ledger.close()


class Run:
    """A courier at work, and what ended it."""

    def __init__(self, courier: Courier) -> None:
        self.courier = courier
        self.error: Exception | None = None
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        try:
            self.courier.run(self.stop)
        except Exception as error:  # noqa: BLE001  # whatever it is, the test looks at it
            self.error = error


@contextmanager
def running(ledger: SqliteLedger, adapter: Greengrass) -> Iterator[Run]:
    run = Run(Courier("iot_core", TOPIC, adapter.publish_to_iot_core, ledger, 1_000))
    run.thread.start()
    try:
        yield run
    finally:
        run.stop.set()
        run.courier.wake()
        run.thread.join()


def decide(ledger: SqliteLedger, count: int) -> None:
    first = ledger.last_seq() + 1
    ledger.decide([decision(number) for number in range(first, first + count)], 0.0)


def state(ledger: SqliteLedger) -> str:
    """That of the one result there is."""
    return next((each for each in ("published", "parked") if ledger.count(each)), "waiting")


def check(
    fate: Fate, ledger: SqliteLedger, run: Run, tries: Callable[[], int], mend: Callable[[], None]
) -> None:
    """The ledger says what the row says; where that is not final, the result is published once all is well."""
    match fate:
        case "fatal":
            eventually(lambda: not run.thread.is_alive())
            assert isinstance(run.error, TokenRefusedError)
            assert (state(ledger), tries()) == ("waiting", 1)
        case "tried again":
            eventually(lambda: tries() >= 4, "a few tries")
            assert state(ledger) == "waiting"
            mend()
            eventually(lambda: state(ledger) == "published")
        case "parked slowly":
            eventually(lambda: state(ledger) == "parked")
            assert tries() == DENIED_TRIES
        case _:
            eventually(lambda: state(ledger) == fate)
            assert tries() == 1
    if fate != "fatal":
        assert run.thread.is_alive()


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_what_the_sdk_says(row: Row, ledger: SqliteLedger, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each row, as the SDK's client gives it."""
    adapter, client = Greengrass(lambda _: None), FakeClient(row.from_sdk)
    monkeypatch.setattr(adapter, "_client", client)
    decide(ledger, 1)
    with running(ledger, adapter) as run:
        check(row.fate, ledger, run, lambda: client.tries, lambda: setattr(client, "behave", accept))


def test_what_could_not_be_written_is_known_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """There will be no reply, and none is waited for."""
    adapter = Greengrass(lambda _: None)
    monkeypatch.setattr(adapter, "_client", FakeClient(not_written))
    reply = adapter.publish_to_iot_core(TOPIC, b"{}")
    assert reply.done() and isinstance(reply.exception(), Disconnected)


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ThreadedHost]:
    access = {"aws.greengrass.ipc.mqttproxy": {"policy": {"operations": ["*"], "resources": [TOPIC]}}}
    with run_in_thread(tmp_path_factory.mktemp("host")) as threaded:
        threaded.host.configuration.merge(COMPONENT, (), {"accessControl": access}, now_ms())
        yield threaded


@pytest.fixture
def adapter(host: ThreadedHost, monkeypatch: pytest.MonkeyPatch) -> Iterator[Greengrass]:
    monkeypatch.setenv(greengrass.SOCKET, str(host.host.socket_path))
    monkeypatch.setenv("SVCUID", host.host.tokens.issue(COMPONENT))
    connected = Greengrass(lambda _: None)
    connected.connect()
    yield connected
    connected.close()


@pytest.mark.parametrize("row", [row for row in ROWS if row.on_wire], ids=lambda row: row.name)
def test_what_comes_over_the_wire(
    row: Row, ledger: SqliteLedger, host: ThreadedHost, adapter: Greengrass, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each row that a nucleus can cause, by a nucleus that does, through the SDK's client."""
    seen, is_well = [], threading.Event()

    async def publish(call: Call) -> Any:
        seen.append(call)
        assert row.on_wire
        return {} if is_well.is_set() else await row.on_wire(call)

    monkeypatch.setitem(host.host.ipc._operations, "PublishToIoTCore", publish)  # type: ignore[arg-type]
    tries = count_tries(adapter, monkeypatch)
    decide(ledger, 1)
    with running(ledger, adapter) as run:

        def mend() -> None:
            is_well.set()
            adapter.connect()
            run.courier.reconnected()

        check(row.fate, ledger, run, lambda: len(tries), mend)
    assert seen


def count_tries(adapter: Greengrass, monkeypatch: pytest.MonkeyPatch) -> list[None]:
    """Grows by one for each publish."""
    tries: list[None] = []
    publish = adapter.publish_to_iot_core
    monkeypatch.setattr(adapter, "publish_to_iot_core", lambda *each: (tries.append(None), publish(*each))[1])
    return tries


def test_one_that_greengrass_lite_hangs_up_on_is_parked(
    ledger: SqliteLedger, host: ThreadedHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A message too large for the nucleus closes the connection each time: all others arrive, it ends up parked."""

    async def publish(call: Call) -> Any:
        return await hang_up(call) if call.request["payload"] == too_large else {}

    too_large = "eyJzZXEiOjV9"  # base64 of {"seq":5}
    monkeypatch.setitem(host.host.ipc._operations, "PublishToIoTCore", publish)  # type: ignore[arg-type]
    monkeypatch.setenv(greengrass.SOCKET, str(host.host.socket_path))
    monkeypatch.setenv("SVCUID", host.host.tokens.issue(COMPONENT))
    mail: queue.SimpleQueue[Any] = queue.SimpleQueue()
    adapter = Greengrass(mail.put)
    adapter.connect()
    decide(ledger, 20)
    with running(ledger, adapter) as run:

        def keep_connected() -> bool:
            with suppress(queue.Empty):
                lost = mail.get_nowait()
                if isinstance(lost, ConnectionLost) and lost.connection == adapter.connection:
                    adapter.connect()
                    run.courier.reconnected()
            return not ledger.count("waiting")

        eventually(keep_connected)
    adapter.close()
    assert (ledger.count("published"), ledger.count("parked")) == (19, 1)
    assert ledger.resend(5, 5, "iot_core") == 1
    assert ledger.waiting("iot_core", after=0, was_published=True) == [(5, b'{"seq":5}')]


def test_the_page_has_the_table() -> None:
    """Each row that is tested stands in the page, in this order, and no other."""
    names = [line.split("|")[1].strip() for line in PAGE.read_text().splitlines() if line.startswith("| ")]
    assert names == ["Greengrass", *(row.name for row in ROWS), "the token is refused at connect"]
