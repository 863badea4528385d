#!lua flags=no-writes
-- Those of the schedules that exist.
-- KEYS:  [1] the backend's tag
-- ARGV:  [1] now, of no meaning here; then keys, each once
-- Reply: for each: key, definition, standing
--: include keys rows batch schedules

return describe(keys_from(2), {})
