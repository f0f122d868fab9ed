#!/bin/sh
# Re-creates requirements/*.txt: exact versions with hashes, the same files on any machine.
# Only the default index counts, whatever this machine's own configuration says, so the
# hashes are those of the published files; the locks name no address.
#
#   scripts/lock.sh [--upgrade]     needs uv (`make lock` installs it into .venv)
set -eu
cd "$(dirname "$0")/.."
unset PIP_FIND_LINKS PIP_INDEX_URL PIP_EXTRA_INDEX_URL UV_INDEX UV_DEFAULT_INDEX UV_INDEX_URL \
    UV_EXTRA_INDEX_URL UV_FIND_LINKS
export PIP_CONFIG_FILE=/dev/null

lock() { # lock NAME [argument...]
    name=$1
    shift
    uv pip compile pyproject.toml "$@" --output-file "requirements/$name.txt" \
        --no-config --universal --fork-strategy fewest --python-version 3.11 \
        --generate-hashes --no-emit-index-url --quiet \
        --custom-compile-command "make lock"
}

# Each lock holds the whole of its environment and agrees with the runtime's versions.
lock runtime --group build "$@"
lock test --group build --group test --constraints requirements/runtime.txt "$@"
lock lint --group build --group test --group lint --constraints requirements/test.txt "$@"
lock reference --group build --group test --group reference \
    --constraints requirements/test.txt "$@"
lock pyannote --extra pyannote --group build --group test \
    --constraints requirements/test.txt "$@"
