"""The least speed at which a sender has to send."""


class Pace:
    """
    Checks, in one window of waiting after the other, that enough was received.

    A limit on silence alone is passed by a sender of a byte now and then. Only the time spent
    waiting for the sender counts, not what the receiver takes to store the bytes.
    """

    def __init__(self, bytes_per_second: float, window_seconds: float) -> None:
        self._least_bytes = bytes_per_second * window_seconds
        self.window_seconds = window_seconds
        self._waited = 0.0
        self._received = 0

    def keeps(self, received: int, waited: float) -> bool:
        """Note bytes and the seconds spent waiting for them; returns whether it is fast enough."""
        self._waited += waited
        self._received += received
        if self._waited < self.window_seconds:
            return True
        enough = self._received >= self._least_bytes
        self._waited, self._received = 0.0, 0
        return enough
