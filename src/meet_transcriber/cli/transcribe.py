"""`transcribe`, `export` and `score`: recordings and transcripts on this machine, no server."""

import tempfile
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from meet_transcriber.bootstrap import engines
from meet_transcriber.cli import console
from meet_transcriber.cli.console import (
    check_format,
    check_stems,
    configured,
    exit_code,
    exit_on_error,
    print_error,
    print_warning,
    progress_bar,
    read_timeline,
    write_output,
)
from meet_transcriber.core import formats
from meet_transcriber.core.errors import InvalidOptions, TranscriptionError, UnreadableAudio
from meet_transcriber.core.formats.readers import read_transcript
from meet_transcriber.core.options import Options, speaker_hints
from meet_transcriber.core.scoring import COLLAR, meeting_errors
from meet_transcriber.core.speaker_timeline import Timeline
from meet_transcriber.core.transcript import Transcript
from meet_transcriber.pipeline import StageProgress, run
from meet_transcriber.settings import Settings, listed


def transcribe(
    files: Annotated[list[str], typer.Argument(help="Recordings, audio or video.")],
    form: console.Format = "txt",
    output: console.Output = None,
    language: console.Language = None,
    languages: console.Languages = None,
    task: console.TaskOption = "transcribe",
    diarization: console.Diarization = True,
    num_speakers: console.NumSpeakers = None,
    min_speakers: console.MinSpeakers = None,
    max_speakers: console.MaxSpeakers = None,
    hotwords: console.Hotwords = None,
    initial_prompt: console.InitialPrompt = None,
    channels: console.Channels = "auto",
    speaker_timeline: console.SpeakerTimeline = None,
    work_dir: Annotated[
        Path | None, typer.Option(help="Keep checkpoints here and resume from them.")
    ] = None,
) -> None:
    """Transcribe recordings: who said what, when. Results go to stdout or to --output."""
    with configured(logs=True) as settings:
        check_format(form)
        check_stems(files, output)
        defaults = settings.min_speakers, settings.max_speakers
        low, high = speaker_hints(num_speakers, min_speakers, max_speakers, defaults=defaults)
        options = Options(
            language=language,
            languages=tuple(listed(languages or "")),
            task=task,
            enable_diarization=diarization,
            num_speakers=num_speakers,
            min_speakers=low,
            max_speakers=high,
            hotwords=tuple(listed(hotwords or "")),
            initial_prompt=initial_prompt,
            channels=channels,
        )
        timeline = read_timeline(speaker_timeline, len(files))
        parsed = timeline[1] if timeline else None
        codes = _transcribe_all(files, form, output, options, settings, work_dir, parsed)
    if codes:
        raise typer.Exit(max(codes))


def _transcribe_all(
    files: list[str],
    form: str,
    output: Path | None,
    options: Options,
    settings: Settings,
    work_dir: Path | None,
    timeline: Timeline | None,
) -> list[int]:
    """Exit codes of the recordings that failed; the others are written."""
    paths, codes = [], []
    for name in files:
        try:
            paths.append(_checked(name, settings))
        except TranscriptionError as error:
            print_error(error, name)
            codes.append(exit_code(error))
    if not paths:
        return codes
    loaded = load_engines(settings, options)
    for path in paths:
        try:
            transcript = transcribe_file(path, options, settings, loaded, work_dir, timeline)
            write_output(formats.export(transcript, form), form, output, path.stem)
        except TranscriptionError as error:
            print_error(error, str(path))
            codes.append(exit_code(error))
    return codes


def _checked(name: str, settings: Settings) -> Path:
    """Probe a recording, so that cheap errors come before engines load; returns its path."""
    path = Path(name)
    if "://" in name:
        raise UnreadableAudio("Web addresses are not supported here; download the recording first.")
    if path.is_dir():
        raise UnreadableAudio("This is a folder; name the recordings in it.")
    try:
        with path.open("rb") as file:
            engines.decoder(settings).probe(file)
    except FileNotFoundError as error:
        raise UnreadableAudio("There is no such file.") from error
    except OSError as error:
        raise UnreadableAudio(f"The file cannot be read: {error.strerror or error}.") from error
    return path


