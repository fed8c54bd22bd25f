-- KEYS: any key. Whether a script may write here: not on a replica, nor where the disk or the memory is full.
redis.call('SET', KEYS[1], '1', 'EX', 60)
return 1
