"""From samples to the bytes of an audio file, whole or piece by piece."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO, Final, Self

import numpy as np
from numpy.typing import NDArray

from oscine.audio.chapters import MOST, Chapter, comments, entries, lasting, tags_span, titled
from oscine.audio.formats import Format, bitrate_for, frame_length
from oscine.audio.out import Out
from oscine.audio.waveform import Samples
from oscine.errors import InvalidRequest

if TYPE_CHECKING:
    import av


class Encoder:
    """Encodes mono samples as they come.

    With a `sink` (a path, or a binary file that can seek and that its owner closes) everything is written there and the
    headers are completed at the end; `push` and `finish` return nothing. Without one they return the bytes that are
    ready, to be played while more arrive: a WAV then says 0xFFFFFFFF for its sizes, and nothing is written that needs a
    look back.

    Every decoder gives back the samples from the first one on, and as many as were pushed, within one codec frame. The
    codec's delay is signalled where a format can (the LAME tag of an MP3 file, the pre-skip of Opus). Where it cannot
    (ADTS, streamed MP3) the packets that hold nothing but delay are left out, and the first 50 ms have to make do
    without the packet before them: let speech start after that much silence.

    With `mp4`, AAC goes into an MP4 file with its index in front (`.m4a`, `.m4b`). It has tags, signals the
    delay, and needs a path as its `sink`.

    With `chapters` (titles), the header of a file has room for them; where each starts is told to `mark` when it is
    known. MP4 needs no room, other files none of whose bytes can be changed, and wav, pcm and plain AAC, have none.

    Tags go by FFmpeg's generic names: `title`, `artist`, `comment`, `encoded_by`. The same samples give the same bytes,
    however they are cut into pushes. An error of the sink is raised as it is.
    """

    format: Format
    sample_rate: int
    """Hz."""
    bitrate: int | None
    """bit/s that the codec is set to; None where it has none."""

    def __init__(
        self,
        format: Format,
        sample_rate: int,
        *,
        bitrate: int | None = None,
        tags: Mapping[str, str] | None = None,
        sink: BinaryIO | Path | None = None,
        mp4: bool = False,
        chapters: Sequence[str] = (),
    ) -> None:
        """Raises InvalidRequest for a rate that the codec does not take (see `nearest_rate`), OSError of the sink."""
        rates = format.spec.rates
        if sample_rate <= 0 or (rates and sample_rate not in rates):
            takes = ", ".join(str(rate) for rate in rates) or "any above 0"
            raise InvalidRequest(f"sample_rate does not suit {format.value}; it takes {takes} Hz.", param="sample_rate")
        self.format = format
        self.sample_rate = sample_rate
        self.bitrate = bitrate_for(format, sample_rate, bitrate)
        assert not mp4 or (format is Format.AAC and isinstance(sink, Path))
        self._mp4 = mp4
        self._out = Out(sink)
        self._streams = not self._out.seekable()
        self._tags = dict(tags or {})
        self._chapters = [_short(Chapter(title, 0.0)) for title in chapters[:MOST]] if self._holds_chapters() else []
        self._marked = False
        self._drop, lead = (0, 0) if mp4 else _delay(format, sample_rate, self._streams)
        self._held: list[Samples] = [np.zeros(lead, np.float32)]
        self._held_count = lead
        self._level = _level(format, self.bitrate)
        self._pushed = self._sent = self._packets = 0
        self._container: Any = None
        self._stream: Any = None
        self._raw = format is Format.PCM
        try:
            if not self._raw:
                self._container, self._stream = self._open(self._out)
        except BaseException:
            self._out.abandon()
            raise

    def push(self, samples: Samples) -> bytes:
        """Encode the next samples, float32 `[samples]`, and return the bytes that are ready."""
        self._check_open()
        try:
            if self._raw:
                self._out.write(_convert(samples, "s16", 1.0).tobytes())
                return self._out.take()
            self._container.start_encoding()
            self._pushed += len(samples)
            self._held.append(samples)
            self._held_count += len(samples)
            if len(samples) and (self._streams or self._held_count >= self.sample_rate * _HELD_SECONDS):
                self._encode_held()
            return self._out.take()
        except BaseException:
            self.close()
            raise

    def mark(self, chapters: Sequence[Chapter]) -> None:
        """Tell, before `finish`, where chapters start, in order.

        Those that the encoder was not opened with are left out, but for MP4.
        """
        told = [_short(chapter) for chapter in chapters[:MOST]]
        self._chapters = told if self._mp4 else titled(told, [chapter.title for chapter in self._chapters])
        self._marked = bool(self._chapters)

    def finish(self) -> bytes:
        """Complete the file or the stream, close it, and return the last bytes."""
        self._check_open()
        try:
            if self._raw:
                self._out.complete()
                return b""
            self._container.start_encoding()
            self._held.append(np.zeros(max(0, self._shortest() - self._pushed), np.float32))
            self._encode_held()
            self._mux(self._stream.encode(None), last=True)
            length = self._pushed / self.sample_rate
            if self._marked and self._mp4:
                self._container.set_chapters(entries(lasting(self._chapters, length), length))
            self._container.close()
            if self._marked and not self._mp4:
                self._write_tags_again()
            rest = self._out.take()
            self._out.complete()
            return rest
        finally:
            self.close()

    def close(self) -> None:
        """Free the codec and the file; what was not finished stays unfinished. May be called again."""
        self._out.abandon()
        self._held.clear()
        if self._container is not None:
            self._container.close()
            self._container = self._stream = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _check_open(self) -> None:
        if self._out.closed:
            raise ValueError("The encoder is closed.")

    def _holds_chapters(self) -> bool:
        return not self._streams and self.format in (Format.MP3, Format.OPUS, Format.FLAC)

    def _write_tags_again(self) -> None:
        """Put the header's tags, with the times that are known by now, over those that were written first."""
        memory = Out(io.BytesIO())
        container, _ = self._open(memory)
        container.start_encoding()
        container.close()
        header = memory.written()
        first, end = tags_span(self.format, header)
        self._out.seek(first)
        self._out.write(header[first:end])

    def _open(self, out: Out) -> tuple[Any, Any]:
        """A container that writes its header, with tags and chapters, to `out`, and its stream of sound."""
        import av
        from av.codec.context import Flags

        spec = self.format.spec
        kept = {key: _clean(value) for key, value in self._tags.items()} if spec.holds_tags or self._mp4 else {}
        kept = {_MP4_TAGS.get(key, key) if self._mp4 else key: value for key, value in kept.items() if value}
        if self._chapters and self.format in (Format.OPUS, Format.FLAC):
            kept |= comments(self._chapters)
        options = _muxer_options(self.format, self._streams, tagged=bool(kept or self._chapters))
        if self._mp4:
            options["movflags"] = "+faststart"
        container: Any = av.open(
            out,
            "w",
            format=_MP4 if self._mp4 else spec.container,
            container_options=options,
            buffer_size=_BUFFER_BYTES,
            io_open=out.read_again if self._mp4 else None,
        )
        container.metadata.update(kept)
        if self._chapters and self.format is Format.MP3:
            container.set_chapters(entries(self._chapters, self._pushed / self.sample_rate))
        options = _codec_options(self.format, self.bitrate, self.sample_rate, self._streams)
        stream: Any = container.add_stream(spec.codec, rate=self.sample_rate, options=options)
        stream.codec_context.layout = "mono"
        stream.codec_context.format = spec.sample_format
        stream.codec_context.flags |= Flags.bitexact.value
        if self.bitrate is not None:
            stream.codec_context.bit_rate = self.bitrate
        return container, stream

    def _shortest(self) -> int:
        """Samples that players need to open a file: a packet, whole in MP4, two of an MP3 without a header."""
        if not self.format.spec.bitrate:
            return 0
        frame = frame_length(self.format, self.sample_rate)
        return frame + 1 if self.format is Format.MP3 and self._streams else frame if self._mp4 else 1

    def _encode_held(self) -> None:
        import av

        samples = self._held[0] if len(self._held) == 1 else np.concatenate([np.zeros(0, np.float32), *self._held])
        self._held.clear()
        self._held_count = 0
        sample_format = self.format.spec.sample_format
        block = self.sample_rate * _BLOCK_SECONDS
        for start in range(0, len(samples), block):
            piece = _convert(samples[start : start + block], sample_format, self._level)
            frame = av.AudioFrame.from_ndarray(piece, format=sample_format, layout="mono")
            frame.sample_rate = self.sample_rate
            frame.pts = self._sent
            self._sent += piece.shape[1]
            self._mux(self._stream.encode(frame))

    def _mux(self, packets: Iterable[av.Packet[Any]], *, last: bool = False) -> None:
        if not self._drop:
            self._container.mux(packets)
            return
        needed = self._drop + -(-max(self._shortest(), self._pushed) // frame_length(self.format, self.sample_rate))
        for packet in packets:
            self._packets += 1
            if self._packets > self._drop and not (last and self._packets > needed):
                self._container.mux_one(packet)


_BLOCK_SECONDS: Final = 4
"""What is encoded at once at most: small enough for memory."""
_HELD_SECONDS: Final = 1
"""What waits at most: large enough that Python's share of the work does not count."""
_BUFFER_BYTES: Final = 1 << 16
_MP4: Final = "ipod"
"""FFmpeg's muxer of MP4 files with sound alone."""
_MP4_TAGS: Final = {"encoded_by": "encoding_tool"}
"""What FFmpeg calls them there."""
_MP3_DELAY: Final = 576 + 529
"""Samples by which LAME (576) and any MP3 decoder (528 + 1) delay the sound; LAME's technical FAQ, "encoder delay"."""
_PLENTY_BITS: Final = 4
"""Bits a sample from which on LAME's noise shaping has nothing to hide: the noise is 17 dB and more below the speech in
every band up to 8 kHz, and without shaping it is lower still (bench/mp3_effort.py)."""
_LAME_FAST: Final = "7"
"""LAME's quality without noise shaping: nearly twice as fast."""
_LAME_SCALES: Final = ((256_000, 1.0), (224_000, 0.98), (192_000, 0.97), (0, 0.95))
"""Bit rate from which on, and by how much LAME turns the sound down; its presets.c, and measured."""
_FULL_SCALE: Final = 32768.0


def _delay(format: Format, sample_rate: int, streams: bool) -> tuple[int, int]:
    """Packets to leave out at the start, and zeros to put first so that those packets hold exactly the delay."""
    if format is Format.AAC:
        return 1, 0
    if format is Format.MP3 and streams:
        frame = frame_length(format, sample_rate)
        packets = -(-_MP3_DELAY // frame)
        return packets, packets * frame - _MP3_DELAY
    return 0, 0


def _codec_options(format: Format, bitrate: int | None, sample_rate: int, streams: bool) -> dict[str, str]:
    """What a codec is told beyond rate and bit rate."""
    options: dict[str, str] = {}
    if format is Format.MP3:
        if bitrate is not None and bitrate >= _PLENTY_BITS * sample_rate:
            options["compression_level"] = _LAME_FAST
        if streams:
            # Frames must not lean on the bit reservoir of those that are left out.
            options["reservoir"] = "0"
    return options


def _level(format: Format, bitrate: int | None) -> float:
    """What the samples are multiplied with so that they come out of the codec as loud as they went in.

    LAME turns it down a little at lower bit rates.
    """
    if format is not Format.MP3 or bitrate is None:
        return 1.0
    return 1 / next(scale for least, scale in _LAME_SCALES if bitrate >= least)


def _muxer_options(format: Format, streams: bool, *, tagged: bool) -> dict[str, str]:
    options = {"fflags": "+bitexact", "flush_packets": "1" if streams else "0"}
    if format is Format.MP3:
        # Version 2.3 is the one that every player reads.
        options |= {"id3v2_version": "3" if tagged else "0", "metadata_header_padding": "0"}
    elif format is Format.FLAC:
        options["metadata_header_padding"] = "0"
    elif format is Format.OPUS and streams:
        # The muxer keeps a page back until the next one is there.
        options["page_duration"] = "40000"
    return options


def _convert(samples: Samples, sample_format: str, level: float) -> NDArray[Any]:
    """One row in the codec's format, clipped at full scale: 16 bit to the nearest step, else times `level`."""
    if sample_format == "s16":
        scaled = np.multiply(samples, _FULL_SCALE, dtype=np.float32)
        np.rint(scaled, out=scaled)
        np.clip(scaled, -_FULL_SCALE, _FULL_SCALE - 1, out=scaled)
        return scaled.astype(np.int16)[None]
    clipped = np.clip(samples, -1.0, 1.0).astype(np.float32, copy=False)
    return (clipped if level == 1 else clipped * np.float32(level))[None]


def _clean(tag: str) -> str:
    """`tag` without control characters and lone surrogates, which no container takes; 500 characters at most."""
    return "".join(each for each in tag[:500] if each.isprintable()).strip()


def _short(chapter: Chapter) -> Chapter:
    """With a title that fits into Nero's list in MP4, which counts 255 bytes."""
    return Chapter(_clean(chapter.title).encode()[:255].decode(errors="ignore"), chapter.start)
