"""
The service: everything that an API, a worker, a command or a page may ask for.

    service.intake.begin(name) -> Upload               take in a recording
    service.uploads.create(name, size)   one that comes in many requests
    service.reading.job(job_id), .transcript, ...      look
    service.changing.cancel(job_id), .rerun, .edit     change
    service.voices.remember(job_id, speaker, name, consent), ...   know people again
"""

import copy
from collections.abc import Callable

from meet_transcriber.core.options import Options
from meet_transcriber.service.commands import Changing
from meet_transcriber.service.context import Ground, Rules
from meet_transcriber.service.maintenance import FETCH_ASKED, Attendant, Presence, Tending
from meet_transcriber.service.queries import Reading
from meet_transcriber.service.submission import Intake, Request, Upload
from meet_transcriber.service.task_runner import Engines, Working
from meet_transcriber.service.uploads import Uploads
from meet_transcriber.service.voices import Voices
from meet_transcriber.service.webhooks import Postman

__all__ = [
    "FETCH_ASKED",
    "Attendant",
    "Engines",
    "Ground",
    "Postman",
    "Presence",
    "Reading",
    "Request",
    "Rules",
    "Service",
    "Tending",
    "Upload",
    "Working",
]


_TENANTS = 1000
"""How many narrowed services are kept at hand."""


class Service:
    """The parts of the service on one ground; safe for several threads."""

    def __init__(
        self,
        ground: Ground,
        refuse: Callable[[Options], None] = lambda _options: None,
    ) -> None:
        """
        Args:
            refuse: raises InvalidOptions for what the configured engines cannot do.
        """
        self.ground = ground
        self.intake = Intake(ground, refuse)
        self.uploads = Uploads(ground, refuse)
        self.reading = Reading(ground)
        self.changing = Changing(ground, self.reading, refuse)
        self.voices = Voices(ground, self.reading, self.changing)
        self._refuse = refuse
        self._narrowed: dict[str, Service] = {}

    def of(self, tenant: str) -> "Service":
        """The same service for one tenant: it makes and finds that tenant's jobs only."""
        known = self._narrowed.get(tenant)
        if known is not None:
            return known
        narrowed = copy.copy(self)
        narrowed.intake = Intake(self.ground, self._refuse, tenant)
        narrowed.uploads = Uploads(self.ground, self._refuse, tenant)
        narrowed.reading = self.reading.of(tenant)
        narrowed.changing = Changing(self.ground, narrowed.reading, self._refuse)
        narrowed.voices = Voices(self.ground, narrowed.reading, narrowed.changing)
        if len(self._narrowed) >= _TENANTS:
            self._narrowed.clear()
        self._narrowed[tenant] = narrowed  # only now: others may take it at once
        return narrowed
