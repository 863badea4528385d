-- Schedules. SCHEDULES has what they are, as the client wrote it; of that only the head is read here. STANDINGS has where
-- they stand, packed. dlq_redis/timetable.py reads the same formats. Times are microseconds; 0 is none.
local ENABLED, ORPHANED = 1, 2
local STANDING, NO_JOB = '>BBddddddc16', string.rep('\0', 16)
local DEFINITION = '>BBI4c0'
-- The formats may change only so that the version before still reads them, for both run together during a deploy.
local NEWEST = 1

local function kind_of(definition)
  return string.byte(definition, 2) == 1 and 'static' or 'dynamic'
end

local function rule_of(definition)
  local _, _, rule = struct.unpack(DEFINITION, definition)
  return rule
end

local function standing_of(raw)
  local standing, _ = {}, nil
  _, standing.flags, standing.revision, standing.due_at, standing.look_at, standing.declared_at, standing.fires,
    standing.last_due_at, standing.last_job = struct.unpack(STANDING, raw)
  return standing
end

local function is_readable(raw)
  return raw and string.byte(raw) <= NEWEST
end

-- Schedules by key, of those keys that exist, each once; and the keys in their order.
local function find(keys)
  local found, known = {}, {}
  local definitions, standings = many('HMGET', SCHEDULES, keys), many('HMGET', STANDINGS, keys)
  for at, key in ipairs(keys) do
    if is_readable(definitions[at]) and is_readable(standings[at]) and not found[key] then
      found[key] = standing_of(standings[at])
      found[key].definition = definitions[at]
      known[#known + 1] = key
    end
  end
  return found, known
end

local function keys_from(first)
  local keys = {}
  for at = first, #ARGV do
    keys[#keys + 1] = ARGV[at]
  end
  return keys
end

-- ``flush`` is still to be called.
local function keep(key, standing)
  redis.call('HSET', STANDINGS, key, struct.pack(STANDING, NEWEST, standing.flags, standing.revision, standing.due_at,
    standing.look_at, standing.declared_at, standing.fires, standing.last_due_at, standing.last_job))
  if standing.look_at > 0 then
    add(AGENDA, standing.look_at, key)
  else
    drop(AGENDA, key)
  end
end

-- Whoever has read it before finds another revision.
local function change(key, standing)
  standing.revision = standing.revision + 1
  keep(key, standing)
end

local function stop(key, standing)
  standing.due_at, standing.look_at = 0, 0
  change(key, standing)
end

-- Schedules as a client gets them: key, definition, standing.
local function describe(keys, reply)
  local definitions, standings = many('HMGET', SCHEDULES, keys), many('HMGET', STANDINGS, keys)
  for at, key in ipairs(keys) do
    if is_readable(definitions[at]) and is_readable(standings[at]) then
      local n = #reply
      reply[n + 1], reply[n + 2], reply[n + 3] = key, definitions[at], standings[at]
    end
  end
  return reply
end
