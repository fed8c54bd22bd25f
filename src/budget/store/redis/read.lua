-- KEYS: buckets. Answers for each: name, figures, name, …
local answer = {}
for place = 1, #KEYS do answer[place] = redis.call('HGETALL', KEYS[place]) end
return answer
