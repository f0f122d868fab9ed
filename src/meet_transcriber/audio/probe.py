"""Opens recordings safely and reads their properties, with a clear error for unusable ones."""

import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from typing import BinaryIO

import av
from av.audio.stream import AudioStream
from av.codec.codec import UnknownCodecError
from av.container import InputContainer

from meet_transcriber.audio.metadata import without_metadata
from meet_transcriber.core.errors import (
    AudioTooLong,
    InvalidAudio,
    UnreadableAudio,
    UnsupportedFormat,
)
from meet_transcriber.core.media import MAX_CHANNELS, MediaInfo

_ENCRYPTED_SAMPLES = (b"enca", b"encv", b"drms", b"drmi")
_PROTECTION = (b"schm", b"frma")
_MAX_INDEX_BYTES = 64 << 20
_MAX_BOXES = 1000  # a crafted file could have millions
_STREAMED_SIZES = (0, 0x7FFFFFFF)  # placeholders of recorders that cannot seek
_STREAMED_FROM = 0xFFFF0000  # larger sizes are placeholders, too
_BOX_HEAD_BYTES = 8
_BARE_STREAMS = frozenset({"aac", "ac3", "amr", "amrnb", "amrwb", "dts", "eac3", "loas", "mp3"})
_MP3_LENGTHS = (b"Xing", b"Info", b"VBRI")


def is_encrypted(media: BinaryIO) -> bool:
    """
    Return whether an MP4 declares encrypted samples (ISO/IEC 14496-12, 8.12).

    FFmpeg would open such a file as the underlying codec and decode noise.
    """
    for name, start, size in _boxes(media):
        if name == b"moov":
            media.seek(start)
            index = media.read(min(size, _MAX_INDEX_BYTES))
            named = any(entry in index for entry in _ENCRYPTED_SAMPLES)
            return named and all(box in index for box in _PROTECTION)
    return False


def count_missing_bytes(media: BinaryIO) -> int:
    """Return how many bytes of a RIFF file are missing by its header; 0 without a size."""
    media.seek(0)
    head = media.read(8)
    claimed = int.from_bytes(head[4:8], "little")
    if head[:4] != b"RIFF" or claimed in _STREAMED_SIZES or claimed >= _STREAMED_FROM:
        return 0
    return max(claimed + 8 - media.seek(0, 2) - 1, 0)  # padding of an odd chunk is optional


def has_estimated_duration(container: str, media: BinaryIO) -> bool:
    """Return whether FFmpeg estimated the duration from the first bit rates."""
    if container != "mp3":
        return container in _BARE_STREAMS
    media.seek(0)
    head = media.read(10)
    tag = 0
    if head[:3] == b"ID3":  # four bytes of seven bits each
        tag = 10 + sum(
            (byte & 0x7F) << shift for byte, shift in zip(head[6:], (21, 14, 7, 0), strict=False)
        )
    media.seek(tag)
    frame = media.read(2048)
    return not any(mark in frame for mark in _MP3_LENGTHS)


def _boxes(media: BinaryIO) -> Iterator[tuple[bytes, int, int]]:
    """Yield name, offset and size of the content of each top-level box."""
    at, end = 0, media.seek(0, 2)
    for _ in range(_MAX_BOXES):
        media.seek(at)
        head = media.read(16)
        if len(head) < _BOX_HEAD_BYTES:
            return
        size, header = int.from_bytes(head[:4], "big"), _BOX_HEAD_BYTES
        if size == 1:
            size, header = int.from_bytes(head[8:16], "big"), 16
        size = size or end - at
        if size < header or not head[4:8].isalnum():
            return
        yield head[4:8], at + header, size - header
        at += size


