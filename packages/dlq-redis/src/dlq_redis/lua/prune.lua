#!lua flags=allow-oom
-- Delete finished jobs that are kept no longer.
-- KEYS:  [1] the backend's tag
-- ARGV:  [1] now, or empty; [2] state; [3] the age in microseconds, or empty for jobs with a time of their own alone;
--        [4] how many at most; [5] the task, or empty for all; [6] how many to look at, at most; [7] [8] where to begin
--        among the jobs with a time of their own, and among the others; -1 leaves them out; [9] how many jobs without a
--        time of their own stay at most, the newest, or empty for all that are young enough
-- Reply: how many are deleted; where to go on among either, -1 when all were seen
--: include keys clock rows batch moves

local state, age, limit, task, budget = ARGV[2], ARGV[3], tonumber(ARGV[4]), ARGV[5], tonumber(ARGV[6])
local doomed = {}

local function forget(id, row)
  leave(id, row)
  drop(IDS, id)
  doomed[#doomed + 1] = id
  if has(row, HAS_HISTORY) then redis.call('DEL', HISTORY .. id) end
  if has(row, HAS_LOG) then redis.call('DEL', LOG .. id) end
  if has(row, HAS_NOTE) then redis.call('DEL', NOTE .. id) end
  if has(row, IS_UNIQUE) then
    redis.call('HDEL', MARKS, id)
    redis.call('HDEL', DUPLICATES, id)
  end
  take_reason(id, row)
end

local function prune_from(key, last, from)
  local at, before = from, #doomed
  while at >= 0 and #doomed < limit and budget > 0 do
    local some = math.min(budget, task == '' and limit - #doomed or MOST, MOST)
    local ids = redis.call('ZRANGEBYSCORE', key, '-inf', string.format('%.0f', last), 'LIMIT', at, some)
    if #ids == 0 then
      return -1
    end
    local rows = load(ids)
    for _, id in ipairs(ids) do
      if #doomed < limit then
        at, budget = at + 1, budget - 1
        if rows[id] and (task == '' or rows[id].task == task) then
          forget(id, rows[id])
        end
      end
    end
  end
  return at < 0 and at or at - (#doomed - before)
end

local kept = prune_from(KEPT .. state, NOW, tonumber(ARGV[7]))
local ended = age == '' and -1 or prune_from(ENDED .. state, NOW - age, tonumber(ARGV[8]))

local function prune_surplus(most)
  local gone = {}
  for _, id in ipairs(doomed) do
    gone[id] = true
  end
  local surplus = redis.call('ZCARD', ENDED .. state) - most
  local oldest = surplus > 0 and redis.call('ZRANGE', ENDED .. state, 0, math.min(surplus, budget) - 1) or {}
  local rows = load(oldest)
  for _, id in ipairs(oldest) do
    if rows[id] and not gone[id] and #doomed < limit then
      forget(id, rows[id])
    end
  end
end
if ARGV[9] ~= '' then
  prune_surplus(tonumber(ARGV[9]))
end
flush()
in_parts('HDEL', ROWS, doomed)
in_parts('HDEL', DATA, doomed)
if redis.call('EXISTS', IDS) == 0 then
  redis.call('DEL', SEQUENCE)
end
return { #doomed, kept, ended }
