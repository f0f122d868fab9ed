"""
The service: submits, runs, reads and changes jobs, for the API, workers and commands.

    service.submissions   submit a recording: streamed, by address or as a resumable upload
    service.uploads       bytes of resumable uploads
    service.queries       read jobs and transcripts, search
    service.changes       subscribe to changes of jobs
    service.commands      cancel, delete, rerun, edit
    service.voices        store people's voices and recognize them
"""

import copy

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
"""Number of tenants whose services are cached."""


class Service:
    """The parts of the service on one context; safe for several threads."""

    def __init__(self, context: ServiceContext) -> None:
        self.context = context
        self._by_tenant: dict[str, Service] = {}
        self._build(JobQueries(context))
        self.changes = ChangeFeed(context.jobs, self.queries)

    def _build(self, queries: JobQueries) -> None:
        """Build the parts for the tenant of the queries."""
        context, tenant = self.context, queries.tenant or ""
        self.submissions = Submissions(context, tenant)
        self.uploads = Uploads(context, tenant)
        self.queries = queries
        self.commands = JobCommands(context, queries)
        self.voices = Voices(context, queries, self.commands)

    def for_tenant(self, tenant: str) -> "Service":
        """The same service restricted to the jobs of one tenant."""
        known = self._by_tenant.get(tenant)
        if known is not None:
            return known
        narrowed = copy.copy(self)
        narrowed._build(self.queries.for_tenant(tenant))
        if len(self._by_tenant) >= _TENANTS:
            self._by_tenant.clear()
        self._by_tenant[tenant] = narrowed  # last: other threads may use it at once
        return narrowed
