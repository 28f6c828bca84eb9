"""Reads multipart/form-data as it arrives (RFC 7578), giving its parts as a stream of small values."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from audiolift.errors import PermanentError

FIELDS = 40
#: 1000 characters of any alphabet.
FIELD_BYTES = 4096


@dataclass(frozen=True)
class Field:
    """A whole form field that is not a file."""

    name: str
    value: str


@dataclass(frozen=True)
class FileStart:
    """The field `file` begins; its sender calls it `name`."""

    name: str


@dataclass(frozen=True)
class FileData:
    """The next bytes of the file."""

    data: bytes


Part = Field | FileStart | FileData


async def parts(content_type: str, body: AsyncIterator[bytes]) -> AsyncIterator[Part]:
    """Yields what the body holds, in its order.

    Raises:
        PermanentError: `multipart_invalid`, or `upload_incomplete` when the closing boundary does not come.
    """
    boundary = parse_options_header(content_type)[1].get(b"boundary")
    if not boundary:
        raise PermanentError("multipart_invalid", reason="its Content-Type names no boundary.")
    reader = _Reader(boundary)
    async for data in body:
        for part in reader.feed(data):
            yield part
    if not reader.complete:
        raise PermanentError("upload_incomplete")


class _Reader:
    """Turns the parser's callbacks into a list of parts per piece of input."""

    def __init__(self, boundary: bytes) -> None:
        self.complete = False
        self._found: list[Part] = []
        self._fields = 0
        self._header = [b"", b""]
        self._disposition: dict[bytes, bytes] = {}
        self._value: bytearray | None = None
        try:
            self._parser = MultipartParser(
                boundary,
                {
                    "on_part_begin": self._part_begin,
                    "on_header_begin": self._header_begin,
                    "on_header_field": lambda data, start, end: self._header_piece(0, data[start:end]),
                    "on_header_value": lambda data, start, end: self._header_piece(1, data[start:end]),
                    "on_header_end": self._header_end,
                    "on_headers_finished": self._headers_finished,
                    "on_part_data": self._part_data,
                    "on_part_end": self._part_end,
                    "on_end": self._end,
                },
            )
        except FormParserError as error:
            raise PermanentError("multipart_invalid", reason="its boundary is too long.") from error

    def feed(self, data: bytes) -> list[Part]:
        self._found = []
        try:
            if data and not self.complete:
                self._parser.write(data)
        except FormParserError as error:
            raise PermanentError(
                "multipart_invalid", reason="it does not follow RFC 7578.", cause=str(error)
            ) from error
        return self._found

    def _part_begin(self) -> None:
        self._fields += 1
        if self._fields > FIELDS:
            raise PermanentError("multipart_invalid", reason=f"it has more than {FIELDS} fields.")
        self._disposition = {}

    def _header_begin(self) -> None:
        self._header = [b"", b""]

    def _header_piece(self, which: int, piece: bytes) -> None:
        self._header[which] += piece

    def _header_end(self) -> None:
        if self._header[0].lower() == b"content-disposition":
            self._disposition = parse_options_header(self._header[1])[1]

    def _headers_finished(self) -> None:
        if b"filename" not in self._disposition:
            if self._text(b"name") == "file":
                raise PermanentError("multipart_invalid", reason="its field 'file' has no filename.")
            self._value = bytearray()
            return
        self._value = None
        if self._text(b"name") != "file":
            raise PermanentError("multipart_invalid", reason="its file is not in the field 'file'.")
        self._found.append(FileStart(self._text(b"filename")))

    def _part_data(self, data: bytes, start: int, end: int) -> None:
        if self._value is None:
            self._found.append(FileData(data[start:end]))
            return
        self._value += data[start:end]
        if len(self._value) > FIELD_BYTES:
            raise PermanentError("multipart_invalid", reason=f"a field is longer than {FIELD_BYTES} bytes.")

    def _part_end(self) -> None:
        if self._value is not None:
            self._found.append(Field(self._text(b"name"), self._value.decode(errors="replace")))

    def _end(self) -> None:
        self.complete = True

    def _text(self, name: bytes) -> str:
        return self._disposition.get(name, b"").decode(errors="replace")
