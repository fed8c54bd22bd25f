-- What all scripts share: one hash for each account, a user's or one session's.
--   m c d t T u U   a counter by kind of limit: "window used reserved previous told"
--   r<reservation>  "deadline kind:window:amount …"
--   x               the earliest deadline of them, so that most calls need not look for lapsed ones
--   i<instance>     "sequence seconds": the last settlement of a gateway that is counted (users only)
local function text(number) return string.format('%.0f', number) end

local function clock()
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end

local function unpacked(key, kind, packed)
  local found = {key = key, kind = kind, window = 0, used = 0, reserved = 0, previous = 0, told = 0}
  if packed then
    local window, used, reserved, previous, told = string.match(packed, '^(%d+) (%d+) (%d+) (%d+) (%d+)$')
    found.window, found.used, found.reserved = tonumber(window), tonumber(used), tonumber(reserved)
    found.previous, found.told = tonumber(previous), tonumber(told)
  end
  return found
end

local function packed(it)
  return string.format('%.0f %.0f %.0f %.0f %.0f', it.window, it.used, it.reserved, it.previous, it.told)
end

local function counter(key, kind) return unpacked(key, kind, redis.call('HGET', key, kind)) end

local function keep(it) redis.call('HSET', it.key, it.kind, packed(it)) end

-- A later window begins; an earlier one, by a gateway whose clock is behind, counts as this one.
local function enter(it, window)
  if window <= it.window then return end
  it.previous = (window == it.window + 1) and it.used or 0
  it.used, it.reserved, it.told, it.window = 0, 0, 0, window
end

local function effective(it, weight)
  return it.used + math.floor(it.previous * weight / 65536)
end

-- Gives back what a record holds; in windows that are over nothing is held any more.
local function free(key, record)
  local kinds, held = {}, {}
  for kind, window, amount in string.gmatch(record, '(%a):(%d+):(%d+)') do
    kinds[#kinds + 1] = kind
    held[#held + 1] = {tonumber(window), tonumber(amount)}
  end
  if #kinds == 0 then return end
  local news, read = {}, redis.call('HMGET', key, unpack(kinds))
  for i, kind in ipairs(kinds) do
    local it = unpacked(key, kind, read[i])
    if read[i] and it.window == held[i][1] then
      it.reserved = math.max(0, it.reserved - held[i][2])
      news[#news + 1], news[#news + 2] = kind, packed(it)
    end
  end
  if #news > 0 then redis.call('HSET', key, unpack(news)) end
end

local function hold(key, name, deadline, parts)
  redis.call('HSET', key, name, text(deadline) .. ' ' .. table.concat(parts, ' '))
  local earliest = redis.call('HGET', key, 'x')
  if not earliest or tonumber(earliest) > deadline then redis.call('HSET', key, 'x', text(deadline)) end
end

-- Frees what was reserved by gateways that are gone.
local function sweep(key, now)
  local earliest = redis.call('HGET', key, 'x')
  if not earliest or tonumber(earliest) > now then return end
  local fields, next_deadline = redis.call('HGETALL', key), nil
  for i = 1, #fields, 2 do
    if string.sub(fields[i], 1, 1) == 'r' then
      local deadline = tonumber(string.match(fields[i + 1], '^%d+'))
      if deadline <= now then
        free(key, fields[i + 1])
        redis.call('HDEL', key, fields[i])
      elseif not next_deadline or deadline < next_deadline then
        next_deadline = deadline
      end
    end
  end
  if next_deadline then redis.call('HSET', key, 'x', text(next_deadline)) else redis.call('HDEL', key, 'x') end
end
