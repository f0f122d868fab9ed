"""
The service: submits, runs, reads and changes jobs, for the API, workers and commands.

    service.submissions   submit a recording: streamed, by address or as a resumable upload
    service.uploads       bytes of resumable uploads
    service.queries       read jobs and transcripts, search
    service.changes       subscribe to changes of jobs
    service.commands      cancel, delete, rerun, edit
    service.voices        store people's voices and recognize them
"""

from meet_transcriber.service.change_feed import ChangeFeed
from meet_transcriber.service.context import Policy, ServiceContext
from meet_transcriber.service.maintenance import (
    FETCH_ASKED,
    Maintenance,
    MaintenanceThread,
    WorkerRegistration,
)
from meet_transcriber.service.queries import JobQueries
from meet_transcriber.service.service import Service
from meet_transcriber.service.submission import StreamedUpload, SubmissionRequest
from meet_transcriber.service.webhooks import WebhookDispatcher

__all__ = [
    "FETCH_ASKED",
    "ChangeFeed",
    "JobQueries",
    "Maintenance",
    "MaintenanceThread",
    "Policy",
    "Service",
    "ServiceContext",
    "StreamedUpload",
    "SubmissionRequest",
    "WebhookDispatcher",
    "WorkerRegistration",
]
