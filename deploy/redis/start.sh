#!/bin/sh
# Redis as a queue and a record of jobs: nothing that it acknowledged is lost or evicted. The
# password comes by standard input, so that no list of processes shows it.
exec redis-server - <<END
requirepass $(cat /secrets/REDIS_PASSWORD)
dir /data
appendonly yes
appendfsync always
maxmemory-policy noeviction
END
