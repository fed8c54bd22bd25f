-- KEYS: entries by name, names by version, names by end, the version. ARGV: name, entry ("+…" or "-…"),
-- end (s). What is taken back stays so. Answers whether it is news.
local now = tonumber(redis.call('TIME')[1])
for _, ended in ipairs(redis.call('ZRANGEBYSCORE', KEYS[3], '-inf', now, 'LIMIT', 0, 100)) do
  redis.call('HDEL', KEYS[1], ended)
  redis.call('ZREM', KEYS[2], ended)
  redis.call('ZREM', KEYS[3], ended)
end
local ends, held = tonumber(ARGV[3]), redis.call('HGET', KEYS[1], ARGV[1])
if ends <= now then return 0 end
if held and (string.sub(held, 1, 1) == '-' or string.sub(ARGV[2], 1, 1) == '+') then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
redis.call('ZADD', KEYS[2], redis.call('INCR', KEYS[4]), ARGV[1])
redis.call('ZADD', KEYS[3], ends, ARGV[1])
for i = 1, 4 do
  redis.call('EXPIRE', KEYS[i], ends - now + 86400, 'NX')
  redis.call('EXPIRE', KEYS[i], ends - now + 86400, 'GT')
end
return 1
