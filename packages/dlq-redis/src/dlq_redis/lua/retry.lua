#!lua flags=allow-oom
-- Make failed and cancelled jobs ready again, behind those that wait.
-- KEYS:  [1] the backend's tag
-- ARGV:  [1] now, of no meaning here; then ids
-- Reply: the ids of those that were
--: include keys clock rows batch moves

local ids, revived = {}, {}
for at = 2, #ARGV do
  ids[#ids + 1] = ARGV[at]
end
local rows, known = load(ids)
for _, id in ipairs(known) do
  local row = rows[id]
  if row.state == FAILED or row.state == CANCELLED then
    leave(id, row)
    take_reason(id, row)
    mark(row, HAS_RESULT, false)
    row.attempts, row.interruptions, row.expires, row.keep, row.started = 0, 0, 0, 0, 0
    row.worker, row.result = '', ''
    row.place = next_place(row.place)
    queue_up(id, row)
    revived[#revived + 1] = id
  end
end
flush()
return revived
