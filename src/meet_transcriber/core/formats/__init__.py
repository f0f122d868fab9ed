"""One registry of all formats a transcript can be written in."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from meet_transcriber.core.errors import InvalidOptions
from meet_transcriber.core.formats import documents, openai_json, subtitles
from meet_transcriber.core.transcript import Transcript

__all__ = ["EXPORTERS", "Exporter", "export"]


@dataclass(frozen=True, slots=True)
class Exporter:
    """
    A format: how it is written, its media type, its files' ending, a sentence about it.

    `without_words` writes the format without the times of words, None where it has none.
    """

    write: Callable[[Transcript], str | bytes]
    media_type: str
    extension: str
    summary: str
    without_words: Callable[[Transcript], str] | None = None

    @property
    def is_text(self) -> bool:
        """Whether the bytes are UTF-8 text that may go to a terminal."""
        return not self.media_type.startswith("application/vnd.")


EXPORTERS: Mapping[str, Exporter] = {
    "json": Exporter(
        documents.export_json,
        "application/json",
        "json",
        "Everything, to be read back.",
        partial(documents.export_json, word_times=False),
    ),
    "txt": Exporter(
        documents.export_txt, "text/plain", "txt", "A line per segment with time and name."
    ),
    "md": Exporter(documents.export_md, "text/markdown", "md", "Minutes in Markdown."),
    "srt": Exporter(
        subtitles.export_srt, "application/x-subrip", "srt", "SubRip subtitles, 42 x 2."
    ),
    "vtt": Exporter(subtitles.export_vtt, "text/vtt", "vtt", "WebVTT subtitles with voice tags."),
    "csv": Exporter(documents.export_csv, "text/csv", "csv", "Segments as comma-separated rows."),
    "tsv": Exporter(
        documents.export_tsv, "text/tab-separated-values", "tsv", "Segments as tab-separated rows."
    ),
    "rttm": Exporter(documents.export_rttm, "text/plain", "rttm", "Speaker turns, NIST's RTTM."),
    "stm": Exporter(
        documents.export_stm, "text/plain", "stm", "Segments with speakers, NIST's STM."
    ),
    "seglst": Exporter(
        documents.export_seglst, "application/json", "seglst.json", "SegLST of meeteval."
    ),
    "docx": Exporter(
        documents.export_docx,
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        "docx",
        "Minutes as a Word document.",
    ),
    "verbose_json": Exporter(
        openai_json.export_verbose_json,
        "application/json",
        "json",
        "OpenAI's verbose_json.",
        partial(openai_json.export_verbose_json, word_times=False),
    ),
    "diarized_json": Exporter(
        openai_json.export_diarized_json, "application/json", "json", "OpenAI's diarized_json."
    ),
}


def export(transcript: Transcript, form: str, word_timestamps: bool = True) -> bytes:
    """
    Write a transcript in a format of `EXPORTERS`, people's names applied; text is UTF-8.

    Args:
        word_timestamps: False leaves the times of single words out.

    Raises:
        InvalidOptions: there is no such format.
    """
    exporter = EXPORTERS.get(form)
    if exporter is None:
        raise InvalidOptions(f"There is no format {form!r}; choose from {', '.join(EXPORTERS)}.")
    write = exporter.write if word_timestamps else exporter.without_words or exporter.write
    written = write(transcript)
    # what is no Unicode text becomes an escape, which JSON reads back
    return written if isinstance(written, bytes) else written.encode("utf-8", "backslashreplace")
