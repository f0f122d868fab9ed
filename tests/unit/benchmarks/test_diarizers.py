"""Reports of diarizers, and their scores."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from benchmarks.diarizers import bare, results
from benchmarks.diarizers.command import Diarizer, Finding, ours, read, run
from benchmarks.diarizers.measured import Seconds, peak_bytes, report
from benchmarks.diarizers.recordings import Recording, annotated, long
from meet_transcriber.core.scoring import DiarizationErrors
from meet_transcriber.core.transcript import Turn
from meet_transcriber.ports.engines import SAMPLE_RATE_HZ

TURNS = (Turn(0.0, 4.0, "ann"), Turn(5.0, 9.0, "ben"))


@pytest.fixture
def recording(tmp_path: Path) -> Recording:
    """Ten seconds in which two people speak."""
    path = tmp_path / "two.wav"
    soundfile.write(path, np.zeros(10 * SAMPLE_RATE_HZ), SAMPLE_RATE_HZ)
    return Recording("recordings", "two", path, TURNS)


def _finding(seconds: float, turns: tuple[Turn, ...] = TURNS) -> Finding:
    return Finding(turns, {"detect": 1.0, "diarize": seconds - 1.0}, 300.0)


def _score(said: int, found: int, missed: float) -> results.Score:
    return results.Score("joined", said, found, DiarizationErrors(missed, total=100.0), 50.0, 400.0)


def test_a_report_is_read_from_the_last_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    seconds = Seconds()
    with seconds.stage("diarize"):
        report(tmp_path / "a.rttm", [(1.0, 2.5, "x")], Seconds(diarize=2.0), "random weights")
    found = read(["chatter", *capsys.readouterr().out.splitlines()], tmp_path / "a.rttm")
    assert found.turns == (Turn(1.0, 2.5, "x"),)
    assert found.total_seconds == 2.0
    assert found.note == "random weights"
    assert found.peak_mb > 10
    assert seconds["diarize"] > 0


def test_peak_memory_grows_with_allocated_memory() -> None:
    before = peak_bytes()
    held = np.ones(40_000_000, dtype=np.uint8)
    assert peak_bytes() >= max(before, held.nbytes)


def test_any_command_of_the_right_form_is_a_diarizer(recording: Recording) -> None:
    told = json.dumps({"seconds": {"all": 2.0}, "peak_mb": 100.0})
    line = "SPEAKER x 1 0 4 <NA> <NA> one <NA> <NA>"
    script = f"import sys; open(sys.argv[2], 'w').write({line!r}); print({told!r})"
    found = run(Diarizer("other", (sys.executable, "-c", script)), recording.path)
    assert found is not None
    assert found.turns == (Turn(0.0, 4.0, "one"),)
    assert results.score(recording, found).errors == DiarizationErrors(missed=3.5, total=7.0)


def test_a_failing_command_has_no_finding(
    recording: Recording, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (
        run(Diarizer("broken", (sys.executable, "-c", "raise SystemExit(1)")), recording.path)
        is None
    )
    assert "broken failed on two" in capsys.readouterr().err


def test_only_our_diarizers_get_the_number_of_speakers() -> None:
    assert ours("auto").hint == "--speakers"
    assert Diarizer("other", ("x",)).hint is None


def test_a_row_has_a_cell_for_each_diarizer(recording: Recording) -> None:
    good = results.score(recording, _finding(2.0))
    row = results.row(recording, [good, None])
    assert "".join(row.split()) == "recordings:two220.0%5.0300failed"
    assert len(row) == len(results.header(["a", "b"])[1])


def test_summaries_are_by_group() -> None:
    scores = [_score(4, 4, 1.0), _score(5, 7, 2.0), _score(6, 6, 9.0)]
    (line,) = results.summary("auto", scores)
    assert "DER mean 4.0%, median 2.0%, worst 9.0%" in line
    assert "speakers right in 2 of 3, off by 0.67" in line
    assert "median 50.0 x real time, peak 400 MB" in line


def test_growth_is_relative_to_the_shortest_recording() -> None:
    runs = [(60.0, _finding(60.0)), (120.0, _finding(132.0)), (30.0, _finding(30.0))]
    assert list(results.growth(runs)) == [
        "60 min: 1.00 x of the seconds per minute that 30 min take",
        "120 min: 1.10 x of the seconds per minute that 30 min take",
    ]


def test_recordings_without_a_reference_are_skipped(recording: Recording, tmp_path: Path) -> None:
    folder, work = recording.path.parent, tmp_path / "work"
    work.mkdir()
    soundfile.write(folder / "other.wav", np.zeros(8000), 8000)
    (folder / "two.rttm").write_text("SPEAKER two 1 0 4 <NA> <NA> ann <NA> <NA>\n")
    (found,) = annotated(folder, work)
    assert (found.name, found.speakers, found.seconds) == ("two", 1, 10.0)


def test_a_long_recording_is_as_long_as_asked_for(tmp_path: Path) -> None:
    path = long(2.5, None, tmp_path)
    assert soundfile.info(path).frames == 150 * SAMPLE_RATE_HZ


def test_there_is_no_bare_pass_without_both_networks(tmp_path: Path) -> None:
    assert bare.found_in(tmp_path) is None
