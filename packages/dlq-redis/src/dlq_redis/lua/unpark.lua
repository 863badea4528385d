#!lua flags=allow-oom
-- Make the jobs that are parked for some versions of tasks ready again, in their old places.
-- KEYS:  [1] the backend's tag
-- ARGV:  [1] now, or empty; then these, each as version:task
-- Reply: how many
--: include keys clock rows batch moves

local unparked = 0
for at = 2, #ARGV do
  local rows, ids = load(redis.call('SMEMBERS', PARKED .. ':' .. ARGV[at]))
  for _, id in ipairs(ids) do
    leave(id, rows[id])
    queue_up(id, rows[id])
  end
  unparked = unparked + #ids
  flush()
end
return unparked
