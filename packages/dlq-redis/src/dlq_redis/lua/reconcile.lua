#!lua flags=allow-oom
-- Give back what a worker does not know to hold, and end its incarnation.
-- KEYS:  [1] the backend's tag
-- ARGV:  [1] now, or empty; [2] worker; then what it holds: id and
--        token, packed into one
-- Reply: the new incarnation; nil when the worker is not registered
--: include keys clock rows batch moves

local worker, held = ARGV[2], {}
if redis.call('EXISTS', WORKER .. worker) == 0 then
  return false
end
for at = 3, #ARGV do
  held[ARGV[at]] = true
end
local rows, running = load(redis.call('ZRANGE', RUN .. worker, 0, -1))
for _, id in ipairs(running) do
  local row = rows[id]
  if not held[struct.pack('>c16I4', id, row.token)] then
    if has(row, HAS_REASON) then
      finish(id, row, CANCELLED)
    else
      leave(id, row)
      row.worker = ''
      enter(id, row, RUNNABLE)
    end
  end
end
flush()
return redis.call('HINCRBY', WORKER .. worker, 'incarnation', 1)
