"""The kind Service of Knative Serving."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from local.kinds.common import VISIBILITY, GoSeconds, Labels, Model, Name, Object, Quantity, UrlPath, whole_number

# Knative sets these itself and refuses a Service that does.
_RESERVED = {"PORT", "K_SERVICE", "K_CONFIGURATION", "K_REVISION", "K_SINK"}


class KeyRef(Model):
    """One key of a Secret or ConfigMap."""

    name: Name
    key: str
    optional: bool = False


class ValueFrom(Model):
    """Where a variable's value comes from: one of the two."""

    secret_key_ref: KeyRef | None = None
    config_map_key_ref: KeyRef | None = None

    @model_validator(mode="after")
    def _one(self) -> "ValueFrom":
        if (self.secret_key_ref is None) == (self.config_map_key_ref is None):
            raise ValueError("needs either secretKeyRef or configMapKeyRef")
        return self


class EnvVar(Model):
    """One variable of the environment."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
    value: str | None = None
    value_from: ValueFrom | None = None

    @model_validator(mode="after")
    def _one(self) -> "EnvVar":
        if (self.value is None) == (self.value_from is None):
            raise ValueError("needs either value or valueFrom")
        if self.name in _RESERVED:
            raise ValueError(f"{self.name} is set by Knative and cannot be set here")
        if "$(" in (self.value or ""):
            raise ValueError("local does not put one variable into another with $( )")
        return self


class ContainerPort(Model):
    """The port inside of the container."""

    container_port: Annotated[int, Field(ge=1, le=65535)]


class HttpGet(Model):
    """A probe's path at the container's port."""

    path: UrlPath


class Probe(Model):
    """Ready is an answer of 200 to 399; local tries every 50 ms, whatever the times say."""

    http_get: HttpGet
    initial_delay_seconds: int | None = None
    period_seconds: int | None = None
    timeout_seconds: int | None = None
    failure_threshold: int | None = None
    success_threshold: int | None = None


class Resources(Model):
    """Accepted only."""

    requests: dict[Literal["cpu", "memory", "ephemeral-storage"], Quantity] = Field(default={})
    limits: dict[Literal["cpu", "memory", "ephemeral-storage"], Quantity] = Field(default={})


class Capabilities(Model):
    """Accepted only."""

    drop: tuple[str, ...]


class SeccompProfile(Model):
    """Accepted only."""

    type: Literal["RuntimeDefault"]


class SecurityContext(Model):
    """Accepted only."""

    run_as_non_root: bool | None = None
    run_as_user: int | None = None
    run_as_group: int | None = None
    read_only_root_filesystem: bool | None = None
    allow_privilege_escalation: bool | None = None
    capabilities: Capabilities | None = None
    seccomp_profile: SeccompProfile | None = None


class VolumeMount(Model):
    """Where a volume appears: /tmp, which local gives to the function as TMPDIR."""

    name: Name
    mount_path: Literal["/tmp"]  # noqa: S108  # a path in the container


class EmptyDir(Model):
    """A scratch directory for each replica."""

    size_limit: Quantity | None = None
    medium: Literal["Memory"] | None = None


class Volume(Model):
    """A volume that ends with its replica."""

    name: Name
    empty_dir: EmptyDir


def _no_name_twice(variables: tuple[EnvVar, ...]) -> tuple[EnvVar, ...]:
    names = [variable.name for variable in variables]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"{name} is set twice")
    return variables


class Container(Model):
    """The one container of a Service."""

    name: Name | None = None
    image: Annotated[str, Field(pattern=r"^([^@]*/)?audiolift-[a-z]+([:@].*)?$")]
    env: Annotated[tuple[EnvVar, ...], AfterValidator(_no_name_twice)] = ()
    ports: Annotated[tuple[ContainerPort, ...], Field(max_length=1)] = ()
    readiness_probe: Probe
    liveness_probe: Probe | None = None
    resources: Resources | None = None
    security_context: SecurityContext | None = None
    volume_mounts: tuple[VolumeMount, ...] = ()

    @property
    def function(self) -> str:
        """The folder in functions/ that the image is made of."""
        return re.split("[:@]", self.image.rsplit("/", 1)[-1])[0].removeprefix("audiolift-")


class RevisionSpec(Model):
    """How one replica runs."""

    container_concurrency: Annotated[int, Field(ge=1, le=1000)]
    timeout_seconds: Annotated[int, Field(ge=1, le=600)] = 300
    response_start_timeout_seconds: Annotated[int, Field(ge=1, le=600)] | None = None
    containers: Annotated[tuple[Container, ...], Field(min_length=1, max_length=1)]
    volumes: tuple[Volume, ...] = ()

    @property
    def start_timeout_seconds(self) -> int:
        """How long the first byte of an answer may take; Knative's own 300 where nothing is set."""
        return min(self.timeout_seconds, self.response_start_timeout_seconds or 300)

    @model_validator(mode="after")
    def _timeouts(self) -> "RevisionSpec":
        if (self.response_start_timeout_seconds or 0) > self.timeout_seconds:
            raise ValueError("responseStartTimeoutSeconds is more than timeoutSeconds")
        return self

    @model_validator(mode="after")
    def _volumes(self) -> "RevisionSpec":
        names = {volume.name for volume in self.volumes}
        for mount in self.containers[0].volume_mounts:
            if mount.name not in names:
                raise ValueError(f"there is no volume {mount.name!r} for the volumeMount")
        return self


class Scale(Model):
    """The autoscaler's annotations."""

    min_scale: Annotated[
        int, BeforeValidator(whole_number), Field(alias="autoscaling.knative.dev/min-scale", ge=0, le=100)
    ] = 0
    max_scale: Annotated[
        int, BeforeValidator(whole_number), Field(alias="autoscaling.knative.dev/max-scale", ge=1, le=100)
    ]
    target: Annotated[
        int | None, BeforeValidator(whole_number), Field(alias="autoscaling.knative.dev/target", ge=1, le=1000)
    ] = None
    window: Annotated[GoSeconds, Field(alias="autoscaling.knative.dev/window", ge=6, le=3600)] = 60.0

    @model_validator(mode="after")
    def _order(self) -> "Scale":
        if self.min_scale > self.max_scale:
            raise ValueError("min-scale is more than max-scale")
        return self


class RevisionMetadata(Model):
    """A revision's annotations and labels."""

    annotations: Scale
    labels: Labels = Field(default={})


class RevisionTemplate(Model):
    """What each revision is made from."""

    metadata: RevisionMetadata
    spec: RevisionSpec


class ServiceSpec(Model):
    """A Service's one traffic target is its latest revision."""

    template: RevisionTemplate


class Service(Object):
    """A function that scales by its requests."""

    api_version: Literal["serving.knative.dev/v1"]
    kind: Literal["Service"]
    spec: ServiceSpec

    @property
    def revision(self) -> RevisionSpec:
        """How a replica runs."""
        return self.spec.template.spec

    @property
    def container(self) -> Container:
        """The one container."""
        return self.revision.containers[0]

    @property
    def scale(self) -> Scale:
        """How many replicas there may be."""
        return self.spec.template.metadata.annotations

    @property
    def load_per_replica(self) -> int:
        """How many requests a replica has before another is started."""
        return min(self.scale.target or self.revision.container_concurrency, self.revision.container_concurrency)

    @property
    def cluster_local(self) -> bool:
        """Whether it has no public name."""
        return VISIBILITY in self.metadata.labels
