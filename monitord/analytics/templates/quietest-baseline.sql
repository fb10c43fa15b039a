-- The quietest hours without an incident: what to compare a bad hour with.
-- $minutes int64 = 30: recorded in at least so many minutes
-- $limit int64 = 10: so many
WITH hours AS (
    SELECT
        date_trunc('hour', taken_at) AS hour,
        avg(machine_percent) AS mean_machine_percent,
        max(machine_percent) AS peak_machine_percent,
        avg(memory_percent) AS mean_memory_percent,
        count(*) AS minutes
    FROM machine_minutes
    GROUP BY host_id, hour
    HAVING count(*) >= $minutes
)
SELECT hours.* FROM hours
WHERE NOT EXISTS ( -- one that was raised in it, or that went on in it
    SELECT 1 FROM incidents
    WHERE crossed_at < hour + INTERVAL 1 HOUR AND greatest(ended_at, raised_at) >= hour
)
ORDER BY mean_machine_percent, peak_machine_percent, hour
LIMIT $limit
