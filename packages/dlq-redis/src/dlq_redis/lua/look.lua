#!lua flags=allow-oom
-- Let jobs expire, promote those that are due, and say what concerns a runner. See Store.look.
-- KEYS:  [1] the backend's tag
-- ARGV:  [1] now, or empty; [2] runner; [3] how many jobs at most, of each kind; [4] the microseconds for which
--        tallies are kept by the minute
-- Reply: how many were promoted; how many have expired; how many were admitted; ready queues; paused queues;
--        instructions: worker, order, number;
--        cancellations: worker, id, token, reason
--: include keys clock rows batch moves queues admitting

local limit, now = tonumber(ARGV[3]), string.format('%.0f', NOW)

-- What somebody has deleted must not stand before the others for ever.
local function first_of(key)
  local ids = redis.call('ZRANGEBYSCORE', key, '-inf', now, 'LIMIT', 0, limit)
  local rows, known = load(ids)
  for _, id in ipairs(ids) do
    if not rows[id] and redis.call('HEXISTS', ROWS, id) == 0 then
      drop(key, id)
    end
  end
  return rows, known
end

local late, expired = first_of(EXPIRY)
for _, id in ipairs(expired) do
  local row = late[id]
  remember(id, row, '', NOW, 0, struct.pack('>Bd', 1, row.expires))
  finish(id, row, FAILED)
end
flush()

local scheduled, due = first_of(DUE)
for _, id in ipairs(due) do
  local row = scheduled[id]
  leave(id, row)
  row.place = next_place(row.place)
  queue_up(id, row)
end
flush()
local admitted = admit_any(limit)

if limit > 0 then
  local last = string.format('(%.0f', math.ceil((NOW - ARGV[4]) / 60000000))
  for _, minute in ipairs(redis.call('ZRANGEBYSCORE', MINUTES, '-inf', last)) do
    redis.call('UNLINK', TALLY .. minute)
  end
  redis.call('ZREMRANGEBYSCORE', MINUTES, '-inf', last)
end

local crew, instructions = {}, {}
for _, worker in ipairs(redis.call('SMEMBERS', CREW .. ARGV[2])) do
  crew[worker] = true
  local told = redis.call('HMGET', WORKER .. worker, 'order', 'instructed', 'heeded')
  if told[1] and tonumber(told[3]) < tonumber(told[2]) then
    instructions[#instructions + 1] = { worker, told[1], tonumber(told[2]) }
  end
end

local cancellations = {}
local asked, running = load(redis.call('SMEMBERS', ASKED))
for _, id in ipairs(running) do
  local row = asked[id]
  if crew[row.worker] then
    cancellations[#cancellations + 1] = { row.worker, id, row.token, redis.call('HGET', REASONS, id) }
  end
end

local paused, names = paused_queues(), {}
for queue in pairs(paused) do
  names[#names + 1] = queue
end
return { #due, #expired, admitted, ready_queues(paused), names, instructions, cancellations }
