-- seat: what an exchange has to know first. The worker's row is share-locked: reconcile() updates it, so an exchange that
-- is still under way when the worker reconciles is either seen by it whole, or finds its incarnation gone.
--
-- arguments  backend, worker
-- reply      one row: the time, the largest packet, the sql_mode, and the worker's incarnation or null
SELECT UTC_TIMESTAMP(6), @@max_allowed_packet, @@sql_mode, w.incarnation
FROM (SELECT 1 AS one) always LEFT JOIN dlq_worker w ON w.backend = %s AND w.name = %s
LOCK IN SHARE MODE
