#!lua
-- Store new jobs, all or none. It does not run when the server is out of memory: then nothing is stored.
-- KEYS:  [1] the backend's tag
-- ARGV:  [1] now, or empty; then for each job two: its head (id, priority, times, names), its data
-- Reply: the time at which that happened
--: include keys clock rows batch moves

local HEAD = '>c16bddHc0Hc0'
local ids = {}
for at = 2, #ARGV, 2 do
  ids[#ids + 1] = string.sub(ARGV[at], 1, 16)
end
local known, is_new, fresh = many('HMGET', ROWS, ids), {}, {}
for at, id in ipairs(ids) do
  if not known[at] and not is_new[id] then
    is_new[id] = true
    fresh[#fresh + 1] = at
  end
end
if #fresh == 0 then
  return string.format('%.0f', NOW)
end

local place = redis.call('INCRBY', SEQUENCE, #fresh) - #fresh
local data = {}
for _, at in ipairs(fresh) do
  local id, priority, run_after, expires, queue, task = struct.unpack(HEAD, ARGV[2 * at])
  place = place + 1
  local row = {
    flags = 0, token = 0, settled = 0, attempts = 0, interruptions = 0, place = (100 - priority) * BAND + place,
    enqueued = NOW, expires = expires > 0 and NOW + expires or 0, at = 0, started = 0, keep = 0, queue = queue,
    task = task, worker = '', by = '', result = '',
  }
  data[#data + 1] = id
  data[#data + 1] = ARGV[2 * at + 1]
  if run_after > NOW then
    row.at = run_after
    enter(id, row, SCHEDULED)
  else
    enter(id, row, RUNNABLE)
  end
end
in_parts('HSET', DATA, data)
flush()
return string.format('%.0f', NOW)
