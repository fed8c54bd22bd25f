-- KEYS: accounts. ARGV: reservation, lease (ms), expiry (s), then for each limit: the account's number,
-- kind, window, weight of the previous window (of 65536), limit, amount.
-- Without a reservation it only looks.
-- Answers {the limit that refuses or 0, then for each: window, used here, used in the window before, reserved}.
local name, now = ARGV[1], clock()
for i = 1, #KEYS do sweep(KEYS[i], now) end
local answer, counters = {0}, {}
for i = 4, #ARGV, 6 do
  local it = counter(KEYS[tonumber(ARGV[i])], ARGV[i + 1])
  enter(it, tonumber(ARGV[i + 2]))
  it.amount = tonumber(ARGV[i + 5])
  local used = effective(it, tonumber(ARGV[i + 3]))
  counters[#counters + 1] = it
  if answer[1] == 0 and used + it.reserved >= tonumber(ARGV[i + 4]) then answer[1] = #counters end
  answer[#answer + 1] = it.window
  answer[#answer + 1] = it.used
  answer[#answer + 1] = it.previous
  answer[#answer + 1] = it.reserved
end
if answer[1] ~= 0 or name == '' then return answer end
local deadline, records = now + tonumber(ARGV[2]), {}
for _, it in ipairs(counters) do
  it.reserved = it.reserved + it.amount
  keep(it)
  local parts = records[it.key] or {}
  parts[#parts + 1] = it.kind .. ':' .. text(it.window) .. ':' .. text(it.amount)
  records[it.key] = parts
end
for i = 1, #KEYS do
  if records[KEYS[i]] then
    hold(KEYS[i], name, deadline, records[KEYS[i]])
    redis.call('EXPIRE', KEYS[i], ARGV[3])
  end
end
return answer
