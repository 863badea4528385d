#!lua flags=no-writes
-- Everything about some jobs.
-- KEYS:  [1] the backend's tag
-- ARGV:  [1] now, of no meaning here; [2] whether history and log are wanted: 1 or 0; then ids
-- Reply: for each that exists: id, row, data, reason, note as a list of names and values, history, log,
--        the job that it is a duplicate of
--: include keys rows batch records

local ids = {}
for at = 3, #ARGV do
  ids[#ids + 1] = ARGV[at]
end
return records(ids, ARGV[2] == '1')
