#!lua flags=allow-oom
-- Have a paused queue give claims again.
-- KEYS:  [1] the backend's tag
-- ARGV:  [1] now, of no meaning here; [2] queue
-- Reply: 1 if it was paused, else 0
--: include keys batch

local was_paused = redis.call('HDEL', PAUSES, ARGV[2])
if was_paused == 1 and redis.call('EXISTS', READY .. ARGV[2]) == 1 then
  tell({ ARGV[2] })
end
return was_paused
