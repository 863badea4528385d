-- The keys of one backend. All begin with KEYS[1], which holds the one hash tag that puts them into one slot of a
-- Cluster; so every other key may be derived from it. docs/reference/redis.md describes each.
local BASE = KEYS[1] .. ':'
local DATA, ROWS, IDS, SEQUENCE = BASE .. 'data', BASE .. 'rows', BASE .. 'ids', BASE .. 'sequence'
local DUE, EXPIRY, ASKED, REASONS = BASE .. 'due', BASE .. 'expiry', BASE .. 'asked', BASE .. 'reasons'
local READY, RUN, HOLDERS, PARKED = BASE .. 'ready:', BASE .. 'run:', BASE .. 'holders', BASE .. 'parked'
local ENDED, KEPT, COUNT, PAUSES = BASE .. 'ended:', BASE .. 'kept:', BASE .. 'count:', BASE .. 'pauses'
local RELAYED, TALLY, MINUTES, TOTALS = BASE .. 'relayed', BASE .. 'tally:', BASE .. 'minutes', BASE .. 'totals'
local HISTORY, LOG, NOTE, WAKE = BASE .. 'history:', BASE .. 'log:', BASE .. 'note:', BASE .. 'wake'
local BEATS, RUNNER, WORKER, CREW = BASE .. 'beats', BASE .. 'runner:', BASE .. 'worker:', BASE .. 'crew:'
local SCHEDULES, STANDINGS, AGENDA, LISTED = BASE .. 'schedules', BASE .. 'standings', BASE .. 'agenda', BASE .. 'listed:'
local FIRES, FIRES_DUE = BASE .. 'fires', BASE .. 'fires:due'
local FIRES_AT, FIRES_OF = BASE .. 'fires:at', BASE .. 'fires:of:'
