"""All parts of the service on one context."""

import copy
from collections.abc import Callable
from functools import lru_cache

from meet_transcriber.service.change_feed import ChangeFeed
from meet_transcriber.service.commands import JobCommands
from meet_transcriber.service.context import ServiceContext
from meet_transcriber.service.queries import JobQueries
from meet_transcriber.service.submission import Submissions
from meet_transcriber.service.uploads import Uploads
from meet_transcriber.service.voices import Voices

_TENANTS = 1000


class Service:
    """
    The parts of the service; safe for several threads.

    Attributes:
        for_tenant: returns the same service restricted to the jobs of one tenant.
    """

    def __init__(self, context: ServiceContext) -> None:
        self.context = context
        # Each request needs the service of its tenant; the cache returns it without a call.
        self.for_tenant: Callable[[str], Service] = lru_cache(_TENANTS)(self._narrowed)
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

    def _narrowed(self, tenant: str) -> "Service":
        narrowed = copy.copy(self)
        narrowed._build(self.queries.for_tenant(tenant))
        return narrowed