# Demuxers that read one file and nothing else. Playlists and manifests (hls, concat, dash,
# sdp, imf) open other files or hosts and are left out on purpose, as are pictures and text.
_DEMUXERS = (
    "3dostr,aac,ac3,adp,aiff,amr,amrnb,amrwb,ape,apm,asf,au,avi,bink,caf,dts,dtshd,dv,eac3,f4v,"
    "flac,flv,gsm,gxf,ircam,ivf,loas,lxf,m4v,matroska,webm,mlv,mov,mp4,m4a,3gp,3g2,mj2,mp3,mpc,"
    "mpc8,mpeg,mpegts,mxf,nsv,nut,ogg,oma,osq,rm,sox,spdif,tak,truehd,tta,voc,w64,wav,wtv,wv,xwma"
)
MAX_STREAMS = 128
_PICTURES = (b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"BM", b"II*\x00", b"MM\x00*")
_PLAYLIST = re.compile(
    rb"^\xef?\xbb?\xbf?\s*(#EXTM3U|ffconcat|\[playlist\]|v=0\r?\n|<\?xml|<MPD|<smil|https?://)"
)
_HEAD_BYTES = 4096
_IMPLAUSIBLE_SECONDS = 30 * 86400.0
_MINUTES_FROM = 600.0  # longer durations are shown in minutes
_ENCRYPTED = "The recording is encrypted (DRM); export an unprotected copy and send that."
_TEXT_SHARE = 0.97  # of printable bytes
_TEXT_BYTES = frozenset(b"\t\r\n\f") | frozenset(range(0x20, 0x7F)) | frozenset(range(0xC2, 0x100))


@dataclass(frozen=True)
class Prober:
    """An AudioProber on PyAV; needs no numpy.

    Attributes:
        max_duration: seconds; longer recordings are refused, by header or while decoding.
        scratch: returns a temporary file for channels that are mixed later.
    """

    max_duration: float = 14_400.0
    scratch: Callable[[], BinaryIO] = tempfile.TemporaryFile

    def probe(self, media: BinaryIO) -> MediaInfo:
        return read_info(media, self.max_duration)


@contextmanager
def open_media(media: BinaryIO) -> Iterator[tuple[InputContainer, AudioStream]]:
    """
    Open a recording with its best audio stream; nothing but `media` is read.

    Raises:
        UnsupportedFormat, UnreadableAudio: with the reason.
    """
    media = without_metadata(media)
    _reject_other_files(media)
    try:
        container = av.open(media, mode="r", options=_options(), metadata_errors="replace")
    except MemoryError as error:  # FFmpeg also reports too many streams this way
        raise UnreadableAudio(
            f"The file has more than {MAX_STREAMS} streams, or needs more memory than the decoder "
            "may use (DECODER_MEMORY_MB); export only its audio."
        ) from error
    except (av.FFmpegError, ValueError, OSError) as error:
        raise _open_error(media) from error
    with container:
        yield container, _audio_stream(container)


@cache
def _options() -> dict[str, str]:
    """
    Restrict FFmpeg to these demuxers, no protocol, and audio decoders.

    Video is never decoded, not even to determine its size.
    """
    decoders = []
    for name in sorted(av.codecs_available):
        with suppress(UnknownCodecError):
            if av.Codec(name, "r").type == "audio":
                decoders.append(name)
    return {
        "format_whitelist": _DEMUXERS,
        "protocol_whitelist": "none",
        "codec_whitelist": ",".join(decoders),
        "max_streams": str(MAX_STREAMS),
    }


def read_info(media: BinaryIO, max_duration: float) -> MediaInfo:
    """
    Read the properties of a recording without decoding it.

    Raises:
        UnsupportedFormat, UnreadableAudio, AudioTooLong: with the reason.
    """
    with open_media(media) as (container, stream):
        duration = container.duration / av.time_base if container.duration else None
        # cover art is a video stream of a single picture
        dispositions = [getattr(video, "disposition", "") for video in container.streams.video]
        info = MediaInfo(
            container=container.format.name,
            codec=stream.codec_context.name,
            duration=duration if duration is None or duration >= 0 else None,
            sample_rate_hz=stream.codec_context.sample_rate,
            channels=stream.codec_context.channels,
            has_video=any("attached_pic" not in str(each) for each in dispositions),
        )
    if info.duration is None or has_estimated_duration(info.container, media):
        return info
    if info.duration > _IMPLAUSIBLE_SECONDS:
        raise UnreadableAudio(
            f"The header claims {info.duration / 86400:.0f} days of audio; the file is damaged. "
            "Export it again."
        )
    if info.duration > max_duration:
        raise too_long_error(max_duration, info.duration)
    return info


