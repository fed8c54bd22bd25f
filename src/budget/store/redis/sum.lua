-- What scripts of sums share: a bucket is a hash, and each of its fields holds figures, "1 2 3".
local function added(held, more)
  if not held then return more end
  local sums, texts = {}, {}
  for figure in string.gmatch(held, '%d+') do sums[#sums + 1] = tonumber(figure) end
  for figure in string.gmatch(more, '%d+') do
    -- A double counts no further.
    local sum = math.min((sums[#texts + 1] or 0) + tonumber(figure), 9007199254740991)
    texts[#texts + 1] = string.format('%.0f', sum)
  end
  return table.concat(texts, ' ')
end
