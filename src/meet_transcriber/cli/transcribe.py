"""`meet-transcriber transcribe FILE...`"""

import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from meet_transcriber.bootstrap import engines, observability
from meet_transcriber.cli import options as wishes
from meet_transcriber.cli.console import (
    errors_become_exit_codes,
    exit_code,
    load_settings,
    progress_bar,
    say_error,
    say_warning,
    stderr,
)
from meet_transcriber.core.errors import (
    InvalidOptions,
    TranscriptionError,
    UnreadableAudio,
)
from meet_transcriber.core.formats import EXPORTERS, export
from meet_transcriber.core.options import Options, speaker_hints
from meet_transcriber.core.speaker_timeline import Timeline
from meet_transcriber.core.transcript import Transcript
from meet_transcriber.pipeline import StageProgress, run
from meet_transcriber.settings import Settings


def transcribe(
    files: Annotated[list[str], typer.Argument(help="Recordings, audio or video.")],
    form: wishes.Format = "txt",
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Folder for results; one file per recording."),
    ] = None,
    language: wishes.Language = None,
    languages: wishes.Languages = None,
    task: wishes.WhichTask = "transcribe",
    diarization: wishes.Diarization = True,
    num_speakers: wishes.NumSpeakers = None,
    min_speakers: wishes.MinSpeakers = None,
    max_speakers: wishes.MaxSpeakers = None,
    hotwords: wishes.Hotwords = None,
    initial_prompt: wishes.InitialPrompt = None,
    channels: wishes.Channels = "auto",
    speaker_timeline: wishes.SpeakerTimeline = None,
    work_dir: Annotated[
        Path | None, typer.Option(help="Keep checkpoints here and go on from them.")
    ] = None,
) -> None:
    """Transcribe recordings: who said what, when. Results go to stdout or to --output."""
    with errors_become_exit_codes():
        settings = load_settings()
        observability.set_up_logging(settings)
        if form not in EXPORTERS:
            raise InvalidOptions(f"There is no format {form!r}; use {', '.join(EXPORTERS)}.")
        low, high = speaker_hints(
            num_speakers,
            min_speakers,
            max_speakers,
            defaults=(settings.min_speakers, settings.max_speakers),
        )
        options = Options(
            language=language,
            languages=wishes.listed(languages),
            task=task,
            enable_diarization=diarization,
            num_speakers=num_speakers,
            min_speakers=low,
            max_speakers=high,
            hotwords=wishes.listed(hotwords),
            initial_prompt=initial_prompt,
            channels=channels,
        )
        timeline = wishes.timeline(speaker_timeline, len(files))
        codes = _transcribe_all(files, form, output, options, settings, work_dir, timeline)
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
    """Exit codes of the recordings that failed; the others are written all the same."""
    paths, codes = [], []
    for name in files:
        try:
            paths.append(_checked(name, settings))
        except TranscriptionError as error:
            say_error(error, name)
            codes.append(exit_code(error))
    if not paths:
        return codes
    loaded = load_engines(settings, options)
    for path in paths:
        try:
            transcript = transcribe_file(path, options, settings, loaded, work_dir, timeline)
            _deliver(transcript, path, form, output)
        except TranscriptionError as error:
            say_error(error, str(path))
            codes.append(exit_code(error))
    return codes


def _checked(name: str, settings: Settings) -> Path:
    """The path, once it was seen to be a recording; cheap errors come before engines load."""
    path = Path(name)
    if "://" in name:
        raise UnreadableAudio("Web addresses are not fetched here; download the recording first.")
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
    """The engines, their weights fetched with a progress bar, able to do what is asked."""
    with progress_bar("Fetching weights") as tell:
        loaded = engines.load_engines(
            settings, options, lambda done, total: tell("", done / max(total, 1))
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
    """One recording with a progress bar on stderr; warnings are said there too."""
    with tempfile.TemporaryDirectory(prefix="meet-transcriber-") as folder:
        name = _job_name(path) if work_dir else "recording"
        pipeline = engines.pipeline(settings, options, work_dir or Path(folder), name)
        with progress_bar(path.name) as tell:
            transcript = run(
                pipeline,
                path,
                loaded.recognizer,
                loaded.diarizer,
                StageProgress(tell),
                timeline,
            )
    for warning in transcript.warnings:
        say_warning(warning.message)
    return transcript


def _job_name(path: Path) -> str:
    """A folder that belongs to this very file: name, size and time of its last change."""
    facts = path.stat()
    plain = "".join(char if char.isascii() and char.isalnum() else "_" for char in path.stem)
    return f"{plain or '_'}-{facts.st_size}-{facts.st_mtime_ns}"


def _deliver(transcript: Transcript, path: Path, form: str, output: Path | None) -> None:
    data = export(transcript, form)
    if output is None:
        sys.stdout.buffer.write(data)
        sys.stdout.flush()
        return
    output.mkdir(parents=True, exist_ok=True)
    target = output / f"{path.stem}.{EXPORTERS[form].extension}"
    target.write_bytes(data)
    stderr.print(f"{target}", markup=False)
