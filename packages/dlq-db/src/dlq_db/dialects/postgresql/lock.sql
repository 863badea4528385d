-- lock: the semaphores of some keys, until the transaction ends. Everybody goes by mark, so nobody waits in a circle.
--
-- arguments  marks
-- reply      a row for each: its mark
SELECT mark FROM dlq_semaphore WHERE mark = ANY(%(marks)s::text[]) ORDER BY mark FOR UPDATE
