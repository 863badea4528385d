#!lua flags=no-writes
-- The time, by the server's clock.
-- KEYS:  [1] the backend's tag
-- ARGV:  [1] empty
-- Reply: the time
--: include clock

return string.format('%.0f', NOW)
