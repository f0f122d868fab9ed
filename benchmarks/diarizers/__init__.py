"""
Diarizers as commands, and recordings to run them on; `benchmarks.diarization` compares them.

A command is run as `COMMAND RECORDING RTTM` in a process of its own, so that its peak memory is
its own. RECORDING is a WAV file, 16 kHz, mono, 16 bit. It writes its turns to RTTM, and its last
line of output is JSON:

    {"seconds": {"stage": 1.5, ...}, "peak_mb": 412.0, "note": ""}

Seconds are those from the file to the turns, without loading models. A `note` says why the turns
must not be scored, for example because weights are random. The modules that other environments
run import nothing but the standard library, what they measure, and `measured`.
"""
