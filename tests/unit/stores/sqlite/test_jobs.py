"""SQLite only: files, space, versions, forks, full text."""

import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from meet_transcriber.core.errors import StorageError, StorageFull, StorageUnavailable
from meet_transcriber.core.jobs import Job, JobQuery
from meet_transcriber.core.transitions import deleted
from meet_transcriber.stores.sqlite.jobs import SqliteJobStore
from tests.contract.job_samples import job, one_more


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "jobs.db"


@pytest.fixture
def store(path: Path) -> Iterator[SqliteJobStore]:
    made = SqliteJobStore(path)
    yield made
    made.close()


# -- the file --------------------------------------------------------------------------------


def test_a_file_of_a_newer_version_is_refused_and_unchanged(path: Path) -> None:
    with closing(SqliteJobStore(path)) as store:
        store.ping()
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version = 99")
    for _ in range(2):
        with pytest.raises(StorageError, match=r"schema 99.*newer version"):
            SqliteJobStore(path).ping()


def test_a_file_of_an_unknown_schema_is_refused(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE jobs (id TEXT)")
        db.execute("PRAGMA user_version = 1")
    with pytest.raises(StorageError, match="unknown schema 1"):
        SqliteJobStore(path).ping()


def test_a_file_that_is_not_a_database_is_refused(path: Path) -> None:
    path.write_bytes(b"minutes of the meeting " * 100)
    with pytest.raises(StorageError, match="damaged or not a job database"):
        SqliteJobStore(path).ping()
    assert path.read_bytes().startswith(b"minutes")


def test_a_folder_that_cannot_be_created_raises_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="cannot be made"):
        SqliteJobStore(tmp_path / "file" / "jobs.db").ping()


def test_a_damaged_record_raises_an_error(store: SqliteJobStore, path: Path) -> None:
    store.create(job())
    with sqlite3.connect(path) as db:
        db.execute("UPDATE jobs SET doc = '{'")
    db.close()
    with pytest.raises(StorageError, match="stored Job is damaged"):
        store.get("job-1")


def test_every_change_is_flushed_before_it_returns(store: SqliteJobStore) -> None:
    with store._connections.reading() as db:
        assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert db.execute("PRAGMA synchronous").fetchone() == (2,)