def load_engines(settings: Settings, options: Options) -> engines.Engines:
    """Load the engines that the options need; fetches weights with a progress bar."""
    with progress_bar("Fetching weights") as update:
        loaded = engines.load_engines(
            settings, options, lambda done, total: update("", done / max(total, 1))
        )
    loaded.recognizer.engine.check(options)
    return loaded


def transcribe_file(
    path: Path,
    options: Options,
    settings: Settings,
    loaded: engines.Engines,
    work_dir: Path | None = None,
    timeline: Timeline | None = None,
) -> Transcript:
    """Transcribe a recording; progress and warnings go to stderr."""
    with tempfile.TemporaryDirectory(prefix="meet-transcriber-") as folder:
        name = _job_name(path) if work_dir else "recording"
        pipeline = engines.pipeline(settings, options, work_dir or Path(folder), name)
        with progress_bar(path.name) as update:
            transcript = run(
                pipeline, path, loaded.recognizer, loaded.diarizer, StageProgress(update), timeline
            )
    for warning in transcript.warnings:
        print_warning(warning.message)
    return transcript


def _job_name(path: Path) -> str:
    """A folder name unique to this version of the file: its name, size and modification time."""
    stat = path.stat()
    plain = "".join(char if char.isascii() and char.isalnum() else "_" for char in path.stem)
    return f"{plain or '_'}-{stat.st_size}-{stat.st_mtime_ns}"


def export(
    transcript: Annotated[Path, typer.Argument(help="A transcript in this program's JSON.")],
    form: console.Format = "txt",
    name: Annotated[
        list[str] | None, typer.Option(help="A speaker's name: SPEAKER_00=Ann; repeatable.")
    ] = None,
) -> None:
    """Write a transcript in another format to stdout, with speakers' names."""
    with exit_on_error():
        found = read_transcript(transcript)
        named = replace(found, names={**found.names, **_parse_names(name or ())})
        write_output(formats.export(named, form), form, None, "")


def _parse_names(pairs: Iterable[str]) -> dict[str, str]:
    names = {}
    for pair in pairs:
        label, separator, name = pair.partition("=")
        if not separator:
            raise InvalidOptions(f"--name is {pair!r}; write it like SPEAKER_00=Ann.")
        names[label] = name
    return names


def score(
    reference: Annotated[Path, typer.Argument(help="The reference: .json, .stm or .rttm.")],
    hypothesis: Annotated[Path, typer.Argument(help="The hypothesis: .json, .stm or .rttm.")],
    collar: Annotated[
        float, typer.Option(help="Seconds around each reference boundary that are not scored.")
    ] = COLLAR,
    skip_overlap: Annotated[bool, typer.Option(help="Do not score overlapping speech.")] = False,
) -> None:
    """Score a transcript against a reference: WER, cpWER and DER, with their counts."""
    with exit_on_error():
        expected, found = read_transcript(reference), read_transcript(hypothesis)
        scored = meeting_errors(expected, found, collar, skip_overlap=skip_overlap)
        table = Table("", "rate", "counts")
        if expected.segments:
            for metric, errors in (("WER", scored.words), ("cpWER", scored.speakers)):
                counts = (
                    f"{errors.substitutions} substituted, {errors.deletions} deleted, "
                    f"{errors.insertions} inserted of {errors.total} words"
                )
                table.add_row(metric, f"{errors.rate:.1%}", counts)
        if expected.turns:
            der = scored.turns
            counts = (
                f"{der.missed:.1f} missed, {der.false_alarm:.1f} false alarm, "
                f"{der.confusion:.1f} confused of {der.total:.1f} seconds"
            )
            table.add_row("DER", f"{der.rate:.1%}", counts)
        Console().print(table)
