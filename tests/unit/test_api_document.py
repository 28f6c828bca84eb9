"""docs/openapi.yaml says what the code has; that the answers are like that is for tests/e2e/test_api.py."""

import functools
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import pytest
import referencing
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator
from referencing.jsonschema import DRAFT202012

from admin_desk import letter_view
from audiolift import covers, links, options, webhooks
from audiolift.errors import CODES, PermanentError
from tests.api_document import ROOT, document, operations, resolved
from tests.auth_helpers import EVENTING, KEYS
from wishes import NAMES

SCHEMAS: dict[str, Any] = document()["components"]["schemas"]
#: For the cluster alone.
INTERNAL = {("POST", "/sweep"), ("POST", "/dead-letters"), ("POST", "/deleted-accounts"), ("GET", "/metrics")}
#: At both addresses any method may come, as another can stand in X-HTTP-Method-Override; these are spoken.
TUS = {
    *(("OPTIONS", "/uploads/"), ("POST", "/uploads/")),
    *((method, "/uploads/{upload}") for method in ("HEAD", "PATCH", "DELETE")),
}
ROUTES_OF = {
    "auth": "[(m, r.rule) for r in main.app.url_map.iter_rules() for m in r.methods]",
    "upload": "[(m, r.path) for r in main.APP.routes for m in r.methods]",
}
ENVIRONMENT = {
    "auth": {"MYSQL_URL": "mysql://a:b@localhost/c", "TOKEN_KEYS": KEYS, "THREADS": "1"} | EVENTING,
    "upload": {
        "MONGODB_URI": "mongodb://localhost",
        "K_SINK": "http://localhost",
        "JWKS_URL": "http://localhost",
        "LINK_KEYS": "k1=" + "5a" * 32,
        "CLUSTER_HOST": "upload",
        "ADMIN_KEY": "k" * 32,
    },
}


@functools.cache
def validator(pointer: str) -> Draft202012Validator:
    """Of the schema that a pointer (RFC 6901) leads to."""
    registry = referencing.Registry().with_resource("urn:api", DRAFT202012.create_resource(document()))
    return Draft202012Validator({"$ref": f"urn:api#{quote(pointer)}"}, registry=registry)


def routes(function: str) -> set[tuple[str, str]]:
    """The methods and paths of a function."""
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT / "src"), "PUBLIC_URL": "http://localhost"}
    done = subprocess.run(
        [sys.executable, "-c", f"import json, main; print(json.dumps({ROUTES_OF[function]}))"],
        cwd=ROOT / "functions" / function,
        env=environment | ENVIRONMENT[function],
        check=True,
        capture_output=True,
        text=True,
    )
    # Flask's <path:email> is {email}.
    found = {(m, re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", path)) for m, path in json.loads(done.stdout.splitlines()[-1])}
    # The frameworks add these by themselves.
    return {(method, path) for method, path in found if method not in ("HEAD", "OPTIONS")}


def codes_of(answer: Any) -> list[str]:
    """The error codes of an answer."""
    schema = answer.get("content", {}).get("application/problem+json", {}).get("schema", {})
    return list(schema.get("properties", {}).get("code", {}).get("enum", []))


def examples(part: Any, where: str = "") -> Iterator[tuple[str, Any]]:
    """Each example in a part of the document, with the pointer to its schema."""
    if isinstance(part, dict):
        if "example" in part:
            yield f"{where}/schema", part["example"]
        if isinstance(part.get("examples"), list):
            yield from ((where, one) for one in part["examples"])
        for name, inner in part.items():
            if name not in ("example", "examples"):
                yield from examples(inner, f"{where}/{name.replace('~', '~0').replace('/', '~1')}")
    elif isinstance(part, list):
        for index, inner in enumerate(part):
            yield from examples(inner, f"{where}/{index}")


def test_it_is_openapi() -> None:
    assert [str(error.message) for error in OpenAPIV31SpecValidator(document()).iter_errors()] == []


def test_it_has_the_routes_of_auth_and_upload_and_no_others() -> None:
    tus = {path for _, path in TUS} | {"/uploads"}
    found = {(method, path) for name in ROUTES_OF for method, path in routes(name) if path not in tus}
    assert {(method, path) for method, path, _ in operations()} == found - INTERNAL | TUS


def test_its_error_codes_are_those_of_the_code_with_their_sentences() -> None:
    listed = {one["const"]: one["description"] for one in SCHEMAS["ErrorCode"]["oneOf"]}
    assert listed == {code: about.sentence for code, about in CODES.items()}


def test_an_error_has_its_own_status_in_each_answer() -> None:
    seen = 0
    for _, path, operation in operations():
        for status, answer in operation["responses"].items():
            for code in codes_of(resolved(answer)):
                assert re.fullmatch(status.replace("X", r"\d"), str(CODES[code].status)), (path, status, code)
                seen += 1
    assert seen > 200


def test_its_options_are_those_of_the_code() -> None:
    assert tuple(SCHEMAS["Options"]["properties"]) == options.NAMES
    assert tuple(SCHEMAS["OptionsPatch"]["properties"]) == options.NAMES
    assert tuple(SCHEMAS["UploadOptions"]["properties"]) == NAMES
    assert set(SCHEMAS["VideoForm"]["properties"]) == {"file", *NAMES}


#: What lies around the limits of all options, in the words of any.
VALUES: list[Any] = [
    *(True, False, *range(-35, 325), 999, 1000, 10**9, 0.5, 2.0, 1.25, -9.0, -8.9, -31.1, 59.9, 60.1),
    *(rate + step for rate in options.SAMPLE_RATES for step in (-1, 0, 1)),
    *("keep", "none", "split", "voice", "standard", "high", "", "deu", "De", "d", "dede", "1:30", "1:02:03.5", "0:61"),
    *("2026", "2026-11", "2026-13", "2026-11-24", "2026-11-32", "3", "3/12", "3/12345", "0" * 24, "0" * 23, "a\tb"),
    *("x" * options.TEXT_LENGTH, "x" * (options.TEXT_LENGTH + 1)),
]


@pytest.mark.parametrize("name", options.NAMES)
def test_an_option_takes_what_the_document_allows_and_keeps_nothing_else(name: str) -> None:
    allowed = validator(f"/components/schemas/Options/properties/{name}")
    for value in VALUES:
        try:
            kept = options.from_dict({name: value}).to_dict()
        except PermanentError:
            assert not allowed.is_valid(value), value
        else:
            assert all(allowed.is_valid(one) for one in kept.values()), kept


def test_a_dead_letter_is_shown_as_it_has_it() -> None:
    now = datetime.now(UTC)
    letter = {"_id": "0" * 24, "attributes": {"type": "test"}, "count": 1, "first_at": now, "last_at": now}
    assert validator("/components/schemas/DeadLetter").is_valid(letter_view(letter))


def test_its_limits_are_those_of_the_code() -> None:
    cover = resolved(document()["paths"]["/covers"]["post"]["responses"]["201"])["content"]["application/json"][
        "schema"
    ]
    assert cover["properties"]["size"]["maximum"] == covers.LIMIT
    link = document()["paths"]["/jobs/{job}/links"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert link["properties"]["expires_s"]["minimum"] == links.SHORTEST_S
    assert SCHEMAS["WebhookEvents"]["items"]["enum"] == list(webhooks.EVENTS)


def test_its_examples_are_as_their_schemas_have_it() -> None:
    found = list(examples(document()))
    assert len(found) > 60
    for where, value in found:
        assert validator(where).is_valid(value), (where, value)
