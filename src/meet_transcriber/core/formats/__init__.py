"""The registry of export formats."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from meet_transcriber.core.errors import InvalidOptions
from meet_transcriber.core.formats import documents, openai_json, subtitles
from meet_transcriber.core.transcript import Transcript


@dataclass(frozen=True, slots=True)
class Exporter:
    """
    An export format.

    Attributes:
        write: writes a transcript.
        extension: file name extension, without the dot.
        without_words: writes without the times of words; None if the format never has them.
    """

    write: Callable[[Transcript], str | bytes]
    media_type: str
    extension: str
    summary: str
    without_words: Callable[[Transcript], str] | None = None

    @property
    def is_text(self) -> bool:
        """Whether the output is UTF-8 text that a terminal can show."""
        return not self.media_type.startswith("application/vnd.")


_JSON = "application/json"
_DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"

EXPORTERS: Mapping[str, Exporter] = {
    "json": Exporter(
        documents.export_json, _JSON, "json", "The complete transcript.",
        partial(documents.export_json, word_times=False),
    ),
    "txt": Exporter(
        documents.export_txt, "text/plain", "txt", "One line per segment with time and speaker."
    ),
    "md": Exporter(documents.export_md, "text/markdown", "md", "Minutes in Markdown."),
    "srt": Exporter(subtitles.export_srt, "application/x-subrip", "srt", "SubRip subtitles, 42x2."),
    "vtt": Exporter(subtitles.export_vtt, "text/vtt", "vtt", "WebVTT subtitles with voice tags."),
    "csv": Exporter(
        partial(documents.export_table, delimiter=","),
        "text/csv", "csv", "Segments as comma-separated rows.",
    ),
    "tsv": Exporter(
        partial(documents.export_table, delimiter="\t"),
        "text/tab-separated-values", "tsv", "Segments as tab-separated rows.",
    ),
    "rttm": Exporter(documents.export_rttm, "text/plain", "rttm", "Speaker turns, NIST's RTTM."),
    "stm": Exporter(documents.export_stm, "text/plain", "stm", "Segments in NIST's STM."),
    "seglst": Exporter(documents.export_seglst, _JSON, "seglst.json", "SegLST of meeteval."),
    "docx": Exporter(documents.export_docx, _DOCX, "docx", "Minutes as a Word document."),
    "verbose_json": Exporter(
        openai_json.export_verbose_json, _JSON, "json", "OpenAI's verbose_json.",
        partial(openai_json.export_verbose_json, word_times=False),
    ),
    "diarized_json": Exporter(
        openai_json.export_diarized_json, _JSON, "json", "OpenAI's diarized_json."
    ),
}  # fmt: skip


def export(transcript: Transcript, form: str, word_timestamps: bool = True) -> bytes:
    """
    Return a transcript in a format of `EXPORTERS`, with names; text is UTF-8.

    Raises InvalidOptions for an unknown format.
    """
    exporter = EXPORTERS.get(form)
    if exporter is None:
        raise InvalidOptions(f"The format {form!r} is unknown; use one of {', '.join(EXPORTERS)}.")
    write = exporter.write if word_timestamps else exporter.without_words or exporter.write
    written = write(transcript)
    # lone surrogates become escapes, which JSON readers decode
    return written if isinstance(written, bytes) else written.encode("utf-8", "backslashreplace")
