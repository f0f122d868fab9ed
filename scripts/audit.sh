#!/bin/sh
# Checks every locked package against an advisory database. Exits with 0 without vulnerabilities, 1
# with some, 2 when the database cannot be reached.
#
#   scripts/audit.sh [LOCK...]      needs pip-audit (`make audit` installs it into .venv);
#                                   OSV_URL names another database with OSV's interface
set -u
cd "$(dirname "$0")/.." || exit 2
[ $# -gt 0 ] || set -- requirements/*.txt
if [ $# -gt 1 ]; then # one at a time, as their versions may conflict
    worst=0
    for lock in "$@"; do
        scripts/audit.sh "$lock" || worst=$?
    done
    exit "$worst"
fi

report=$(mktemp)
messages=$(mktemp)
trap 'rm -f "$report" "$messages"' EXIT
if pip-audit --vulnerability-service osv ${OSV_URL:+--osv-url "$OSV_URL"} --disable-pip \
    --require-hashes --aliases on --progress-spinner off --output "$report" --requirement "$1" 2>"$messages"; then
    echo "No known vulnerabilities in $1."
elif [ -s "$report" ]; then # written only when every package was checked
    cat "$report"
    echo "Upgrade with: make lock ARGS=--upgrade" >&2
    exit 1
else
    tail -n 1 "$messages" >&2
    echo "The advisory database cannot be reached, so nothing was checked." \
        "Run this on a machine that reaches it, or name another one with OSV_URL." >&2
    exit 2
fi
