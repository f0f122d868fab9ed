"""Any recording to working audio: decoded once, streamed, levelled, folded."""

from dataclasses import dataclass
from typing import BinaryIO

import numpy as np

from meet_transcriber.audio.bounds import MAX_SPLIT
from meet_transcriber.audio.channels import ChannelStatistics, kept_channels
from meet_transcriber.audio.decoding import Decoding
from meet_transcriber.audio.loudness import LoudnessMeter
from meet_transcriber.audio.peaks import PeakMeter
from meet_transcriber.audio.probe import Prober
from meet_transcriber.audio.resampling import Block
from meet_transcriber.audio.working import FlacWriter, WorkingAudio, read_blocks
from meet_transcriber.core.media import MediaInfo, Peaks, PreparedAudio
from meet_transcriber.core.options import Options
from meet_transcriber.ports.engines import SAMPLE_RATE_HZ, AudioSource, Progress


@dataclass(frozen=True)
class PyavDecoder(Prober):
    """An AudioDecoder on PyAV, whose wheel carries FFmpeg."""

    def open(self, working: BinaryIO, prepared: PreparedAudio) -> AudioSource:
        return WorkingAudio(working, prepared)

    def prepare(
        self, media: BinaryIO, working: BinaryIO, options: Options, progress: Progress
    ) -> tuple[PreparedAudio, Peaks]:
        info = self.probe(media)
        if info.channels == 1:
            return self._write(media, working, info, progress)
        with self.scratch() as spread:
            return self._fold(media, spread, working, info, options, progress)

    def _write(
        self, media: BinaryIO, working: BinaryIO, info: MediaInfo, progress: Progress
    ) -> tuple[PreparedAudio, Peaks]:
        decoding = Decoding(self.max_duration)
        meter = _Meters(1)
        writer = FlacWriter(working, 1)
        for block in decoding.blocks(media, 1, info, progress):
            writer.write(block)
            meter.add(block)
        writer.close()
        return meter.result(decoding, 1)

    def _fold(
        self,
        media: BinaryIO,
        spread: BinaryIO,
        working: BinaryIO,
        info: MediaInfo,
        options: Options,
        progress: Progress,
    ) -> tuple[PreparedAudio, Peaks]:
        """Keep all channels aside first: only the whole recording tells how to fold them."""
        channels = min(info.channels, MAX_SPLIT)
        decoding = Decoding(self.max_duration)
        statistics = ChannelStatistics(channels)
        writer = FlacWriter(spread, channels)
        for block in decoding.blocks(media, channels, info, lambda s: progress(0.8 * s)):
            writer.write(block)
            statistics.add(block)
        writer.close()
        kept = kept_channels(statistics, options.channels)
        fold = statistics.fold_weights()[np.newaxis] if kept is None else np.eye(channels)[kept]
        meter, writer = _Meters(len(fold)), FlacWriter(working, len(fold))
        done = 0
        for block in read_blocks(spread):
            folded = (fold @ block).astype(np.float32)
            writer.write(folded)
            meter.add(folded)
            done += folded.shape[1]
            progress(0.8 + 0.2 * min(done / max(decoding.samples, 1), 1.0))
        writer.close()
        return meter.result(decoding, len(fold))


class _Meters:
    """Level and outline of what is being written."""

    def __init__(self, channels: int) -> None:
        self._loudness = LoudnessMeter(channels)
        self._peaks = PeakMeter()

    def add(self, block: Block) -> None:
        self._loudness.add(block)
        self._peaks.add(block)

    def result(self, decoding: Decoding, channels: int) -> tuple[PreparedAudio, Peaks]:
        duration = decoding.samples / SAMPLE_RATE_HZ
        gains = self._loudness.gains_db()
        prepared = PreparedAudio(duration, channels, gains, tuple(decoding.warnings))
        return prepared, self._peaks.peaks()
