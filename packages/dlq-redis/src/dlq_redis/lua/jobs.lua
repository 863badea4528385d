#!lua flags=no-writes
-- Jobs that fit a filter, by descending id.
-- KEYS:  [1] the backend's tag
-- ARGV:  [1] now, of no meaning here; [2] the id that all are below, or empty; [3] how many at most; [4] how many to look
--        at, at most; then, of states, queues, tasks and workers, each: how many, or -1 for all, and these
-- Reply: the id that all that were not looked at are below, or nothing when all were; records as get.lua gives them
--: include keys rows batch records order

local before, limit, budget, at = ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]), 5
local PAGE = 100

local function chosen()
  local number = tonumber(ARGV[at])
  at = at + 1
  if number < 0 then
    return nil
  end
  local set = {}
  for index = at, at + number - 1 do
    set[ARGV[index]] = true
  end
  at = at + number
  return set
end
local states, queues, tasks, workers = chosen(), chosen(), chosen(), chosen()

-- IDS is sorted by state and then by id: of one state it holds a list by id. These are the ranks of its first job and of
-- the last one below.
local function ranks_of(state)
  local low = redis.call('ZCOUNT', IDS, '-inf', '(' .. state)
  local high = low + redis.call('ZCOUNT', IDS, state, state) - 1
  local first = low
  while before ~= '' and low <= high do
    local middle = math.floor((low + high) / 2)
    if is_below(redis.call('ZRANGE', IDS, middle, middle)[1], before) then
      low = middle + 1
    else
      high = middle - 1
    end
  end
  return first, high
end

local heads = {}
for state = 1, 7 do
  if not states or states[tostring(state)] then
    local first, last = ranks_of(state)
    heads[#heads + 1] = { first = first, last = last, page = {} }
  end
end

local function top(head)
  if #head.page == 0 and head.last >= head.first then
    local from = math.max(head.first, head.last - PAGE + 1)
    head.page, head.last = redis.call('ZRANGE', IDS, from, head.last), from - 1
  end
  return head.page[#head.page]
end

local function next_id()
  local best
  for _, head in ipairs(heads) do
    local id = top(head)
    if id and (not best or is_below(top(best), id)) then
      best = head
    end
  end
  return best and table.remove(best.page)
end

local function fits(id)
  if not (queues or tasks or workers) then
    return true
  end
  local raw = redis.call('HGET', ROWS, id)
  local row = raw and read(raw)
  return row and (not queues or queues[row.queue]) and (not tasks or tasks[row.task])
    and (not workers or workers[row.worker])
end

local found, id = {}, nil
while #found < limit and budget > 0 do
  id = next_id()
  if not id then
    break
  end
  budget = budget - 1
  if fits(id) then
    found[#found + 1] = id
  end
end
return { id or false, records(found, false) }
