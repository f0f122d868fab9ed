#!/bin/sh
# Redis as queue and job store: no acknowledged write is lost or evicted. The password comes by
# standard input, so that it is not in the process list.
exec redis-server - <<END
requirepass $(cat /secrets/REDIS_PASSWORD)
dir /data
appendonly yes
appendfsync always
maxmemory-policy noeviction
END
