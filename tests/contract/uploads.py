"""The contract of resumable uploads on every MediaStore; one class per store inherits it."""

from pathlib import Path

import pytest

from meet_transcriber.core.errors import IdempotencyMismatch, UploadConflict, UploadNotFound
from meet_transcriber.core.jobs import Job
from meet_transcriber.core.options import Options
from meet_transcriber.ports.stores import MediaStore
from meet_transcriber.service import Maintenance, Service, SubmissionRequest, uploads
from meet_transcriber.service.webhooks import WebhookDispatcher
from tests.contract.media_store import noise
from tests.unit.api.service_fixture import make_service, stored_keys, work
from tests.unit.fakes import FakeWebhookSender


def send(service: Service, job: Job, offset: int, data: bytes) -> None:
    """Send one request."""
    receiving = service.uploads.receive(job.id, offset)
    receiving.write(data)
    receiving.close()


def never(*_: object) -> None:
    """A schedule without retries."""


class UploadsContract:
    """The contract."""

    @pytest.fixture
    def service(self, tmp_path: Path, store: MediaStore) -> Service:
        return make_service(tmp_path, media=store)

    def test_pieces_become_one_recording(self, service: Service) -> None:
        data = noise(1_300_000)
        job = service.submissions.create_upload("../standup.wav", len(data))
        for start, end in ((0, 600_000), (600_000, 600_001), (600_001, len(data))):
            send(service, job, start, data[start:end])
        job = service.submissions.submit_upload(job.id, SubmissionRequest())
        assert (job.state, job.name, job.upload and job.upload.pieces) == (
            "pending", "standup.wav", ())  # fmt: skip
        _, file, size = service.queries.audio(job.id)
        with file:
            assert (size, file.read()) == (len(data), data)
            file.seek(599_990)
            assert file.read(20) == data[599_990:600_010]

    def test_the_recording_stays_complete_until_its_job_is_deleted(self, service: Service) -> None:
        data = noise(3000)
        job = service.submissions.create_upload("a.wav", len(data))
        for start in (0, 1000, 2000):
            send(service, job, start, data[start : start + 1000])
        stray = f"{job.prefix}/recording/0-of-somebody-who-died"
        service.context.media.put(stray, b"lost")
        service.submissions.submit_upload(job.id, SubmissionRequest())
        work(service)
        webhooks = WebhookDispatcher(service.context, FakeWebhookSender(), lambda _: None, never)
        maintenance = Maintenance(service.context, "test", webhooks)
        maintenance.run_once()
        maintenance.wait()
        _, file, _ = service.queries.audio(job.id)
        with file:
            assert file.read() == data
        assert not service.context.media.exists(stray)
        service.commands.delete(job.id)
        assert stored_keys(service) == []

    def test_submitting_again_returns_the_same_job(self, service: Service) -> None:
        job = service.submissions.create_upload("a.wav", 4)
        send(service, job, 0, b"tape")
        first = service.submissions.submit_upload(job.id, SubmissionRequest())
        assert (
            service.submissions.submit_upload(job.id, SubmissionRequest()).id == first.id == job.id
        )
        with pytest.raises(IdempotencyMismatch, match="other options"):
            service.submissions.submit_upload(job.id, SubmissionRequest(Options(language="de")))
        with pytest.raises(UploadConflict, match="has ended"):
            service.uploads.receive(job.id, 4)

    def test_one_of_two_senders_continues(self, service: Service) -> None:
        job = service.submissions.create_upload("a.wav", 8)
        slow, quick = (service.uploads.receive(job.id, 0) for _ in range(2))
        slow.write(b"slow")
        quick.write(b"quic")
        quick.close()
        with pytest.raises(UploadConflict) as caught:
            slow.close()
        assert caught.value.received_bytes == 4
        send(service, job, 4, b"tail")
        job = service.submissions.submit_upload(job.id, SubmissionRequest())
        _, file, _ = service.queries.audio(job.id)
        with file:
            assert file.read() == b"quictail"

    def test_a_discarded_upload_leaves_nothing(self, service: Service) -> None:
        job = service.submissions.create_upload("a.wav", 8)
        send(service, job, 0, b"half")
        late = service.uploads.receive(job.id, 4)
        late.write(b"late")
        service.uploads.discard(job.id)
        with pytest.raises((UploadNotFound, UploadConflict)):
            late.close()
        assert stored_keys(service) == []
        with pytest.raises(UploadNotFound):
            service.uploads.find(job.id)

    def test_large_requests_are_recorded_piece_by_piece(self, service: Service) -> None:
        job = service.submissions.create_upload("a.wav", 2 * uploads.PIECE_BYTES)
        receiving = service.uploads.receive(job.id, 0)
        receiving.write(bytes(uploads.PIECE_BYTES + 5))
        found = service.uploads.find(job.id).upload
        assert found is not None
        assert found.received_bytes == uploads.PIECE_BYTES
        receiving.close()
        assert receiving.received_bytes == uploads.PIECE_BYTES + 5
        service.uploads.discard(job.id)
        assert stored_keys(service) == []
