#!/bin/sh
# nginx of compose.yaml: the site of this folder, adapted to a container, as an unprivileged user.
# With DOMAIN set it serves HTTPS once there is a certificate, and loads renewed ones.
# start.sh [healthy]
set -eu
site=/tmp/site.conf
live=/certificates/live/${DOMAIN:-none}

if [ "${1:-}" = healthy ]; then
    exec wget -q -O /dev/null http://127.0.0.1:8080/health
fi

mkdir -p /certificates/webroot

write_site() {
    sed -e "s/server 127.0.0.1:8000/server api:8000/" \
        -e "s/your-domain.com/${DOMAIN:-_}/" \
        -e "s/client_max_body_size .*/client_max_body_size $((MAX_UPLOAD_SIZE_MB + 1))m;/" \
        -e "s|root /var/www/html|root /certificates/webroot|" \
        /etc/meet-transcriber/meet-transcriber >/tmp/plain.conf
    if [ -s "$live/fullchain.pem" ]; then
        sed -e "s|listen 80;|listen 8443 ssl;\n    http2 on;\n    ssl_certificate $live/fullchain.pem;\n    ssl_certificate_key $live/privkey.pem;\n    include /etc/meet-transcriber/tls.conf;|" \
            /tmp/plain.conf >"$site"
        sed "s/your-domain.com/$DOMAIN/" /etc/meet-transcriber/redirect.conf >>"$site"
    else
        sed 's/listen 80;/listen 8080;/' /tmp/plain.conf >"$site"
    fi
}

stamp() { cksum "$live/fullchain.pem" 2>/dev/null || echo none; }

write_site
seen=$(stamp)
nginx -c /etc/meet-transcriber/nginx.conf -g 'daemon off;' &
server=$!
trap 'kill -QUIT "$server"' TERM INT QUIT
while kill -0 "$server" 2>/dev/null; do
    sleep 5 &
    wait $! || true
    if [ "$(stamp)" != "$seen" ]; then
        seen=$(stamp)
        write_site
        nginx -c /etc/meet-transcriber/nginx.conf -s reload
    fi
done
wait "$server"
