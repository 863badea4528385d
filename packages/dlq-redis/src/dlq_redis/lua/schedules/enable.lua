#!lua flags=allow-oom
-- Have a disabled schedule fire again.
-- KEYS:  [1] the backend's tag
-- ARGV:  [1] now, of no meaning here; [2] key; [3] when it is due; [4] when it is to be looked at; 0 for never
-- Reply: 1 if it was disabled, else 0
--: include keys rows batch schedules

local standing = find({ ARGV[2] })[ARGV[2]]
if not standing or has(standing, ENABLED) then
  return 0
end
mark(standing, ENABLED, true)
if not has(standing, ORPHANED) then
  standing.due_at, standing.look_at = tonumber(ARGV[3]), tonumber(ARGV[4])
end
change(ARGV[2], standing)
flush()
return 1
