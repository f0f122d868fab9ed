"""
Scripts that change the objects in Redis, each as one step.

KEYS are always the same: 1 the bytes used, 2 bytes by id, 3 ids being written by the time of
their last piece, 4 manifests by key, 5 the keys in order. ARGV[1] is what the names of the
chunks begin with. An id is one writing of one object; its chunks are a hash by number.

Redis has no memory left for most commands at times, but looks only at a script's first write:
so a script that frees begins by removing, and one that takes begins by storing.
"""

_DROP = """
local function drop(id)
    redis.call('UNLINK', ARGV[1] .. id)
    local bytes = tonumber(redis.call('HGET', KEYS[2], id) or '0')
    redis.call('HDEL', KEYS[2], id)
    redis.call('ZREM', KEYS[3], id)
    local used = tonumber(redis.call('GET', KEYS[1]) or '0')
    redis.call('SET', KEYS[1], math.max(0, used - bytes))
end
local function id_of(manifest)
    return string.match(manifest, '^%S+')
end
"""

# ARGV: id, number, chunk, budget. A chunk that comes twice, since an answer was lost, counts once.
APPEND = """
local chunks = ARGV[1] .. ARGV[2]
if redis.call('HEXISTS', chunks, ARGV[3]) == 1 then return 'ok' end
if ARGV[3] ~= '0' and not redis.call('ZSCORE', KEYS[3], ARGV[2]) then return 'gone' end
local used = tonumber(redis.call('GET', KEYS[1]) or '0') + #ARGV[4]
if used > tonumber(ARGV[5]) then return 'full' end
redis.call('HSET', chunks, ARGV[3], ARGV[4])
redis.call('SET', KEYS[1], used)
redis.call('HINCRBY', KEYS[2], ARGV[2], #ARGV[4])
redis.call('ZADD', KEYS[3], redis.call('TIME')[1], ARGV[2])
return 'ok'
"""

# ARGV: key, manifest, its size. An object of no bytes was never among those being written.
COMMIT = (
    _DROP
    + """
local old = redis.call('HGET', KEYS[4], ARGV[2])
if old == ARGV[3] then return 'ok' end
local id = id_of(ARGV[3])
if ARGV[4] ~= '0' and not redis.call('ZSCORE', KEYS[3], id) then return 'gone' end
redis.call('HSET', KEYS[4], ARGV[2], ARGV[3])
redis.call('HSET', KEYS[2], id, ARGV[4])
redis.call('ZADD', KEYS[5], 0, ARGV[2])
redis.call('ZREM', KEYS[3], id)
if old then drop(id_of(old)) end
return 'ok'
"""
)

# ARGV: id. Nothing happens to an object whose COMMIT came through while its answer was lost.
ABANDON = _DROP + "if redis.call('ZSCORE', KEYS[3], ARGV[2]) then drop(ARGV[2]) end"

# ARGV: prefix, and the two ends between which the keys below it lie.
DELETE = (
    _DROP
    + """
local keys = redis.call('ZRANGEBYLEX', KEYS[5], ARGV[3], ARGV[4])
table.insert(keys, ARGV[2])
for _, key in ipairs(keys) do
    local manifest = redis.call('HGET', KEYS[4], key)
    redis.call('HDEL', KEYS[4], key)
    redis.call('ZREM', KEYS[5], key)
    if manifest then drop(id_of(manifest)) end
end
"""
)

# ARGV: seconds. The bytes used are counted anew, for what an unclean end of Redis forgot.
TIDY = (
    _DROP
    + """
local before = redis.call('TIME')[1] - ARGV[2]
local dead = redis.call('ZRANGEBYSCORE', KEYS[3], '-inf', before)
for _, id in ipairs(dead) do drop(id) end
local used = 0
for _, bytes in ipairs(redis.call('HVALS', KEYS[2])) do used = used + bytes end
redis.call('SET', KEYS[1], used)
return #dead
"""
)
