"""One registry of all formats a transcript can be written in."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from meet_transcriber.core.errors import InvalidOptions
from meet_transcriber.core.exporters import documents, scoring_formats, subtitles, text
from meet_transcriber.core.transcript import Transcript

__all__ = ["EXPORTERS", "Exporter", "export"]


@dataclass(frozen=True)
class Exporter:
    """A format: its media type, the ending of its files, and a sentence about it."""

    write: Callable[[Transcript], str | bytes]
    media_type: str
    extension: str
    summary: str


EXPORTERS = {
    "json": Exporter(
        documents.export_json, "application/json", "json", "Everything, to be read back."
    ),
    "txt": Exporter(text.export_txt, "text/plain", "txt", "A line per segment with time and name."),
    "md": Exporter(text.export_md, "text/markdown", "md", "Minutes in Markdown."),
    "srt": Exporter(
        subtitles.export_srt, "application/x-subrip", "srt", "SubRip subtitles, 42 x 2."
    ),
    "vtt": Exporter(subtitles.export_vtt, "text/vtt", "vtt", "WebVTT subtitles with voice tags."),
    "csv": Exporter(text.export_csv, "text/csv", "csv", "Segments as comma-separated rows."),
    "tsv": Exporter(
        text.export_tsv, "text/tab-separated-values", "tsv", "Segments as tab-separated rows."
    ),
    "rttm": Exporter(
        scoring_formats.export_rttm, "text/plain", "rttm", "Speaker turns, NIST's RTTM."
    ),
    "stm": Exporter(
        scoring_formats.export_stm, "text/plain", "stm", "Segments with speakers, NIST's STM."
    ),
    "seglst": Exporter(
        scoring_formats.export_seglst, "application/json", "seglst.json", "SegLST of meeteval."
    ),
    "docx": Exporter(
        documents.export_docx,
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        "docx",
        "Minutes as a Word document.",
    ),
    "verbose_json": Exporter(
        documents.export_verbose_json, "application/json", "json", "OpenAI's verbose_json."
    ),
    "diarized_json": Exporter(
        documents.export_diarized_json, "application/json", "json", "OpenAI's diarized_json."
    ),
}


def export(transcript: Transcript, form: str) -> bytes:
    """
    Write a transcript in a format of `EXPORTERS`, people's names applied.

    Raises:
        InvalidOptions: there is no such format.
    """
    exporter = EXPORTERS.get(form)
    if exporter is None:
        raise InvalidOptions(f"There is no format {form!r}; choose from {', '.join(EXPORTERS)}.")
    names = {label: name for label, name in transcript.names.items() if name.strip()}
    written = exporter.write(replace(transcript, names=names))
    return written if isinstance(written, bytes) else written.encode("utf-8", "replace")
