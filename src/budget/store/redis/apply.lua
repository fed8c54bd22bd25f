-- KEYS: one user's account, then those of sessions. ARGV: the gateway's field, lease (ms), expiry (s),
-- thresholds ("50 80 100"), then for each entry: s(ettle), f(ree) or k(eep), reservation, sequence, the
-- number of limits, and for each of them: the account's number, kind, window, the limit whose thresholds
-- are told (or 0), reserved, used.
-- Answers, for each threshold that is crossed: {entry, limit (both from 0), percent, used}.
local instance, now, crossed = ARGV[1], clock(), {}

local function seen(sequence)
  local last = redis.call('HGET', KEYS[1], instance)
  if last then return tonumber(string.match(last, '^%d+')) >= sequence end
  -- This gateway's first here: forget those that have been gone for a day.
  local fields, old = redis.call('HGETALL', KEYS[1]), now / 1000 - 86400
  for i = 1, #fields, 2 do
    if string.sub(fields[i], 1, 1) == 'i' and tonumber(string.match(fields[i + 1], '%d+$')) < old then
      redis.call('HDEL', KEYS[1], fields[i])
    end
  end
  return false
end

local function add(it, window, amount, limit, entry, place)
  enter(it, window)
  if window < it.window then
    if window == it.window - 1 then it.previous = it.previous + amount end
    return
  end
  it.used = it.used + amount
  for percent in string.gmatch(limit > 0 and ARGV[4] or '', '%d+') do
    local share = tonumber(percent)
    if it.told < share and it.used * 100 >= limit * share then
      it.told = share
      crossed[#crossed + 1] = {entry, place, share, it.used}
    end
  end
end

local function take(key, name)
  local record = redis.call('HGET', key, name)
  if not record then return end
  free(key, record)
  redis.call('HDEL', key, name)
end

-- Goes on holding it for another lease, also where it had lapsed or the store had lost it.
local function renew(name, limits)
  local records, touched = {}, {}
  for _, limit in ipairs(limits) do
    local parts = records[limit.key]
    if parts == nil then
      local record = redis.call('HGET', limit.key, name)
      if record then
        records[limit.key] = false
        hold(limit.key, name, now + tonumber(ARGV[2]), {(string.match(record, '^%d+ (.*)$'))})
      else
        parts = {}
        records[limit.key] = parts
        touched[#touched + 1] = limit.key
      end
    end
    if parts then
      local it = counter(limit.key, limit.kind)
      enter(it, limit.window)
      if it.window == limit.window then it.reserved = it.reserved + limit.reserved end
      keep(it)
      parts[#parts + 1] = limit.kind .. ':' .. text(limit.window) .. ':' .. text(limit.reserved)
    end
  end
  for _, key in ipairs(touched) do hold(key, name, now + tonumber(ARGV[2]), records[key]) end
end

for i = 1, #KEYS do sweep(KEYS[i], now) end
local at, entry = 5, 0
while ARGV[at] do
  local what, name, sequence, count = ARGV[at], ARGV[at + 1], tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3])
  at = at + 4
  local limits = {}
  for place = 1, count do
    limits[place] = {
      key = KEYS[tonumber(ARGV[at])], kind = ARGV[at + 1], window = tonumber(ARGV[at + 2]),
      limit = tonumber(ARGV[at + 3]), reserved = tonumber(ARGV[at + 4]), used = tonumber(ARGV[at + 5]),
    }
    at = at + 6
  end
  if what == 'k' then
    renew(name, limits)
  else
    local taken = {}
    for _, limit in ipairs(limits) do
      if not taken[limit.key] then take(limit.key, name) end
      taken[limit.key] = true
    end
  end
  if what == 's' and not seen(sequence) then
    for place, limit in ipairs(limits) do
      if limit.kind ~= 'c' then
        local it = counter(limit.key, limit.kind)
        add(it, limit.window, limit.used, limit.limit, entry, place - 1)
        keep(it)
      end
    end
    redis.call('HSET', KEYS[1], instance, text(sequence) .. ' ' .. text(now / 1000))
  end
  entry = entry + 1
end
for i = 1, #KEYS do redis.call('EXPIRE', KEYS[i], ARGV[3]) end
return crossed
