"""
Diarizers as commands, and the recordings that `benchmarks.diarization` compares them on.

A diarizer runs as `COMMAND RECORDING RTTM`, one process per recording, so its peak memory is
measured per recording. RECORDING is a WAV file (16 kHz, mono, 16 bit). The command writes its turns
to RTTM and prints JSON as its last line:

    {"seconds": {"stage": 1.5, ...}, "peak_mb": 412.0, "note": ""}

`seconds` cover the file to the turns without loading models. A `note` says why the turns must not
be scored, for example random weights. `measured` needs the standard library alone, so it also
runs in environments without this project's packages.
"""
