"""Keys and signatures for tests, made with openssl as the documentation says."""

from __future__ import annotations

import subprocess
from pathlib import Path

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
