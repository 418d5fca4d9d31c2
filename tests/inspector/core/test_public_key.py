"""RSA public keys in the forms in which people have them."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inspector.core.public_key import parse_public_key
from signing import PUBLIC_KEY, KeyPair, openssl


def test_both_forms_are_the_same_key(tmp_path) -> None:
    """What ``openssl pkey -pubout`` and ``openssl rsa -RSAPublicKey_out`` write, and the DER within."""
    keys = KeyPair(tmp_path)
    pkcs1 = openssl("rsa", "-in", keys.private, "-RSAPublicKey_out")
    expected = base64.b64decode("".join(pkcs1.splitlines()[1:-1]))
    assert parse_public_key(keys.public) == parse_public_key(pkcs1) == expected


def test_line_breaks_may_be_spaces() -> None:
    """As YAML folds them."""
    key = parse_public_key(PUBLIC_KEY)
    assert parse_public_key(" ".join(PUBLIC_KEY.split("\n"))) == key
    assert parse_public_key(PUBLIC_KEY.replace("\n", "\r\n")) == key


def test_a_short_key_is_refused(tmp_path) -> None:
    with pytest.raises(ValueError, match="an RSA key of 1024 bits is too short, it must have 2048"):
        parse_public_key(KeyPair(tmp_path, bits=1_024).public)


def test_another_kind_of_key_is_refused(tmp_path) -> None:
    """An elliptic curve, and RSA that is bound to parameters of PSS, which the verifier does not take."""
    for kind, option in (("EC", "ec_paramgen_curve:P-256"), ("RSA-PSS", "rsa_keygen_bits:2048")):
        openssl("genpkey", "-quiet", "-algorithm", kind, "-pkeyopt", option, "-out", tmp_path / "key.pem")
        with pytest.raises(ValueError, match="it is no RSA key"):
            parse_public_key(openssl("pkey", "-in", tmp_path / "key.pem", "-pubout"))


def pem(der: bytes) -> str:
    return f"-----BEGIN PUBLIC KEY-----\n{base64.b64encode(der).decode()}\n-----END PUBLIC KEY-----"


DER = base64.b64decode("".join(PUBLIC_KEY.splitlines()[1:-1]))


@given(st.binary(min_size=1, max_size=400) | st.integers(1, len(DER) - 1).map(lambda length: DER[:length]))
def test_no_bytes_do_harm(der: bytes) -> None:
    """Whatever stands where a key should be is a ValueError."""
    with pytest.raises(ValueError):
        parse_public_key(pem(der))
