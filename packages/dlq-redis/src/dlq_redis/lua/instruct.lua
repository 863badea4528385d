#!lua flags=allow-oom
-- Tell a worker something.
-- KEYS:  [1] the backend's tag
-- ARGV:  [1] now, of no meaning here; [2] worker; [3] the order, or empty to change none
-- Reply: the number of the instruction; nil when the worker is not registered
--: include keys

local worker = WORKER .. ARGV[2]
if redis.call('EXISTS', worker) == 0 then
  return false
end
if ARGV[3] ~= '' then
  redis.call('HSET', worker, 'order', ARGV[3])
end
return redis.call('HINCRBY', worker, 'instructed', 1)
