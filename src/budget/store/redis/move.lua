-- KEYS: a bucket. ARGV: pairs of names: the first is added to the second, and is gone. Done twice it does
-- the same.
for i = 1, #ARGV, 2 do
  local held = redis.call('HGET', KEYS[1], ARGV[i])
  if held then
    redis.call('HSET', KEYS[1], ARGV[i + 1], added(redis.call('HGET', KEYS[1], ARGV[i + 1]), held))
    redis.call('HDEL', KEYS[1], ARGV[i])
  end
end
return 1
