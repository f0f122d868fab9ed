#!/bin/sh
# Fails with the apt command for the programs that are missing, if any.
#
#   scripts/need.sh flite festival
missing=
for program in "$@"; do
    command -v "$program" >/dev/null 2>&1 && continue
    case "$program" in # where the package has another name, or needs a second one
        docker) program=docker.io ;;
        certbot) program="certbot python3-certbot-nginx" ;;
        systemd-analyze) program=systemd ;;
    esac
    missing="$missing $program"
done
case "$missing" in *festival*) missing="$missing festvox-kallpc16k festvox-kdlpc16k festvox-us-slt-hts festvox-italp16k" ;; esac
case "$missing" in *g++*) missing="$missing python3-dev" ;; esac
if [ -n "$missing" ]; then
    echo "Required programs are not installed; run:" \
        "sudo apt-get install -y --no-install-recommends$missing" >&2
    exit 1
fi
