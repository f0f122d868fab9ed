#!/bin/sh
# Re-creates requirements/*.txt: exact versions with hashes, the same files on any machine.
# Only the default index is used, regardless of local configuration, so that the hashes are those
# of the published files; the locks contain no addresses.
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

# `build` is installed first; each other lock is complete, and constrained by the smaller one that
# it extends.
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

# The API image: only its group, in the versions of the runtime lock.
lock api --group api --constraints requirements/runtime.txt ${upgrade:+"$upgrade"}

# Programs that tests run, in environments without this project.
for program in awscli azure-cli checkov; do
    lock "$program" --group "$program" ${upgrade:+"$upgrade"}
done
