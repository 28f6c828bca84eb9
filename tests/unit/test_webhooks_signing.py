"""Signatures of webhooks, verified by the official library of Standard Webhooks."""

import base64
import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from audiolift.webhooks import body, sign

SECRETS = [f"whsec_{base64.b64encode(bytes([number]) * 32).decode()}" for number in (1, 2, 3)]
ID = "6744a1b2c3d4e5f601234567-converted-upload"
BODY = body("job.converted", {"video": {"name": "Größe 🎧.mp4"}}).encode()


def made(*ages: timedelta) -> list[dict[str, Any]]:
    """Secrets, the newest first, of these ages."""
    return [{"secret": secret, "made_at": datetime.now(UTC) - age} for secret, age in zip(SECRETS, ages, strict=False)]


def accepts(secret: str, headers: dict[str, str], content: bytes = BODY) -> bool:
    try:
        Webhook(secret).verify(content, headers)
    except WebhookVerificationError:
        return False
    return True


def test_the_official_library_takes_what_is_signed_and_nothing_else() -> None:
    headers = sign(ID, datetime.now(UTC), BODY, made(timedelta()))
    assert Webhook(SECRETS[0]).verify(BODY, headers) == json.loads(BODY)
    assert not accepts(SECRETS[1], headers)
    assert not accepts(SECRETS[0], headers, BODY + b" ")
    assert not accepts(SECRETS[0], headers | {"webhook-id": ID.replace("6744", "6745")})
    later = str(int(headers["webhook-timestamp"]) + 1)
    assert not accepts(SECRETS[0], headers | {"webhook-timestamp": later})


def test_for_a_day_after_a_new_secret_the_one_before_signs_too() -> None:
    headers = sign(ID, datetime.now(UTC), BODY, made(timedelta(hours=23), timedelta(days=99)))
    assert [accepts(secret, headers) for secret in SECRETS] == [True, True, False]
    headers = sign(ID, datetime.now(UTC), BODY, made(timedelta(hours=25), timedelta(days=99)))
    assert [accepts(secret, headers) for secret in SECRETS] == [True, False, False]


def test_a_body_is_small_json_with_what_when_and_what_about() -> None:
    told = json.loads(BODY)
    assert list(told) == ["type", "timestamp", "data"]
    assert datetime.fromisoformat(told["timestamp"]).tzinfo is not None
    assert b": " not in BODY and "Größe 🎧".encode() in BODY


def test_the_code_in_the_documentation_verifies_it() -> None:
    text = (Path(__file__).parents[2] / "docs/api.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    names: dict[str, Any] = {}
    exec(code, names)
    headers = sign(ID, datetime.now(UTC), BODY, made(timedelta(hours=1), timedelta(days=9)))
    assert [names["verified"](headers, BODY, secret) for secret in SECRETS] == [True, True, False]
    assert not names["verified"](headers, BODY + b" ", SECRETS[0])
    old = sign(ID, datetime.now(UTC) - timedelta(minutes=6), BODY, made(timedelta(hours=1)))
    assert not names["verified"](old, BODY, SECRETS[0])


@pytest.mark.parametrize("moment", [datetime(2026, 11, 24, 12, 0, 0, 999_999, tzinfo=UTC)])
def test_the_time_is_whole_seconds(moment: datetime) -> None:
    assert sign(ID, moment, BODY, made(timedelta()))["webhook-timestamp"] == str(int(moment.timestamp()))
