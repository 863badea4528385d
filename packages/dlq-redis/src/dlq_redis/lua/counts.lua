#!lua flags=no-writes
-- How many jobs of each queue are in each state, which are paused, and which are first in line.
-- KEYS:  [1] the backend's tag
-- ARGV:  [1] now, or empty
-- Reply: now; for each state from 1 to 7: queues and counts, in turn; paused queues and until when, in turn; for each
--        priority of each queue that has ready jobs the first of these: queue, row, the beginning of its data
--: include keys clock rows

local states, firsts = {}, {}
for state = 1, 7 do
  states[state] = redis.call('HGETALL', COUNT .. state)
end

local function first_after(queue, place)
  return redis.call('ZRANGEBYSCORE', READY .. queue, string.format('(%.0f', place), '+inf', 'LIMIT', 0, 1)[1]
end

for at = 1, #states[RUNNABLE], 2 do
  local queue = states[RUNNABLE][at]
  local id = first_after(queue, -1)
  while id do
    local raw, data = redis.call('HGET', ROWS, id), redis.call('HGET', DATA, id) or NOTHING
    local place = tonumber(redis.call('ZSCORE', READY .. queue, id))
    if is_known(raw) then
      local n = #firsts
      firsts[n + 1], firsts[n + 2], firsts[n + 3] = queue, raw, string.sub(data, 1, 64)
    end
    id = first_after(queue, place - place % BAND + BAND - 1)
  end
end
return { string.format('%.0f', NOW), states, redis.call('HGETALL', PAUSES), firsts }
