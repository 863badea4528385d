#!lua
-- Store new jobs, all or none. It does not run when the server is out of memory: then nothing is stored.
-- KEYS:  [1] the backend's tag
-- ARGV:  [1] now, or empty; [2] whether some are unique: 1 or 0; then for each job two: its head (id, priority,
--        times, names), its data
-- Reply: the time at which that happened; duplicates and of which jobs, in turn
--: include keys clock rows batch moves queues admitting enqueueing

local ids = ids_in(3, #ARGV)
store(3, ids, {})
return { string.format('%.0f', NOW), ARGV[2] == '1' and duplicates_among(ids) or {} }
