"""The objects that knative/ refers to but cannot contain: this machine's addresses, and secrets that are its own."""

import base64
import json
import os
import secrets
from pathlib import Path
from typing import Any

import yaml
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey


def write_site(
    path: Path,
    *,
    namespace: str,
    mysql_url: str,
    mongodb_uri: str,
    smtp_url: str,
    public_url: str,
    otlp_endpoint: str = "",
) -> None:
    """Writes the Secrets and the ConfigMap, readable by their owner only.

    Random secrets are made the first time and kept from then on; the addresses are those given.
    """
    known = _secrets(path)
    objects = [
        _secret(namespace, "audiolift-mysql", url=mysql_url),
        _secret(namespace, "audiolift-mongodb", uri=mongodb_uri),
        _secret(namespace, "audiolift-mail", **{"smtp-url": smtp_url}),
        known.get("audiolift-tokens") or _secret(namespace, "audiolift-tokens", keys=_signing_keys()),
        known.get("audiolift-links") or _secret(namespace, "audiolift-links", keys=f"k1={secrets.token_hex(32)}"),
        known.get("audiolift-admin") or _secret(namespace, "audiolift-admin", key=secrets.token_urlsafe(32)),
        {
            **_object(namespace, "ConfigMap", "audiolift-site"),
            "data": {
                "public-url": public_url,
                "mail-from": "audiolift@example.com",
                "mail-transport": "smtp",
                # Receivers on this machine, also without TLS, for who tries webhooks out.
                "webhook-allowed-networks": "127.0.0.0/8",
                "otlp-endpoint": otlp_endpoint,
            },
        },
    ]
    part = path.with_suffix(".part")
    part.unlink(missing_ok=True)
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        yaml.safe_dump_all(objects, file, sort_keys=False)
    part.replace(path)


def _secrets(path: Path) -> dict[str, dict[str, Any]]:
    if not path.exists():
        return {}
    objects = yaml.safe_load_all(path.read_text())
    return {one["metadata"]["name"]: one for one in objects if one["kind"] == "Secret"}


def _object(namespace: str, kind: str, name: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": name, "namespace": namespace}}


def _secret(namespace: str, name: str, **values: str) -> dict[str, Any]:
    return {**_object(namespace, "Secret", name), "stringData": values}


def _signing_keys() -> str:
    """A JWK set with one private Ed25519 key (RFC 8037)."""
    key = Ed25519PrivateKey.generate()
    jwk = {
        "kty": "OKP",
        "crv": "Ed25519",
        "kid": secrets.token_hex(8),
        "x": _base64url(key.public_key().public_bytes_raw()),
        "d": _base64url(key.private_bytes_raw()),
    }
    return json.dumps({"keys": [jwk]})


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
