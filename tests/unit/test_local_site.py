"""This machine's own objects: secrets are made once, addresses are always those of now."""

from pathlib import Path

import yaml

from audiolift.admin import parse_key
from audiolift.links import parse_keys
from local.kinds.common import ConfigMap, Secret
from local.manifests import Manifests, load
from local.site import write_site
from signing import parse_signing_keys

#: The random secrets and their keys.
_OWN = (("audiolift-tokens", "keys"), ("audiolift-links", "keys"), ("audiolift-admin", "key"))


def _written(path: Path, port: int) -> Manifests:
    space = path.parent / "namespace.yaml"
    space.write_text(yaml.safe_dump({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "audiolift"}}))
    write_site(
        path,
        namespace="audiolift",
        mysql_url=f"mysql://root@127.0.0.1:{port}/auth",
        mongodb_uri=f"mongodb://127.0.0.1:{port}",
        smtp_url=f"smtp://127.0.0.1:{port}",
        public_url=f"http://localhost:{port}",
        otlp_endpoint=f"http://localhost:{port + 1}",
    )
    return load([space, path])


def _value(manifests: Manifests, name: str, key: str) -> str:
    secret = manifests.get(Secret, name)
    assert secret
    return secret.string_data[key]


def test_the_secrets_are_what_the_functions_take(tmp_path: Path) -> None:
    written = _written(tmp_path / "site.yaml", 1)
    assert len(parse_signing_keys(_value(written, "audiolift-tokens", "keys"))) == 1
    assert list(parse_keys(_value(written, "audiolift-links", "keys")))
    assert parse_key(_value(written, "audiolift-admin", "key"))


def test_secrets_stay_and_addresses_change(tmp_path: Path) -> None:
    first, second = (_written(tmp_path / "site.yaml", port) for port in (1, 2))
    for name, key in _OWN:
        assert _value(first, name, key) == _value(second, name, key)
    assert _value(second, "audiolift-mongodb", "uri") == "mongodb://127.0.0.1:2"
    config = second.get(ConfigMap, "audiolift-site")
    assert config and config.data["public-url"] == "http://localhost:2"
    assert config.data["otlp-endpoint"] == "http://localhost:3"


def test_two_machines_share_no_secret(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    one, two = (_written(tmp_path / name / "site.yaml", 1) for name in ("one", "two"))
    for name, key in _OWN:
        assert _value(one, name, key) != _value(two, name, key)


def test_only_the_owner_may_read_it(tmp_path: Path) -> None:
    _written(tmp_path / "site.yaml", 1)
    assert (tmp_path / "site.yaml").stat().st_mode & 0o777 == 0o600
