"""The functions' images, run as Kubernetes would run them: what a pod of knative/ says, as options of podman."""

import shlex
import shutil
from pathlib import Path

from local.processes import MARKER
from tests.functions import ROOT
from tests.manifests import SERVING, Document, base

FUNCTIONS = ("auth", "upload", "convert", "notify")

# What tests/unit/test_knative_traps.py holds every container to.
_HARDENED = ("--read-only", "--read-only-tmpfs=false", "--cap-drop=all", "--security-opt=no-new-privileges")
# By itself podman raises them, which takes a capability that root does not have everywhere.
_ULIMITS = ("--ulimit=nofile=10000:10000", "--ulimit=nproc=10000:10000")
# crun does not start where cgroups are of both versions.
_RUN = ("podman", "--runtime=runc", "run", "--rm", "--pull=never", "--network=host")
# What the platform gives to a function beside what its manifest says.
_GIVEN = ("PORT", "HOST", "K_SINK", "K_SERVICE", "K_CONFIGURATION", "K_REVISION", MARKER)


def service_pod(function: str) -> Document:
    """The pod of a function's Service."""
    return _pod(SERVING, function)


def job_pod(name: str) -> Document:
    """The pod of a Job."""
    return _pod("batch/v1", name)


def _pod(version: str, name: str) -> Document:
    (found,) = [one for one in base() if (one["apiVersion"], one["metadata"]["name"]) == (version, name)]
    pod: Document = found["spec"]["template"]["spec"]
    return pod


def command(pod: Document, *arguments: str) -> list[str]:
    """Runs a pod's container on the network of this machine; it gets the variables of podman's own environment.

    Args:
        pod: As the manifest has it.
        arguments: What to run in the place of the pod's command or the image's.
    """
    (container,) = pod["containers"]
    limits = container["resources"]["limits"]
    variables = [variable["name"] for variable in container["env"]]
    return [
        *_RUN,
        *_HARDENED,
        *_ULIMITS,
        f"--memory={limits['memory']}",
        f"--memory-swap={limits['memory']}",
        f"--cpus={cpus(pod)}",
        *(f"--mount=type=volume,destination={mount['mountPath']}" for mount in container.get("volumeMounts", ())),
        *(f"--env={name}" for name in (*variables, *_GIVEN)),
        container["image"],
        *(arguments or container.get("command", ())),
    ]


def cpus(pod: Document) -> float:
    """How many CPUs a pod may use."""
    text = pod["containers"][0]["resources"]["limits"]["cpu"]
    return float(text.removesuffix("m")) / 1000 if text.endswith("m") else float(text)


def write_clone(root: Path) -> Path:
    """Makes a clone of this repository in which `functions/*/start` starts the function's container.

    So all that starts functions, the platform as well as the tests, starts containers there.
    """
    # Copied, as it knows its clone by where it lies.
    shutil.copytree(ROOT / "local", root / "local")
    for name in ("knative", "src"):
        (root / name).symlink_to(ROOT / name)
    for function in FUNCTIONS:
        start = root / "functions" / function / "start"
        start.parent.mkdir(parents=True)
        start.write_text(f"#!/bin/sh\nexec {shlex.join(command(service_pod(function)))}\n")
        start.chmod(0o755)
    return root
