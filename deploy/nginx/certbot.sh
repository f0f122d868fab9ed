#!/bin/sh
# certbot of compose.yaml: obtains a certificate for DOMAIN through the webroot of nginx and checks
# twice a day whether to renew it. nginx loads it by itself.
set -eu
: "${DOMAIN:?set DOMAIN in .env to the host name of this server, such as meet.example.org}"
: "${EMAIL:?set EMAIL in .env to an address for notices of the certificate authority}"
places="--config-dir /certificates --work-dir /tmp/work --logs-dir /tmp/logs"

while true; do
    # shellcheck disable=SC2086 # three options with their values
    certbot certonly $places --webroot -w /certificates/webroot -d "$DOMAIN" \
        --non-interactive --agree-tos -m "$EMAIL" --keep-until-expiring ${CERTBOT_OPTIONS:-} ||
        echo "certbot: no certificate was issued; check that port 80 of $DOMAIN reaches this machine." >&2
    sleep 43200 &
    wait $!
done
