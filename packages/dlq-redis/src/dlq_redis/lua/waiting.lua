#!lua flags=no-writes
-- Which queues have a ready job and are not paused.
-- KEYS:  [1] the backend's tag
-- ARGV:  [1] now, or empty
-- Reply: their names
--: include keys clock queues

return ready_queues(paused_queues())