def test_many_threads_may_open_a_new_file_at_once(path: Path) -> None:
    stores = [SqliteJobStore(path) for _ in range(12)]
    threads = [
        threading.Thread(target=each.create, args=(job(f"j{number}"),))
        for number, each in enumerate(stores)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(stores[0].page(JobQuery())) == 12
    for each in stores:
        each.close()


# -- room and other writers ------------------------------------------------------------------


def large_job(number: int) -> Job:
    return job(f"job-{number}", name="n" * 20_000)


def test_a_full_disk_raises_an_error_and_loses_nothing(path: Path) -> None:
    store = SqliteJobStore(path, most_bytes=450_000)
    kept: list[Job] = []
    with pytest.raises(StorageFull, match="DATA_DIR"):
        kept.extend(store.create(large_job(number)) for number in range(99))
    assert [store.get(each.id) for each in kept] == kept
    assert len(store.page(JobQuery(limit=999))) == len(kept) > 5
    store.close()


def test_removing_frees_space(path: Path) -> None:
    store = SqliteJobStore(path, most_bytes=450_000)
    with pytest.raises(StorageFull):
        list(map(store.create, map(large_job, range(99))))
    store.remove("job-0")
    assert store.create(large_job(99)).version == 1
    store.close()


def test_a_file_locked_for_too_long_is_unavailable(store: SqliteJobStore, path: Path) -> None:
    made = store.create(job())
    hasty = SqliteJobStore(path, busy_seconds=0.1)
    with store._connections.writing(), pytest.raises(StorageUnavailable, match=r"0\.1 seconds"):
        hasty.update("job-1", one_more)
    assert hasty.update("job-1", one_more).after.version == made.version + 1
    hasty.close()


# -- threads and forks -----------------------------------------------------------------------


def test_a_threads_connection_is_closed_with_it(store: SqliteJobStore) -> None:
    for _ in range(5):
        thread = threading.Thread(target=store.ping)
        thread.start()
        thread.join()
    assert len(store._connections._all) == 0


FORKING = """
import os, pathlib, sys
from meet_transcriber.stores.sqlite.jobs import SqliteJobStore
from tests.contract.job_samples import job, one_more
store = SqliteJobStore(pathlib.Path(sys.argv[1]))
store.create(job())
child = os.fork()
for _ in range(50):
    store.update("job-1", one_more)
assert child == 0 or os.waitpid(child, 0)[1] == 0
store.close()
"""


def test_a_forked_process_opens_its_own_connection(path: Path) -> None:
    subprocess.run([sys.executable, "-W", "error", "-c", FORKING, path], check=True, timeout=60)
    store = SqliteJobStore(path)
    assert store.get("job-1").fence == 100
    store.close()


WRITING = """
import pathlib, sys
from meet_transcriber.stores.sqlite.jobs import SqliteJobStore
from tests.contract.job_samples import job, one_more
store = SqliteJobStore(pathlib.Path(sys.argv[1]))
store.create(job())
while True:
    print(store.update("job-1", one_more).after.fence, flush=True)
"""


def test_a_process_killed_while_writing_loses_nothing_it_acknowledged(path: Path) -> None:
    command = [sys.executable, "-c", WRITING, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        said = [process.stdout.readline() for _ in range(20)] if process.stdout else []
        process.kill()
        said += process.stdout.readlines() if process.stdout else []
    store = SqliteJobStore(path)
    assert store.get("job-1").fence - int(said[-1]) in (0, 1)
    store.close()


# -- full text -------------------------------------------------------------------------------

TEXTS = {
    "en": "Shall we start with the release? Two things are left, said Zoë at the café.",
    "de": "Die Straße nach München; \"quoted\" und 'so weiter' AND more.",
    "zh": "我们今天讨论会议的安排，下午三点开始。",
    "ja": "来週の会議はカタカナで東京タワーです。",
    "ko": "오늘 회의를 시작하겠습니다.",
    "hi": "बैठक की शुरुआत दो बजे होगी।",
    "th": "การประชุมเริ่มบ่ายสามโมง",
}


@pytest.fixture
def library(store: SqliteJobStore) -> SqliteJobStore:
    for name, text in TEXTS.items():
        store.create(job(name))
        store.put_text(name, text)
    return store


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("release", ["en"]),
        ("LEFT things", ["en"]),
        ("things missing", []),
        ("thing", []),
        ("cafe zoe", ["en"]),
        ("CAFÉ", ["en"]),
        ("strasse munchen", ["de"]),
        ("会议", ["zh"]),
        ("議", ["ja"]),
        ("会議", ["ja"]),
        ("议会", []),
        ("安排 讨论", ["zh"]),
        ("タワー", ["ja"]),
        ("ﾀﾜｰ", ["ja"]),
        ("회의", ["ko"]),
        ("बैठक", ["hi"]),
        ("ประชุม", ["th"]),
    ],
)
def test_words_are_found_in_any_script(
    library: SqliteJobStore, query: str, found: list[str]
) -> None:
    assert library.find_text(query, 9) == found


@pytest.mark.parametrize(
    "query",
    ['"', "'", "AND", "NOT", "a OR", "NEAR(", "text:x", "*", "^", "-", "()", "", " ", "\0",
     "\ud800", 'x" OR "release', "re*", "{a b}:c", '议"会', "?!", "…", "\u0301"],
)  # fmt: skip
def test_no_query_breaks_the_search(library: SqliteJobStore, query: str) -> None:
    assert library.find_text(query, 9) in ([], ["de"])  # one text has the words "and" and "a"


def test_the_best_match_comes_first(store: SqliteJobStore) -> None:
    for name, text in (("once", "budget " + "x " * 50), ("often", "budget " * 9)):
        store.create(job(name))
        store.put_text(name, text)
    assert store.find_text("budget", 9) == ["often", "once"]
    assert store.find_text("budget", 1) == ["often"]


def test_new_text_replaces_the_old(library: SqliteJobStore) -> None:
    library.put_text("en", "something else")
    assert library.find_text("release", 9) == []
    assert library.find_text("else", 9) == ["en"]


def test_text_is_removed_with_its_job(library: SqliteJobStore) -> None:
    library.update("en", partial(deleted, now=0.0))
    assert library.find_text("release", 9) == []
    library.remove("en")
    library.put_text("en", "release")
    library.create(replace(job("new")))
    assert library.find_text("release", 9) == []


def test_removed_words_leave_the_file(path: Path) -> None:
    store = SqliteJobStore(path)
    store.create(job(name="Xylophonkonzert.mp3"))
    store.remove("job-1")
    store.close()
    assert b"Xylophonkonzert" not in path.read_bytes()
