-- KEYS: accounts. ARGV: reservation, lease (ms), expiry (s), then for each limit: the account's number,
-- kind, window, weight of the previous window (of 65536), limit, amount.
-- Without a reservation it only looks.
-- Answers {the limit that refuses or 0, then for each: window, used here, used in the window before, reserved}.
local name, now = ARGV[1], clock()
for i = 1, #KEYS do sweep(KEYS[i], now) end
local kinds = {}
for i = 4, #ARGV, 6 do
  local place = tonumber(ARGV[i])
  kinds[place] = kinds[place] or {}
  table.insert(kinds[place], ARGV[i + 1])
end
local read = {}
for place, fields in pairs(kinds) do read[place] = redis.call('HMGET', KEYS[place], unpack(fields)) end
local answer, counters, at = {0}, {}, {}
for i = 4, #ARGV, 6 do
  local place = tonumber(ARGV[i])
  at[place] = (at[place] or 0) + 1
  local it = unpacked(place, ARGV[i + 1], read[place][at[place]])
  enter(it, tonumber(ARGV[i + 2]))
  it.amount = tonumber(ARGV[i + 5])
  local used = effective(it, tonumber(ARGV[i + 3]))
  counters[#counters + 1] = it
  if answer[1] == 0 and used + it.reserved >= tonumber(ARGV[i + 4]) then answer[1] = #counters end
  local n = #answer
  answer[n + 1], answer[n + 2], answer[n + 3], answer[n + 4] = it.window, it.used, it.previous, it.reserved
end
if answer[1] ~= 0 or name == '' then return answer end
local deadline, records, news = now + tonumber(ARGV[2]), {}, {}
for _, it in ipairs(counters) do
  it.reserved = it.reserved + it.amount
  local place = it.key
  records[place], news[place] = records[place] or {}, news[place] or {}
  table.insert(records[place], string.format('%s:%.0f:%.0f', it.kind, it.window, it.amount))
  table.insert(news[place], it.kind)
  table.insert(news[place], packed(it))
end
for place, fields in pairs(news) do
  redis.call('HSET', KEYS[place], unpack(fields))
  hold(KEYS[place], name, deadline, records[place])
  redis.call('EXPIRE', KEYS[place], ARGV[3])
end
return answer
