"""Events: what is encoded can be decoded, fits its JSON Schema, and nothing else is taken for an event."""

import copy
import dataclasses
import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator, FormatChecker

from audiolift import events, options
from audiolift.errors import PermanentError

SCHEMAS = Path(__file__).parents[2] / "docs/events"

job_ids = st.from_regex(r"[0-9a-f]{24}", fullmatch=True)
texts = st.text(min_size=1)
sizes = st.integers(1, 2**50)
asked = st.fixed_dictionaries(
    {},
    optional={
        "quality": st.sampled_from(options.QUALITIES),
        "track": st.integers(0, 999) | st.sampled_from(["en", "deu"]),
        "start": st.floats(0, 1e6),
        "end": st.floats(1, 1e6),
    },
) | st.fixed_dictionaries({"bitrate": st.sampled_from(options.BITRATES)})
uploaded = st.builds(events.VideoUploaded, job_ids, texts, texts, sizes, asked, sizes)
levels = st.none() | st.floats(-70, 10)
loudness = st.fixed_dictionaries(
    dict.fromkeys(("before_lufs", "after_lufs", "true_peak_before_dbtp", "true_peak_dbtp"), levels)
    | {"gain_db": st.floats(-50, 50), "target_lufs": st.floats(-31, -9)}
)
converted = st.builds(events.AudioConverted, job_ids, texts, sizes, st.floats(0.001, 1e6), st.none() | loudness)
failed = st.builds(events.ConversionFailed, job_ids, st.sampled_from(["no_audio", "not_media"]), texts)
due = st.builds(
    events.WebhookDue,
    st.from_regex(r"[0-9a-f]{24}-(converted|failed|test)-([0-9a-f]{24}|upload)", fullmatch=True),
    st.integers(1, 10**6),
)
planned = st.builds(
    events.SegmentPlanned, job_ids, st.integers(1, 99), st.sampled_from(["measure", "encode"]), st.integers(0, 999)
)
deleted = st.builds(
    events.AccountDeleted,
    st.from_regex(r"[0-9a-f]{32}", fullmatch=True),
    texts,
)
any_event = uploaded | planned | converted | failed | due | deleted

CONVERTED = events.AudioConverted("6744a1b2c3d4e5f601234567", "6744a1b2c3d4e5f601234567.1", 123, 4.5)


formats = FormatChecker()


@formats.checks("date-time", raises=ValueError)
def is_a_moment(value: Any) -> bool:
    return datetime.fromisoformat(value).tzinfo is not None


def schema(kind: str) -> Any:
    return json.loads((SCHEMAS / f"{kind}.json").read_text())


def validator(kind: str) -> Draft202012Validator:
    return Draft202012Validator(schema(kind), format_checker=formats)


@given(any_event)
def test_what_is_encoded_can_be_decoded_after_its_way_as_json(event: events.Event) -> None:
    sent = json.loads(json.dumps(events.encode(event, source="upload")))
    assert events.decode(sent, sent["data"]) == event


@given(any_event)
def test_what_is_encoded_fits_its_schema(event: events.Event) -> None:
    validator(event.type).validate(events.encode(event, source="upload", traceparent="00-0af7-b7ad-01"))


def test_there_is_one_schema_for_each_type() -> None:
    assert {path.stem for path in SCHEMAS.glob("*.json")} == set(events.TYPES)


@pytest.mark.parametrize("kind", events.TYPES)
def test_a_schema_is_one_and_names_exactly_the_members_of_its_type(kind: str) -> None:
    data = schema(kind)["properties"]["data"]
    members = [member.name for member in dataclasses.fields(events.TYPES[kind])]
    Draft202012Validator.check_schema(schema(kind))
    required = [
        member.name for member in dataclasses.fields(events.TYPES[kind]) if member.default is dataclasses.MISSING
    ]
    assert list(data["properties"]) == members
    assert data["required"] == required


