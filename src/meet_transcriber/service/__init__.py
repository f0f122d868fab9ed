"""
The service: everything that an API, a worker, a command or a page may ask for.

    service.submissions.start_upload(name), .submit_url, ...       submit a recording
    service.uploads.receive(upload_id, offset)                     bytes of a resumable upload
    service.queries.job(job_id), .transcript, ...      look
    service.changes.subscribe(tenant)                  follow
    service.commands.cancel(job_id), .rerun, .edit     change
    service.voices.remember(job_id, speaker, name, consent), ...   know people again
"""

import copy
from collections.abc import Callable

from meet_transcriber.core.options import Options
from meet_transcriber.service.change_feed import ChangeFeed
from meet_transcriber.service.commands import JobCommands
from meet_transcriber.service.context import Policy, ServiceContext
from meet_transcriber.service.maintenance import (
    FETCH_ASKED,
    Maintenance,
    MaintenanceThread,
    WorkerRegistration,
)
from meet_transcriber.service.queries import JobQueries
from meet_transcriber.service.submission import StreamedUpload, SubmissionRequest, Submissions
from meet_transcriber.service.task_runner import Engines, TaskRunner
from meet_transcriber.service.uploads import Uploads
from meet_transcriber.service.voices import Voices
from meet_transcriber.service.webhooks import WebhookDispatcher

__all__ = [
    "FETCH_ASKED",
    "ChangeFeed",
    "Engines",
    "JobQueries",
    "Maintenance",
    "MaintenanceThread",
    "Policy",
    "Service",
    "ServiceContext",
    "StreamedUpload",
    "SubmissionRequest",
    "TaskRunner",
    "WebhookDispatcher",
    "WorkerRegistration",
]


_TENANTS = 1000
"""How many narrowed services are kept at hand."""


class Service:
    """The parts of the service over one context; safe for several threads."""

    def __init__(
        self,
        context: ServiceContext,
        refuse: Callable[[Options], None] = lambda _options: None,
    ) -> None:
        """
        Args:
            refuse: raises InvalidOptions for what the configured engines cannot do.
        """
        self.context = context
        self.submissions = Submissions(context, refuse)
        self.uploads = Uploads(context)
        self.queries = JobQueries(context)
        self.changes = ChangeFeed(context.jobs, self.queries)
        self.commands = JobCommands(context, self.queries, refuse)
        self.voices = Voices(context, self.queries, self.commands)
        self._refuse = refuse
        self._narrowed: dict[str, Service] = {}

    def for_tenant(self, tenant: str) -> "Service":
        """The same service for one tenant: it makes and finds that tenant's jobs only."""
        known = self._narrowed.get(tenant)
        if known is not None:
            return known
        narrowed = copy.copy(self)
        narrowed.submissions = Submissions(self.context, self._refuse, tenant)
        narrowed.uploads = Uploads(self.context, tenant)
        narrowed.queries = self.queries.for_tenant(tenant)
        narrowed.commands = JobCommands(self.context, narrowed.queries, self._refuse)
        narrowed.voices = Voices(self.context, narrowed.queries, narrowed.commands)
        if len(self._narrowed) >= _TENANTS:
            self._narrowed.clear()
        self._narrowed[tenant] = narrowed  # only now: others may take it at once
        return narrowed
