#!lua
-- Store schedules, or change those that have the same keys, and declare them. See Schedules.put.
-- KEYS:  [1] the backend's tag
-- ARGV:  [1] now, or empty; then for each schedule, none of which comes twice, three: key; definition; when it is due and
--        to be looked at, and the revision of a new one, packed
-- Reply: the keys refused
--: include keys clock rows batch schedules

local keys, wanted, refused = {}, {}, {}
for at = 2, #ARGV, 3 do
  local proposal = { definition = ARGV[at + 1] }
  proposal.due_at, proposal.look_at, proposal.revision = struct.unpack('>ddd', ARGV[at + 2])
  keys[#keys + 1] = ARGV[at]
  wanted[ARGV[at]] = proposal
end
local found = find(keys)

local function is_taken(standing, definition)
  return standing and not has(standing, ORPHANED) and kind_of(standing.definition) ~= kind_of(definition)
end

local function new(proposal)
  return {
    flags = ENABLED, revision = proposal.revision, due_at = proposal.due_at, look_at = proposal.look_at, fires = 0,
    last_due_at = 0, last_job = NO_JOB,
  }
end

local function renew(standing, proposal)
  local was_orphaned = has(standing, ORPHANED)
  if standing.definition == proposal.definition and not was_orphaned then
    return
  end
  local has_new_rule = rule_of(standing.definition) ~= rule_of(proposal.definition)
  mark(standing, ORPHANED, false)
  standing.revision = standing.revision + 1
  if has_new_rule then
    standing.fires, standing.last_due_at = 0, 0
  end
  if has(standing, ENABLED) and (has_new_rule or was_orphaned) then
    standing.due_at, standing.look_at = proposal.due_at, proposal.look_at
  end
end

for _, key in ipairs(keys) do
  local standing, proposal = found[key], wanted[key]
  if is_taken(standing, proposal.definition) then
    refused[#refused + 1] = key
  else
    if standing then
      renew(standing, proposal)
      drop(LISTED .. kind_of(standing.definition), key)
    else
      standing = new(proposal)
    end
    standing.declared_at = NOW
    redis.call('HSET', SCHEDULES, key, proposal.definition)
    add(LISTED .. kind_of(proposal.definition), 0, key)
    keep(key, standing)
  end
end
flush()
return refused
