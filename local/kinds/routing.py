"""The kind HTTPRoute of the Gateway API."""

from typing import Annotated, Literal

from pydantic import Field

from local.kinds.common import GoSeconds, Model, Name, Object, UrlPath

Hostname = Annotated[str, Field(pattern=r"^[a-z0-9-]+(\.[a-z0-9-]+)+$")]


class PathMatch(Model):
    """A path, or a path and all below it."""

    type: Literal["Exact", "PathPrefix"]
    value: UrlPath

    def matches(self, path: str) -> bool:
        """Whether the request's path is meant; a prefix counts in whole segments."""
        if self.type == "Exact":
            return path == self.value
        prefix = self.value.rstrip("/")
        return path == prefix or path.startswith(prefix + "/")


class Match(Model):
    """What a request must have."""

    path: PathMatch


class UrlRewrite(Model):
    """The Host that the request goes on with: the public name of a Service."""

    hostname: Hostname


class RewriteFilter(Model):
    """What happens to the request."""

    type: Literal["URLRewrite"]
    url_rewrite: UrlRewrite


class Timeouts(Model):
    """How long a request may take, from its first to its last byte."""

    request: GoSeconds


class Reference(Model):
    """Accepted only: local has one gateway."""

    name: Name
    namespace: Name
    section_name: Name | None = None
    port: int | None = None


class Rule(Model):
    """Requests that match one of `matches` go to the Service whose name is written into the Host."""

    matches: Annotated[tuple[Match, ...], Field(min_length=1)]
    filters: Annotated[tuple[RewriteFilter, ...], Field(min_length=1, max_length=1)]
    timeouts: Timeouts | None = None
    backend_refs: tuple[Reference, ...]

    @property
    def hostname(self) -> str:
        """The Service's public name."""
        return self.filters[0].url_rewrite.hostname


class HttpRouteSpec(Model):
    """The rules; of those that match, the longest path wins, an exact one before a prefix."""

    parent_refs: tuple[Reference, ...]
    hostnames: tuple[Hostname, ...]
    rules: Annotated[tuple[Rule, ...], Field(min_length=1)]


class HttpRoute(Object):
    """Path routing under one public name."""

    api_version: Literal["gateway.networking.k8s.io/v1"]
    kind: Literal["HTTPRoute"]
    spec: HttpRouteSpec