def test_the_schema_of_a_video_names_exactly_the_options_that_there_are() -> None:
    known = schema(events.VideoUploaded.type)["properties"]["data"]["properties"]["options"]["properties"]
    assert tuple(known) == options.NAMES
    assert tuple(known["bitrate"]["enum"]) == options.BITRATES
    assert tuple(known["quality"]["enum"]) == options.QUALITIES
    assert known["sample_rate"]["enum"] == list(options.SAMPLE_RATES)
    assert (known["normalize"]["minimum"], known["normalize"]["maximum"]) == (options.LOWEST_LUFS, options.HIGHEST_LUFS)
    assert known["fade_in"]["maximum"] == known["fade_out"]["maximum"] == options.LONGEST_FADE_S
    assert all(known[name]["maxLength"] == options.TEXT_LENGTH for name in options.TAGS)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("specversion",), "0.3"),
        (("id",), "6744a1b2c3d4e5f601234567.failed"),
        (("type",), "dev.audiolift.audio.converted.v2"),
        (("subject",), "../etc/passwd"),
        (("time",), "yesterday"),
        (("source",), "/audiolift/notify"),
        (("data", "size"), "123"),
        (("data", "duration_s"), -1.0),
        (("data", "file_id"), ""),
    ],
)
def test_a_schema_refuses_what_is_wrong(path: tuple[str, ...], value: object) -> None:
    event = copy.deepcopy(events.encode(CONVERTED, source="convert"))
    holder = event["data"] if len(path) == 2 else event
    assert validator(CONVERTED.type).is_valid(event)
    holder[path[-1]] = value
    assert not validator(CONVERTED.type).is_valid(event)


def test_the_same_fact_has_the_same_id_and_each_fact_its_own() -> None:
    job = CONVERTED.job
    facts: list[events.Event] = [
        CONVERTED,
        events.ConversionFailed(job, "no_audio", "-"),
        events.VideoUploaded(job, "f", "n", 1, {}),
        events.VideoUploaded(job, "f", "n", 1, {}, 3),
        events.SegmentPlanned(job, 2, "encode", 0),
    ]
    ids = [events.encode(event, source="convert")["id"] for event in [*facts, *facts]]
    known = ["converted", "failed", "uploaded", "uploaded.3", "segment.2.encode.0"]
    assert ids == [f"{job}.{fact}" for fact in known] * 2


def test_the_envelope_says_who_what_and_which_job() -> None:
    event = events.encode(CONVERTED, source="convert", traceparent="00-0af7-b7ad-01")
    assert event["source"] == "/audiolift/convert"
    assert event["subject"] == CONVERTED.job
    assert event["traceparent"] == "00-0af7-b7ad-01"
    assert "traceparent" not in events.encode(CONVERTED, source="convert")


def test_a_newer_sender_may_say_more() -> None:
    event = events.encode(CONVERTED, source="convert")
    more = event["data"] | {"mood": -14.0, "type": "x", "fact": "y"}
    assert events.decode(event, more) == CONVERTED


def test_whole_seconds_are_a_duration() -> None:
    event = events.encode(CONVERTED, source="convert")
    assert events.decode(event, event["data"] | {"duration_s": 5}) == dataclasses.replace(CONVERTED, duration_s=5)


@pytest.mark.parametrize(
    ("kind", "data", "said"),
    [
        ("dev.audiolift.audio.converted.v9", {}, "type 'dev.audiolift.audio.converted.v9' is unknown"),
        (None, {}, "type None is unknown"),
        (CONVERTED.type, None, "not a JSON object"),
        (CONVERTED.type, [1], "not a JSON object"),
        (CONVERTED.type, {"job": "1", "file_id": "2"}, "lacks duration_s, size."),
        (CONVERTED.type, {"job": 1, "file_id": "2", "size": 1, "duration_s": 1.0}, "wrong 'job'"),
        (CONVERTED.type, {"job": "1", "file_id": "2", "size": True, "duration_s": 1.0}, "wrong 'size'"),
        (CONVERTED.type, {"job": "1", "file_id": "2", "size": 1.5, "duration_s": 1.0}, "wrong 'size'"),
        (CONVERTED.type, {"job": "1", "file_id": "2", "size": 1, "duration_s": "1"}, "wrong 'duration_s'"),
        (
            CONVERTED.type,
            {"job": "1", "file_id": "2", "size": 1, "duration_s": 1.0, "loudness": -14.0},
            "wrong 'loudness'",
        ),
        (CONVERTED.type, {"job": "1", "file_id": {"$ne": 1}, "size": 1, "duration_s": 1.0}, "wrong 'file_id'"),
        (
            events.VideoUploaded.type,
            {"job": "1", "file_id": "2", "name": "n", "size": 1, "options": "bitrate=1"},
            "wrong 'options'",
        ),
    ],
)
def test_what_is_no_event_is_refused_with_the_reason(kind: str | None, data: Any, said: str) -> None:
    with pytest.raises(PermanentError, match="is not an event") as refused:
        events.decode({"type": kind}, data)
    assert refused.value.code == "event_invalid"
    assert said in refused.value.sentence
