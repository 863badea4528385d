#!lua
-- Move schedules on and enqueue the jobs of their fires: of each schedule all or nothing. It does not run when the server
-- is out of memory: then nothing has happened. See Schedules.advance.
-- KEYS:  [1] the backend's tag
-- ARGV:  [1] now, or empty; [2] how many jobs; then for each job two: its head, its data; then for each advance: its head,
--        and each of its fires, all packed
-- Reply: now; the keys that have moved on; the ids of the jobs that are stored
--: include keys clock rows batch moves queues admitting enqueueing schedules

local ADVANCE, FIRE = '>dddddI4c16', '>dc16'
local after_jobs = 3 + 2 * tonumber(ARGV[2])
local advances, keys = {}, {}
local at = after_jobs
while at <= #ARGV do
  local each, count, rest = {}, nil, nil
  each.revision, each.due_at, each.look_at, each.enqueued, each.last_due_at, count, each.last_job, rest =
    struct.unpack(ADVANCE, ARGV[at])
  each.key, each.first, each.last = string.sub(ARGV[at], rest), at + 1, at + count
  advances[#advances + 1] = each
  keys[#keys + 1] = each.key
  at = each.last + 1
end
local found = find(keys)

local moved, left_out, records = {}, {}, {}

local function fire(key, raw)
  local due_at, job = struct.unpack(FIRE, raw)
  local member = struct.pack('>d', due_at) .. key
  records[#records + 1] = member
  records[#records + 1] = struct.pack('>d', NOW) .. string.sub(raw, 9)
  add(FIRES_DUE, due_at, member)
  add(FIRES_AT, NOW, member)
  add(FIRES_OF .. key, due_at, member)
  left_out[job] = nil
end

-- The due times that were not fired before, each once.
local function fresh(each)
  local fires, seen = {}, {}
  for index = each.first, each.last do
    local member = string.sub(ARGV[index], 1, 8) .. each.key
    if not seen[member] and redis.call('HEXISTS', FIRES, member) == 0 then
      seen[member] = true
      fires[#fires + 1] = ARGV[index]
    end
  end
  return fires
end

local function move(each, standing)
  standing.due_at, standing.look_at = each.due_at, each.look_at
  standing.fires = standing.fires + each.enqueued
  standing.last_due_at = each.last_due_at > 0 and each.last_due_at or standing.last_due_at
  standing.last_job = each.last_job ~= NO_JOB and each.last_job or standing.last_job
end

local jobs = ids_in(3, after_jobs - 1)
for _, id in ipairs(jobs) do
  left_out[id] = true
end
for _, each in ipairs(advances) do
  local standing = found[each.key]
  if standing and standing.revision == each.revision then
    for _, raw in ipairs(fresh(each)) do
      fire(each.key, raw)
    end
    move(each, standing)
    moved[#moved + 1] = each.key
  end
end
local stored = store(3, jobs, left_out)
for _, key in ipairs(moved) do
  change(key, found[key])
end
in_parts('HSET', FIRES, records)
flush()
return { string.format('%.0f', NOW), moved, stored }
