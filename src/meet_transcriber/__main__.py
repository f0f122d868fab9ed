"""`python -m meet_transcriber`."""

from meet_transcriber.cli import app

if __name__ == "__main__":
    app(prog_name="meet-transcriber")
