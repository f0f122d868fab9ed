"""The contract of JobQueue; a class per adapter inherits it and provides the queue."""

from meet_transcriber.core.jobs import QUEUES
from meet_transcriber.ports.stores import JobQueue


class JobQueueContract:
    def test_it_answers(self, queue: JobQueue) -> None:
        queue.ping()

    def test_an_empty_queue_has_no_length(self, queue: JobQueue) -> None:
        assert [queue.length(name) for name in QUEUES] == [0, 0]

    def test_a_message_is_counted_in_its_own_queue_or_not_at_all(self, queue: JobQueue) -> None:
        queue.notify("recognize", "job-1", "recognize:0")
        assert queue.length("recognize") in {0, 1}
        assert queue.length("cpu") == 0

    def test_the_same_message_may_be_sent_again(self, queue: JobQueue) -> None:
        for _ in range(3):
            queue.notify("cpu", "job-1", "prepare")
        assert queue.length("cpu") in {0, 3}

    def test_it_can_be_closed_twice(self, queue: JobQueue) -> None:
        queue.close()
        queue.close()
