-- KEYS: as for publish. ARGV: the log that is known, the version of it. Answers {the log there is, the
-- version known then, entry, …}; of another log than that, from the beginning.
local log = redis.call('HGET', KEYS[4], 'log') or '0'
local known = log == ARGV[1] and ARGV[2] or '0'
local version = redis.call('HGET', KEYS[4], 'version') or '0'
if version == known then return {log, version} end
local rows = redis.call('ZRANGEBYSCORE', KEYS[2], '(' .. known, '+inf', 'WITHSCORES', 'LIMIT', 0, 500)
if #rows == 0 then return {log, version} end
local answer = {log, rows[#rows]}
for i = 1, #rows, 2 do
  local entry = redis.call('HGET', KEYS[1], rows[i])
  if entry then answer[#answer + 1] = entry end
end
return answer
