-- KEYS: as for publish. ARGV: the version that is known. Answers {the version known then, entry, …}; where
-- the store has forgotten some, from the beginning.
local version, known = tonumber(redis.call('GET', KEYS[4]) or '0'), tonumber(ARGV[1])
if version == known then return {text(version)} end
if version < known then return {'0'} end
local rows = redis.call('ZRANGEBYSCORE', KEYS[2], '(' .. text(known), '+inf', 'WITHSCORES', 'LIMIT', 0, 500)
if #rows == 0 then return {text(version)} end
local answer = {rows[#rows]}
for i = 1, #rows, 2 do
  local entry = redis.call('HGET', KEYS[1], rows[i])
  if entry then answer[#answer + 1] = entry end
end
return answer
