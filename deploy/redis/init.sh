#!/bin/sh
# Generates the password of Redis once, in the volume /secrets of compose.yaml.
set -eu
file=/secrets/REDIS_PASSWORD
[ -s "$file" ] && exit
umask 333
python -c 'import secrets; print(secrets.token_urlsafe(32), end="")' >"$file.new"
mv "$file.new" "$file"
