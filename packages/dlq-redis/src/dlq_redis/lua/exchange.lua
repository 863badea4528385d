#!lua flags=allow-oom
-- Settle what a worker finished, then claim what it can run. See Store.exchange.
-- KEYS:  [1] the backend's tag
-- ARGV:  [1] now, or empty; [2] worker; [3] its incarnation; [4] how many claims at most; [5] the newest version of data
--        that the caller reads; [6] how many queues, then these; then outcomes, each packed into one
-- Reply: whether the worker is registered: 1 or 0; stale ids; already settled ids; claims: id, row, data, metadata
--: include keys clock rows batch moves queues admitting settling

local worker, limit, newest, queues = ARGV[2], tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local registered = redis.call('HGET', WORKER .. worker, 'incarnation') == ARGV[3]
local stale, already = {}, {}

local function is_paused(queue)
  local ends = redis.call('HGET', PAUSES, queue)
  return ends and (ends == '' or tonumber(ends) > NOW)
end

-- Before anything is written: if a key is somebody else's, it shows here, and nothing is settled.
local open = {}
for at = 7, registered and limit > 0 and 6 + queues or 6 do
  redis.call('ZCARD', READY .. ARGV[at])
  if not is_paused(ARGV[at]) then
    open[#open + 1] = ARGV[at]
  end
end

local outcomes, ids = {}, {}
for at = 7 + queues, #ARGV do
  local said = unpacked(ARGV[at])
  outcomes[#outcomes + 1] = said
  ids[#ids + 1] = said.id
end
local rows = load(ids)
for _, said in ipairs(outcomes) do
  local row = rows[said.id]
  if row and row.state == RUNNING and row.token == said.token then
    settle(said.id, row, said, worker)
  elseif row and row.settled == said.token and row.by == worker then
    already[#already + 1] = said.id
  else
    stale[#stale + 1] = said.id
  end
end
flush()
admit_touched()

local claims, UNTIL_STARTED = {}, 's'

-- A job whose data this worker could not read waits, visible, for one that can.
local function put_aside(id, row)
  leave(id, row, true)
  row.at = 1
  enter(id, row, BLOCKED)
end

local function claim(id, row, data)
  leave(id, row, true)
  row.token, row.worker, row.at = row.token + 1, worker, NOW
  if has(row, IS_UNIQUE) and string.sub(redis.call('HGET', MARKS, id) or '', 1, 1) == UNTIL_STARTED then
    give_mark_back(id)
  end
  enter(id, row, RUNNING)
  local n = #claims
  claims[n + 1], claims[n + 2], claims[n + 3] = id, rows_to_write[#rows_to_write], data
  claims[n + 4] = has(row, HAS_NOTE) and redis.call('HGET', NOTE .. id, 'metadata')
end

local function claim_from(queue)
  local passed = 0  -- those whose format is not known
  while limit > 0 and passed < MOST do
    local found = redis.call('ZRANGE', READY .. queue, passed, passed + math.min(limit, MOST) - 1)
    if #found == 0 then
      return
    end
    local waiting, data = redis.call('HMGET', ROWS, unpack(found)), redis.call('HMGET', DATA, unpack(found))
    local first, popped = passed, {}
    for at, id in ipairs(found) do
      if waiting[at] and not is_known(waiting[at]) then
        passed = passed + 1
      else
        popped[#popped + 1] = id
        local row, own = waiting[at] and read(waiting[at]), data[at] or NOTHING
        if row and string.byte(own) > newest then  -- Nothing is left without a row: somebody has deleted it.
          put_aside(id, row)
        elseif row then
          claim(id, row, own)
          limit = limit - 1
        end
      end
    end
    if passed == first then
      redis.call('ZREMRANGEBYRANK', READY .. queue, first, first + #found - 1)
    else
      in_parts('ZREM', READY .. queue, popped)
    end
  end
end

for _, queue in ipairs(open) do
  if limit > 0 then
    claim_from(queue)
  end
end
flush()
return { registered and 1 or 0, stale, already, claims }
