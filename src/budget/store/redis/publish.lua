-- KEYS: entries by name, names by version, names by end, the log. ARGV: name, entry ("+…" or "-…"),
-- end (s). What is taken back stays so. Answers whether it is news.
local time = redis.call('TIME')
local now = tonumber(time[1])
for _, ended in ipairs(redis.call('ZRANGEBYSCORE', KEYS[3], '-inf', now, 'LIMIT', 0, 100)) do
  redis.call('HDEL', KEYS[1], ended)
  redis.call('ZREM', KEYS[2], ended)
  redis.call('ZREM', KEYS[3], ended)
end
local ends, held = tonumber(ARGV[3]), redis.call('HGET', KEYS[1], ARGV[1])
if ends <= now then return 0 end
if held and (string.sub(held, 1, 1) == '-' or string.sub(ARGV[2], 1, 1) == '+') then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
-- A log is named by when it began: after a loss it is another one, and its versions begin anew.
if not redis.call('HGET', KEYS[4], 'log') then
  redis.call('HSET', KEYS[4], 'log', time[1] .. '.' .. time[2], 'version', '0')
end
local version = string.format('%.0f', tonumber(redis.call('HGET', KEYS[4], 'version')) + 1)
redis.call('HSET', KEYS[4], 'version', version)
redis.call('ZADD', KEYS[2], version, ARGV[1])
redis.call('ZADD', KEYS[3], ends, ARGV[1])
for i = 1, 4 do
  redis.call('EXPIRE', KEYS[i], ends - now + 86400, 'NX')
  redis.call('EXPIRE', KEYS[i], ends - now + 86400, 'GT')
end
return 1
