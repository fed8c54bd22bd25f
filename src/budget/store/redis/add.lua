-- KEYS: the log of batches, then buckets. ARGV: the gateway, its batch's number, then for each bucket: its
-- expiry (s), the number of its rows, and for each of them: name, figures.
-- A batch is added once, however often it is told. Answers how many names each bucket has.
local now = tonumber(redis.call('TIME')[1])
local last = redis.call('HGET', KEYS[1], ARGV[1])
if not last then
  -- This gateway's first: forget those that have been gone for a week.
  local fields = redis.call('HGETALL', KEYS[1])
  for i = 1, #fields, 2 do
    if tonumber(string.match(fields[i + 1], '%d+$')) < now - 604800 then redis.call('HDEL', KEYS[1], fields[i]) end
  end
end
if not last or tonumber(string.match(last, '^%d+')) < tonumber(ARGV[2]) then
  local at = 3
  for place = 2, #KEYS do
    local expiry, count = ARGV[at], tonumber(ARGV[at + 1])
    at = at + 2
    for _ = 1, count do
      redis.call('HSET', KEYS[place], ARGV[at], added(redis.call('HGET', KEYS[place], ARGV[at]), ARGV[at + 1]))
      at = at + 2
    end
    redis.call('EXPIRE', KEYS[place], expiry)
  end
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[2] .. ' ' .. string.format('%.0f', now))
  redis.call('EXPIRE', KEYS[1], 604800)
end
local answer = {}
for place = 2, #KEYS do answer[place - 1] = redis.call('HLEN', KEYS[place]) end
return answer
