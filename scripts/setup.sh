#!/bin/sh
# Installs a lock into a virtual environment, and this project, editable. Source distributions are
# built with the tools of requirements/build.txt only.
#
#   scripts/setup.sh .venv requirements/test.txt
#   scripts/setup.sh .venv-checkov requirements/checkov.txt alone     without this project
set -eu
cd "$(dirname "$0")/.."
venv=$1
lock=$2

usable() { # usable PYTHON: 3.11 or newer, and it runs
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

find_python() {
    for candidate in ${PYTHON:-} python3 python3.13 python3.12 python3.11; do
        if usable "$candidate"; then
            echo "$candidate"
            return
        fi
    done
    echo "Python 3.11 or newer was not found;" \
        "install it, or name it: make PYTHON=/path/to/python3 ..." >&2
    return 1
}

create() { # create PYTHON: an empty virtual environment
    if ! "$1" -c 'import ensurepip, venv' >/dev/null 2>&1; then
        echo "This Python cannot create virtual environments; install what is missing:" \
            "sudo apt-get install -y python3-venv" >&2
        return 1
    fi
    echo "Setting up $venv with $("$1" --version); packages are fetched once."
    "$1" -m venv "$venv"
}

if ! usable "$venv/bin/python"; then
    python=$(find_python)
    create "$python"
fi
# Modules are compiled at their first import; most of azure-cli is never imported.
install() {
    "$venv/bin/python" -m pip install -qq --no-compile --disable-pip-version-check "$@"
}
if [ "${3:-}" = alone ]; then
    install --require-hashes -r "$lock"
    exit
fi
install --no-build-isolation --only-binary :all: --require-hashes -r requirements/build.txt
install --no-build-isolation --require-hashes -r "$lock"
install --no-build-isolation --no-deps --editable .
