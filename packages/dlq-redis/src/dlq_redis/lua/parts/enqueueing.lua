-- New jobs come in ARGV, two values each, head and data.
local HEAD = '>c16bddHc0Hc0'

local function ids_in(first, last)
  local ids = {}
  for at = first, last, 2 do
    ids[#ids + 1] = string.sub(ARGV[at], 1, 16)
  end
  return ids
end

-- Store those that are not stored yet, and tell which these are. The head of the first of ``ids`` is ARGV[first];
-- ``seen`` has ids that are to be left out.
local function store(first, ids, seen)
  local known, fresh, stored = many('HMGET', ROWS, ids), {}, {}
  for at, id in ipairs(ids) do
    if not known[at] and not seen[id] then
      seen[id] = true
      fresh[#fresh + 1] = first + 2 * (at - 1)
      stored[#stored + 1] = id
    end
  end
  if #fresh == 0 then
    return stored
  end
  local place = redis.call('INCRBY', SEQUENCE, #fresh) - #fresh
  local data = {}
  for _, at in ipairs(fresh) do
    local id, priority, run_after, expires, queue, task, rest = struct.unpack(HEAD, ARGV[at])
    local limits = string.sub(ARGV[at], rest)
    place = place + 1
    local row = {
      flags = 0, token = 0, settled = 0, attempts = 0, interruptions = 0, place = (100 - priority) * BAND + place,
      enqueued = NOW, expires = expires > 0 and NOW + expires or 0, at = 0, started = 0, keep = 0, queue = queue,
      task = task, worker = '', by = '', result = '', limits = limits,
    }
    if limits ~= '' then
      mark(row, HAS_LIMITS, true)
      redis.call('HSET', SEMAPHORES, mark_of(row), string.sub(limits, LINE_LENGTH + 1))
      touched[mark_of(row)] = true
    end
    data[#data + 1] = id
    data[#data + 1] = ARGV[at + 1]
    tally(row, 'e', 1)
    if run_after > NOW then
      row.at = run_after
      enter(id, row, SCHEDULED)
    else
      queue_up(id, row)
    end
  end
  in_parts('HSET', DATA, data)
  flush()
  admit_touched()
  return stored
end
