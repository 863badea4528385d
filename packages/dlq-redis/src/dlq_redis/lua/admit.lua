#!lua flags=allow-oom
-- Make blocked jobs ready that can have the slot they wait for.
-- KEYS:  [1] the backend's tag
-- ARGV:  [1] now, or empty; [2] how many at most
-- Reply: how many
--: include keys clock rows batch moves queues admitting

return admit_any(tonumber(ARGV[2]))
