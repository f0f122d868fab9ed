"""How far an upload of its own has come."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Piece:
    """Some bytes of an upload, as an object of their own."""

    key: str
    size_bytes: int


UploadMethod = Literal["resumable", "signed"]


@dataclass(frozen=True, slots=True)
class Upload:
    """How a recording comes before anything is asked of it.

    Attributes:
        method: `resumable` through us, piece by piece; `signed` straight into the bucket.
        pieces: what has come, in order; empty once the job has begun.
        signed_until: until when somebody may still write into the bucket.
    """

    method: UploadMethod
    pieces: tuple[Piece, ...] = ()
    signed_until: float = 0.0

    @property
    def received_bytes(self) -> int:
        return sum(piece.size_bytes for piece in self.pieces)