def too_long_error(limit: float, duration: float | None = None) -> AudioTooLong:
    """Return the error for a recording over the limit."""
    length = f"{_format_duration(duration)} long" if duration else "longer than allowed"
    return AudioTooLong(
        f"The recording is {length}; the limit is {_format_duration(limit)}. "
        "Split it, or raise MAX_AUDIO_DURATION_SECONDS."
    )


def _format_duration(seconds: float) -> str:
    """Format in minutes, short durations in seconds."""
    return f"{seconds / 60:.0f} minutes" if seconds >= _MINUTES_FROM else f"{seconds:.0f} seconds"


def _reject_other_files(media: BinaryIO) -> None:
    media.seek(0)
    head = media.read(_HEAD_BYTES)
    media.seek(0)
    if not head:
        raise UnsupportedFormat("The file is empty; nothing was recorded or the copy failed.")
    if head.startswith(_PICTURES) or head[8:12] == b"WEBP":
        raise UnsupportedFormat("The file is a picture; send an audio or video recording.")
    if _PLAYLIST.match(head):
        raise UnsupportedFormat(
            "The file is a playlist or a web address that points at other files; "
            "these are not followed. Send the recording itself."
        )
    printable = sum(byte in _TEXT_BYTES for byte in head)
    if b"\x00" not in head and printable / len(head) > _TEXT_SHARE:
        raise UnsupportedFormat("The file is text; send an audio or video recording.")
    if head[4:8] == b"ftyp" and is_encrypted(media):
        raise UnsupportedFormat(_ENCRYPTED)
    media.seek(0)


def _open_error(media: BinaryIO) -> InvalidAudio:
    media.seek(0)
    head = media.read(_HEAD_BYTES)
    if head[4:8] in (b"ftyp", b"mdat", b"wide", b"free", b"skip", b"moov"):
        return UnreadableAudio(
            "The MP4 file has no usable index: it was cut off or never finished. "
            "Copy it again, or repair it from the device that recorded it."
        )
    if head[:4] in (b"RIFF", b"RF64", b"OggS", b"fLaC", b"\x1a\x45\xdf\xa3", b"FORM", b"caff"):
        return UnreadableAudio("The file's header is damaged; copy the recording again.")
    return UnsupportedFormat(
        "The file is not audio or video in a supported format; "
        "send WAV, MP3, M4A, FLAC, OGG, WebM, MP4 or another common format."
    )


def _audio_stream(container: InputContainer) -> AudioStream:
    streams = list(container.streams.audio)
    if not streams:
        kind = "a video without sound" if container.streams.video else "a file without sound"
        raise UnsupportedFormat(f"The recording is {kind}; there is nothing to transcribe.")
    best = container.streams.best("audio")
    stream = best if isinstance(best, AudioStream) else streams[0]
    if stream.codec_context is None:
        raise UnsupportedFormat(
            "The audio has an unsupported codec; convert it, for example to WAV, MP3 or M4A."
        )
    context = stream.codec_context
    tag = getattr(context, "codec_tag", "") or ""
    if tag in ("enca", "drms", "drmi") or stream.metadata.get("encrypted"):
        raise UnsupportedFormat(_ENCRYPTED)
    if not context.sample_rate or not context.channels:
        raise UnreadableAudio(
            "The header claims 0 Hz or no channels; the file is damaged, export it again."
        )
    if context.channels > MAX_CHANNELS:
        raise UnsupportedFormat(
            f"The recording has {context.channels} channels; at most {MAX_CHANNELS} are mixed. "
            "Export a mix of it."
        )
    return stream
