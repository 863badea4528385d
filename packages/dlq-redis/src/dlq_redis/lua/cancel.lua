#!lua flags=allow-oom
-- Cancel jobs that are in one of some states. One that runs is marked.
-- KEYS:  [1] the backend's tag
-- ARGV:  [1] now, or empty; [2] reason; [3] how many states, then these; then ids
-- Reply: the ids of those that are cancelled; the ids of those that will be asked
--: include keys clock rows batch moves

local reason, states, ids = ARGV[2], {}, {}
for at = 4, 3 + tonumber(ARGV[3]) do
  states[tonumber(ARGV[at])] = true
end
for at = 4 + tonumber(ARGV[3]), #ARGV do
  ids[#ids + 1] = ARGV[at]
end
local done, asked = {}, {}
local rows, known = load(ids)
for _, id in ipairs(known) do
  local row = rows[id]
  if states[row.state] and row.state == RUNNING then
    give_reason(id, row, reason)
    redis.call('SADD', ASKED, id)
    redis.call('HSET', ROWS, id, write(row))
    asked[#asked + 1] = id
  elseif states[row.state] then
    give_reason(id, row, reason)
    finish(id, row, CANCELLED)
    done[#done + 1] = id
  end
end
flush()
return { done, asked }
