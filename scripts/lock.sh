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
    uv pip compile "$@" --output-file "requirements/$name.txt" \
        --no-config --universal --fork-strategy fewest --python-version 3.11 \
        --generate-hashes --no-emit-index-url --quiet \
        --custom-compile-command "make lock"
}

with_clients() { # with_clients NAME [argument...]: with every extra that needs no torch
    name=$1
    shift
    lock "$name" --extra aws --extra azure --extra cloudwatch --extra gcp --extra otel "$@"
}

# `build` is installed first; each other lock holds the whole of its environment, in the
# versions of the smaller one that it builds on.
lock build --group build "$@"
upgrade=${1:-}
set -- pyproject.toml --constraints requirements/build.txt "$@"
lock runtime "$@"
lock image-gpu --extra gpu --constraints requirements/runtime.txt "$@"
lock image-pyannote --extra pyannote --constraints requirements/runtime.txt "$@"
with_clients managers --constraints requirements/runtime.txt "$@"
lock test --group test --constraints requirements/runtime.txt "$@"
set -- "$@" --group test --constraints requirements/test.txt
lock lint --group lint "$@"
lock audit --group audit "$@"
with_clients system --group system --constraints requirements/managers.txt "$@"
with_clients deploy --group deploy --group system \
    --constraints requirements/system.txt "$@"
lock pyannote --extra pyannote "$@"

# The API's own image: a group alone, in the versions of the whole.
lock api --group api --constraints requirements/runtime.txt ${upgrade:+"$upgrade"}

# Programs that checks call; nothing of ours is in their environments.
for program in awscli azure-cli checkov; do
    lock "$program" --group "$program" ${upgrade:+"$upgrade"}
done
