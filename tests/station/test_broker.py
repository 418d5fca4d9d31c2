"""Addresses and subscriptions, against Mosquitto."""

from __future__ import annotations

import gc
import queue
import ssl
import subprocess
from pathlib import Path

import pytest
from paho.mqtt import publish

from station.broker import Arrival, Credentials, Link, Subscription, locate


@pytest.mark.parametrize(
    ("url", "host", "port", "tls"),
    [
        ("mqtt://127.0.0.1", "127.0.0.1", 1883, False),
        ("mqtt://broker:2000/", "broker", 2000, False),
        ("mqtts://x-ats.iot.eu-west-1.amazonaws.com", "x-ats.iot.eu-west-1.amazonaws.com", 8883, True),
        ("mqtts://x-ats.iot.eu-west-1.amazonaws.com:443", "x-ats.iot.eu-west-1.amazonaws.com", 443, True),
        ("mqtt://[::1]:1884", "::1", 1884, False),
    ],
)
def test_a_url_names_a_broker(url, host, port, tls):
    broker = locate(url)
    assert (broker.host, broker.port, broker.tls is not None) == (host, port, tls)


def test_user_and_password_are_taken_from_the_url_and_never_shown():
    broker = locate("mqtt://line:p%40ss@broker")
    assert (broker.username, broker.password, str(broker)) == ("line", "p@ss", "broker:1883")


@pytest.mark.parametrize(
    "url",
    ["127.0.0.1", "http://x", "mqtt://", "mqtt://x:99999", "mqtt://x:y", "mqtt://a..b", "mqtt://x/topic"],
)
def test_a_bad_url_is_refused_with_how_to_write_it(url):
    with pytest.raises(ValueError, match=r"is no broker.*write mqtt://HOST"):
        locate(url)


def test_a_refused_url_does_not_show_its_password():
    with pytest.raises(ValueError, match="is no broker") as refused:
        locate("mqtt://line:secret@broker:99999")
    assert "secret" not in str(refused.value)


def test_certificates_are_checked_when_the_url_is_read(tmp_path):
    (tmp_path / "c.pem").write_text("no certificate")
    for url, credentials, why in [
        ("mqtts://x", Credentials(certificate=tmp_path / "c.pem"), "go together"),
        ("mqtts://x", Credentials(tmp_path / "c.pem", tmp_path / "k.pem"), "c.pem .*can't be used"),
        ("mqtts://x", Credentials(ca=tmp_path / "no.pem"), "--ca .*no.pem can't be used"),
        ("mqtt://x", Credentials(ca=tmp_path / "c.pem"), "write mqtts://x"),
    ]:
        with pytest.raises(ValueError, match=why):
            locate(url, credentials)


def next_of(inbox, kind, seconds=20):
    """The next thing of its kind; others are passed over."""
    while not isinstance(item := inbox.get(timeout=seconds), kind):
        pass
    return item


def test_what_is_published_arrives(mosquitto):
    broker, inbox = mosquitto(), queue.SimpleQueue()
    broker.start()
    with Subscription(locate(broker.url), ["inspect/+/results"], inbox) as subscription:
        assert subscription.subscribed.wait(20)
        publish.single("inspect/line-3/results", b"hello", qos=1, port=broker.port, hostname="127.0.0.1")
        assert next_of(inbox, Arrival) == Arrival("inspect/line-3/results", b"hello")


def test_a_broker_that_comes_late_or_goes_away_is_found_again(mosquitto):
    broker, inbox = mosquitto(), queue.SimpleQueue()
    with Subscription(locate(broker.url), ["inspect/+/results"], inbox) as subscription:
        away = next_of(inbox, Link)
        assert (away.state, "refused" in away.text, "trying again" in away.text) == ("waiting", True, True)
        broker.start()
        assert subscription.subscribed.wait(20)
        broker.stop()
        while next_of(inbox, Link).state != "connected":
            pass
        lost = next_of(inbox, Link)
        assert (lost.state, "lost" in lost.text) == ("waiting", True)
        broker.start()
        assert subscription.subscribed.wait(20)
        publish.single("inspect/line-3/results", b"again", qos=1, port=broker.port, hostname="127.0.0.1")
        assert next_of(inbox, Arrival).payload == b"again"


def test_a_broker_that_refuses_the_password_is_told(mosquitto):
    broker, inbox = mosquitto("allow_anonymous false"), queue.SimpleQueue()
    broker.start()
    with Subscription(locate(broker.url), ["inspect/+/results"], inbox):
        assert "uthori" in next_of(inbox, Link).text


@pytest.fixture(scope="module")
def certificates(tmp_path_factory) -> Path:
    """An authority, and a server and a client certificate that it signed."""
    directory = tmp_path_factory.mktemp("certificates")

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=directory, check=True, capture_output=True)

    new = ("req", "-newkey", "rsa:2048", "-nodes", "-days", "2")
    # Python 3.13 asks for what RFC 5280 does: an authority that may sign, certificates that name its key.
    usage = ("-addext", "keyUsage=critical,keyCertSign")
    openssl(*new, "-x509", "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=authority", *usage)
    for name, host in (("server", "localhost"), ("client", "station")):
        names = f"subjectAltName=DNS:{host}\nauthorityKeyIdentifier=keyid\nsubjectKeyIdentifier=hash\n"
        (directory / "names").write_text(names)
        openssl(*new[:4], "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={host}")
        sign = ("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-days", "2")
        openssl(*sign, "-CAcreateserial", "-extfile", "names", "-out", f"{name}.pem")
    return directory


def mutual_tls(directory: Path) -> str:
    files = {"cafile": "ca.pem", "certfile": "server.pem", "keyfile": "server.key"}
    lines = [f"{option} {directory / name}" for option, name in files.items()]
    return "\n".join([*lines, "require_certificate true", "use_identity_as_username true"])


def test_a_certificate_opens_a_broker_that_asks_for_one(mosquitto, certificates):
    broker, inbox = mosquitto(mutual_tls(certificates)), queue.SimpleQueue()
    broker.start()
    own = Credentials(certificates / "client.pem", certificates / "client.key", certificates / "ca.pem")
    with Subscription(locate(f"mqtts://localhost:{broker.port}", own), ["inspect/#"], inbox) as subscription:
        assert subscription.subscribed.wait(20)


# paho leaves the socket of a failed handshake to the garbage collector
@pytest.mark.filterwarnings(
    "ignore:Exception ignored in. <ssl.SSLSocket:pytest.PytestUnraisableExceptionWarning"
)
def test_a_server_that_nobody_vouches_for_is_not_trusted(mosquitto, certificates):
    broker, inbox = mosquitto(mutual_tls(certificates)), queue.SimpleQueue()
    broker.start()
    with Subscription(locate(f"mqtts://localhost:{broker.port}"), ["inspect/#"], inbox) as subscription:
        assert "CERTIFICATE_VERIFY_FAILED" in next_of(inbox, Link).text
        assert not subscription.subscribed.is_set()
    gc.collect()


def test_port_443_asks_for_mqtt_by_alpn(monkeypatch):
    asked = []
    monkeypatch.setattr(ssl.SSLContext, "set_alpn_protocols", lambda self, names: asked.append(names))
    locate("mqtts://x-ats.iot.eu-west-1.amazonaws.com:443")
    locate("mqtts://x-ats.iot.eu-west-1.amazonaws.com")
    assert asked == [["x-amzn-mqtt-ca"]]
