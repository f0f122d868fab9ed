"""Reading multipart/form-data piece by piece; pure, with no idea of where bytes come from or go."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from meet_transcriber.core.errors import InvalidOptions, MalformedRequest
from meet_transcriber.core.speaker_timeline import decoded

FIELDS_BYTES = 256 << 10
"""What all fields of a form may have together, names included."""

_FIELD_OVERHEAD = 32


@dataclass(frozen=True, slots=True)
class FileBegins:
    """From here on bytes belong to the file."""

    name: str


@dataclass
class _Part:
    headers: dict[bytes, bytes] = field(default_factory=dict)
    name: str = ""
    filename: str | None = None
    value: bytearray = field(default_factory=bytearray)
    begun: bool = False


class FormReader:
    """
    Takes a body's chunks and gives what they hold: the file's bytes at once, fields at the end.

    Exactly one part may be a file: the one named `file_field`, whatever it says of itself. An
    empty one without a file name, as browsers send for a file nobody chose, is no file. Text files
    are fields, too.
    """

    def __init__(
        self,
        content_type: str,
        file_field: str = "file",
        fields_bytes: int = FIELDS_BYTES,
        text_files: Mapping[str, int] | None = None,
    ) -> None:
        """
        Args:
            fields_bytes: what all fields may have together.
            text_files: fields that may come as files, and the bytes that each may have besides.

        Raises:
            MalformedRequest: the content type names no boundary.
        """
        self.fields: list[tuple[str, str]] = []
        self._file_field = file_field
        self._left = fields_bytes
        self._left_of = dict(text_files or {})
        self._events: list[FileBegins | bytes] = []
        self._part = _Part()
        self._header = (bytearray(), bytearray())
        self._files = 0
        self._ended = False
        self._parser = self._new_parser(content_type)

    def _new_parser(self, content_type: str) -> MultipartParser:
        boundary = parse_options_header(content_type)[1].get(b"boundary")
        if not boundary:
            raise MalformedRequest("The Content-Type of a form must name its boundary.")
        try:
            return MultipartParser(
                boundary,
                {
                    "on_part_begin": self._begin_part,
                    "on_header_field": lambda data, start, end: self._header[0].extend(
                        data[start:end]
                    ),
                    "on_header_value": lambda data, start, end: self._header[1].extend(
                        data[start:end]
                    ),
                    "on_header_end": self._end_header,
                    "on_headers_finished": self._end_headers,
                    "on_part_data": self._take,
                    "on_part_end": self._end_part,
                    "on_end": self._end,
                },
            )
        except FormParserError as error:
            raise MalformedRequest(f"The form cannot be read: {error}.") from error

    def feed(self, chunk: bytes) -> Iterator[FileBegins | bytes]:
        """
        Yield the beginning of the file and its bytes, as far as this chunk has them.

        Raises:
            MalformedRequest: the body is no form.
            InvalidOptions: there is a second file, or the fields are too large.
        """
        try:
            self._parser.write(chunk)
        except FormParserError as error:
            raise MalformedRequest(f"The form cannot be read: {error}.") from error
        events, self._events = self._events, []
        yield from events

    def finish(self) -> None:
        """
        Say that the body has ended.

        Raises:
            MalformedRequest: it ended in the middle.
        """
        if not self._ended:
            raise MalformedRequest("The form ends in the middle: its closing boundary is missing.")

    # -- what the parser calls -------------------------------------------------------------

    def _begin_part(self) -> None:
        self._part = _Part()

    def _end_header(self) -> None:
        name, value = self._header
        self._part.headers[bytes(name).lower()] = bytes(value)
        self._header = (bytearray(), bytearray())

    def _end_headers(self) -> None:
        disposition = self._part.headers.get(b"content-disposition", b"")
        _, options = parse_options_header(disposition.decode("latin-1"))
        if b"name" not in options:
            raise MalformedRequest("Each part of a form must have a name.")
        self._part.name = _decoded(options[b"name"])
        if b"filename" in options:
            self._part.filename = _decoded(options[b"filename"])
        if self._part.filename and self._part.name not in {self._file_field, *self._left_of}:
            raise InvalidOptions(
                f"There is no file {self._part.name!r}; send the recording as {self._file_field!r}."
            )
        if self._part.filename and self._part.name == self._file_field:
            self._begin_file()
        self._spend(len(self._part.name) + _FIELD_OVERHEAD)

    def _take(self, data: bytes, start: int, end: int) -> None:
        if self._part.name == self._file_field:
            if not self._part.begun:
                self._begin_file()
            self._events.append(data[start:end])
        else:
            self._spend(end - start, self._part.name)
            self._part.value += data[start:end]

    def _begin_file(self) -> None:
        self._part.begun = True
        self._files += 1
        if self._files > 1:
            raise InvalidOptions("There are two files in the form; send one recording a request.")
        self._events.append(FileBegins(self._part.filename or ""))

    def _end_part(self) -> None:
        if self._part.name != self._file_field:
            value = bytes(self._part.value)
            read = decoded if self._part.name in self._left_of else _decoded
            self.fields.append((self._part.name, read(value)))

    def _end(self) -> None:
        self._ended = True

    def _spend(self, size: int, name: str = "") -> None:
        if name in self._left_of:
            self._left_of[name] -= size
            if self._left_of[name] < 0:
                raise InvalidOptions(f"The field {name!r} of the form is too large.")
            return
        self._left -= size
        if self._left < 0:
            raise InvalidOptions("The fields of the form are too large together.")


def _decoded(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise MalformedRequest("Names and fields of a form must be UTF-8.") from error
