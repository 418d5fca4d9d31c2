"""Keys and signatures for tests: made with openssl, and by AWS KMS as moto plays it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256

PUBLIC_KEY = """\
-----BEGIN PUBLIC KEY-----
MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAs6Rd9UwAC9un+IFZ3kpr
0Sq1fur0fX7HUNVhYwdFmUsz8AlhKP7RM2BIFeurwpDLQfIUahrGhKBkyCkSuB3n
Z+nI1a8KM6bt6nToGtUdurVpQnhq/PGBMJWXMmQIVB4JS5aKGSMaWt+dCADa7umq
QmIWM40FGCsU7L0hcxVUeAbjZPm15Kad0TqG9nKVkaAaezaScbAj7i1u/OdL/4Sg
7RaKxqM7dsRbPqmh1VdFIn6Vvsc14YP/vagKvAp/nqmWmLOEYMnlqPByZI8jLGg7
vHYpAitrG+l+KqAkCdG+rgZU0iOVFOInZxliYq5nnpJyBtJuBRlcqfVValfmh0yu
DQIDAQAB
-----END PUBLIC KEY-----
"""
"""A key whose private half nobody has."""


def openssl(*arguments: object) -> str:
    run = subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True, text=True)
    return run.stdout


class KeyPair:
    """An RSA key, made in a directory."""

    def __init__(self, directory: Path, bits: int = 2_048) -> None:
        directory.mkdir(exist_ok=True)
        self.private = directory / "private.pem"
        openssl(
            "genpkey",
            "-quiet",
            "-algorithm",
            "RSA",
            "-pkeyopt",
            f"rsa_keygen_bits:{bits}",
            "-out",
            self.private,
        )
        self.public = openssl("pkey", "-in", self.private, "-pubout")

    def sign(self, package: Path, *, salt: str = "digest") -> None:
        """Put ``manifest.sig`` beside the manifest."""
        pss = ["-sigopt", "rsa_padding_mode:pss", "-sigopt", f"rsa_pss_saltlen:{salt}"]
        manifest, signature = package / "manifest.json", package / "manifest.sig"
        openssl("dgst", "-sha256", *pss, "-sign", self.private, "-out", signature, manifest)


@contextmanager
def kms() -> Iterator[Any]:
    """AWS KMS as moto plays it, but for two things in which it differs from AWS: a message of the type DIGEST is not
    hashed once more, and the salt of RSASSA_PSS_SHA_256 has 32 bytes. Yields a client.
    """
    import boto3
    from moto import mock_aws
    from moto.kms.responses import KmsResponse
    from moto.kms.utils import RSAPrivateKey

    answer = KmsResponse.sign

    def sign(response: Any) -> str:
        assert response._get_param("MessageType") == "DIGEST"
        return answer(response)

    def sign_digest(key: Any, digest: bytes, algorithm: str) -> bytes:
        assert algorithm == "RSASSA_PSS_SHA_256"
        salted = padding.PSS(padding.MGF1(SHA256()), padding.PSS.DIGEST_LENGTH)
        return key.private_key.sign(digest, salted, Prehashed(SHA256()))

    with mock_aws(), pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
        patch.setattr(KmsResponse, "sign", sign)
        patch.setattr(RSAPrivateKey, "sign", sign_digest)
        yield boto3.client("kms")


def make_kms_key(client: Any, alias: str, spec: str = "RSA_2048", usage: str = "SIGN_VERIFY") -> str:
    """The id of a new key with this alias."""
    key_id: str = client.create_key(KeySpec=spec, KeyUsage=usage)["KeyMetadata"]["KeyId"]
    client.create_alias(AliasName=alias, TargetKeyId=key_id)
    return key_id
