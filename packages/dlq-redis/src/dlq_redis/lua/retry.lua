#!lua flags=allow-oom
-- Make failed and cancelled jobs ready again, behind those that wait.
-- KEYS:  [1] the backend's tag
-- ARGV:  [1] now, of no meaning here; [2] how many have other arguments from now on, then for each of these: id, data; then
--        ids
-- Reply: the ids of those that were
--: include keys clock rows batch moves

local ids, revived, edited = {}, {}, {}
local first = 3 + 2 * tonumber(ARGV[2])
for at = 3, first - 1, 2 do
  edited[ARGV[at]] = ARGV[at + 1]
end
for at = first, #ARGV do
  ids[#ids + 1] = ARGV[at]
end
local rows, known = load(ids)

-- Not one of which another is waiting or running: one is enough.
local function may_live(id, row)
  local unique_mark = has(row, IS_UNIQUE) and redis.call('HGET', MARKS, id)
  return not unique_mark or take_mark(id, unique_mark) == id
end

for _, id in ipairs(known) do
  local row = rows[id]
  if (row.state == FAILED or row.state == CANCELLED) and may_live(id, row) then
    redis.call('HDEL', DUPLICATES, id)
    leave(id, row)
    take_reason(id, row)
    mark(row, HAS_RESULT, false)
    row.attempts, row.interruptions, row.expires, row.keep, row.started = 0, 0, 0, 0, 0
    row.worker, row.result = '', ''
    row.place = next_place(row.place)
    if edited[id] then
      redis.call('HSET', DATA, id, edited[id])
    end
    queue_up(id, row)
    revived[#revived + 1] = id
  end
end
flush()
return revived
