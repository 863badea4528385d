#!lua flags=no-writes
-- Schedules that are to be looked at, by that time and key.
-- KEYS:  [1] the backend's tag
-- ARGV:  [1] now, or empty; [2] how many at most; [3] [4] the time and the key that all come after, or empty
-- Reply: now; when nothing is due: when the first of the others is to be looked at, or nothing; schedules as get.lua gives
--        them
--: include keys clock rows batch schedules order

local limit, now, reply = tonumber(ARGV[2]), string.format('%.0f', NOW), {}

-- How many are at or before this place, whether something is there or not.
local function rank_after(at, key)
  local low = redis.call('ZCOUNT', AGENDA, '-inf', '(' .. at)
  local high = low + redis.call('ZCOUNT', AGENDA, at, at)
  while low < high do
    local middle = math.floor((low + high) / 2)
    if is_below(key, redis.call('ZRANGE', AGENDA, middle, middle)[1]) then
      high = middle
    else
      low = middle + 1
    end
  end
  return low
end

local from, due = ARGV[3] == '' and 0 or rank_after(ARGV[3], ARGV[4]), redis.call('ZCOUNT', AGENDA, '-inf', now)
while from < due and #reply < 3 * limit do
  local last = math.min(from + limit - #reply / 3, due)
  describe(redis.call('ZRANGE', AGENDA, from, last - 1), reply)
  from = last
end
local next_at = #reply == 0 and redis.call('ZRANGEBYSCORE', AGENDA, '(' .. now, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)[2]
return { now, next_at or false, reply }
