#!lua
-- Store jobs from an outbox, each once for as long as it is in the outbox: even when it has run and was pruned meanwhile.
-- KEYS:  [1] the backend's tag
-- ARGV:  [1] now, or empty; then for each job two: its head, its data
-- Reply: 1
--: include keys clock rows batch moves queues admitting enqueueing

local ids, seen, marks = ids_in(2, #ARGV), {}, {}
for at, mark in ipairs(many('ZMSCORE', RELAYED, ids)) do
  seen[ids[at]] = mark and true or nil
  marks[#marks + 1] = NOW
  marks[#marks + 1] = ids[at]
end
store(2, ids, seen)
in_parts('ZADD', RELAYED, marks)
return 1
