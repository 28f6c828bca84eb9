"""The web page, as `web/` was built into the folder `page`: read once, then served from memory.

What the page may do stands in its Content-Security-Policy (CSP level 3): nothing but what comes from this origin.
"""

import functools
import hashlib
import mimetypes
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from starlette.responses import Response

from audiolift.errors import PermanentError
from delivering import names

FOLDER = Path(__file__).with_name("page")
#: The files whose addresses are not their paths.
NAMES = {"/": "index.html", "/docs": "docs.html"}
#: The one <style> in the page, which wavesurfer.js puts around its drawing; a test says so when it changes.
_WAVEFORM_STYLE = "sha256-GDz2FZP0i7VZaDhs1mgc43IRUXU2xajPIjvThHvZvbs="
_POLICY = (
    "default-src 'none'; script-src 'self'; connect-src 'self'; img-src 'self'; media-src 'self'; "
    f"style-src 'self' '{_WAVEFORM_STYLE}'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": _POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Referrer-Policy": "no-referrer",
    "Vary": "Accept-Encoding",
    "X-Content-Type-Options": "nosniff",
}
#: By what browsers call them: the suffix of the file, the better one first.
_ENCODINGS = {"br": ".br", "gzip": ".gz"}


@dataclass(frozen=True)
class Asset:
    """A file of the page: its bodies by encoding, with "" for the plain one."""

    bodies: Mapping[str, bytes]
    media_type: str
    etag: str


def serve(name: str, headers: Mapping[str, str]) -> Response:
    """A file of the page, compressed as the browser likes it.

    Args:
        name: Its path in the folder; what lies in `assets/` has its digest in its name, and so never changes.
        headers: Those of the request.

    Raises:
        PermanentError: not_found.
    """
    asset = assets().get(name)
    if asset is None:
        raise PermanentError("not_found")
    cache = "public, max-age=31536000, immutable" if name.startswith("assets/") else "no-cache"
    # Weak, as it is the same for all encodings (RFC 9110 section 8.8.1).
    answer = HEADERS | {"Cache-Control": cache, "ETag": f"W/{asset.etag}"}
    if names(headers.get("if-none-match", ""), asset.etag):
        return Response(status_code=304, headers=answer)
    accepted = {one.partition(";")[0].strip() for one in headers.get("accept-encoding", "").split(",")}
    encoding = next((one for one in asset.bodies if one in accepted), "")
    coded = {"Content-Encoding": encoding} if encoding else {}
    return Response(asset.bodies[encoding], media_type=asset.media_type, headers=answer | coded)


@functools.cache
def assets(folder: Path = FOLDER) -> Mapping[str, Asset]:
    """The files of the page by their path in the folder; none where it was not built."""
    plain = [path for path in folder.rglob("*") if path.is_file() and path.suffix not in _ENCODINGS.values()]
    return {path.relative_to(folder).as_posix(): _asset(path) for path in plain}


def _asset(path: Path) -> Asset:
    packed = {encoding: path.with_name(path.name + suffix) for encoding, suffix in _ENCODINGS.items()}
    bodies = {encoding: file.read_bytes() for encoding, file in packed.items() if file.exists()}
    body = path.read_bytes()
    media_type = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    return Asset(bodies | {"": body}, media_type, f'"{hashlib.sha256(body).hexdigest()[:32]}"')
