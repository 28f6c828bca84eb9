"""What the kinds share, and the core kinds: Namespace, ConfigMap, Secret."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.alias_generators import to_camel

_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_ISO_DURATION = re.compile(r"PT(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?")
VISIBILITY = "networking.knative.dev/visibility"


def iso_seconds(text: object) -> float:
    """Seconds of an ISO 8601 duration such as PT1S or PT1M0.5S, as Knative Eventing writes them."""
    match = _ISO_DURATION.fullmatch(text) if isinstance(text, str) else None
    if not match or not any(match.groups()):
        raise ValueError("is not an ISO 8601 duration like PT1S")
    hours, minutes, seconds = (float(part or 0) for part in match.groups())
    return hours * 3600 + minutes * 60 + seconds


def go_seconds(text: object) -> float:
    """Seconds of a duration such as 60s or 1m30s, as Knative Serving and the Gateway API write them."""
    parts = re.findall(r"(\d+(?:\.\d+)?)(ms|h|m|s)", text) if isinstance(text, str) else []
    if not parts or "".join(map("".join, parts)) != text:
        raise ValueError("is not a duration like 60s")
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


def whole_number(text: object) -> int:
    """The number in an annotation, which YAML would otherwise make a number that no cluster takes."""
    if not isinstance(text, str) or not text.isdecimal():
        raise ValueError("an annotation is a whole number in quotes")
    return int(text)


class Model(BaseModel):
    """A part of an object: camel case as written, no other fields, no conversions, frozen."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, alias_generator=to_camel)


Name = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$")]
IsoSeconds = Annotated[float, BeforeValidator(iso_seconds)]
GoSeconds = Annotated[float, BeforeValidator(go_seconds)]
UrlPath = Annotated[str, Field(pattern=r"^/[^?#\s]*$")]
Quantity = Annotated[str, Field(pattern=r"^\d+(\.\d+)?(m|k|M|G|Ki|Mi|Gi)?$")]


def _known(labels: dict[str, str]) -> dict[str, str]:
    for name, value in labels.items():
        if name == VISIBILITY and value != "cluster-local":
            raise ValueError(f"{name} can only be cluster-local")
        if "knative.dev/" in name and name != VISIBILITY:
            raise ValueError(f"{name}: local does not know this label")
    return labels


Labels = Annotated[dict[str, str], AfterValidator(_known)]


class Metadata(Model):
    """An object's name and place."""

    name: Name
    namespace: Name | None = None
    labels: Labels = {}


class Object(Model):
    """What every kind has."""

    api_version: str
    kind: str
    metadata: Metadata

    @property
    def name(self) -> str:
        """The object's name."""
        return self.metadata.name


class Namespace(Object):
    """The one namespace that all other objects are in."""

    api_version: Literal["v1"]
    kind: Literal["Namespace"]


class ConfigMap(Object):
    """Values that are no secret."""

    api_version: Literal["v1"]
    kind: Literal["ConfigMap"]
    data: dict[str, str]


class Secret(Object):
    """Values that are; written as text."""

    api_version: Literal["v1"]
    kind: Literal["Secret"]
    type: Literal["Opaque"] = "Opaque"
    string_data: dict[str, str]
