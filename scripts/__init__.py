"""Tools of the repository; run them as `python -m scripts.NAME`."""
