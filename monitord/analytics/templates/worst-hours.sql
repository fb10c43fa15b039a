-- The hours with most incidents, and how busy the machine was in them.
-- $limit int64 = 20: so many
WITH raised AS (
    SELECT
        date_trunc('hour', raised_at) AS hour,
        count(*) AS incidents,
        max(severity) AS worst_severity,
        arg_max(process, severity) AS worst_process,
        arg_max(correlation_id, severity) AS worst_incident
    FROM incidents
    GROUP BY ALL
),
busy AS (
    SELECT
        date_trunc('hour', taken_at) AS hour,
        max(machine_percent) AS peak_machine_percent,
        max(memory_percent) AS peak_memory_percent
    FROM machine_minutes
    GROUP BY ALL
)
SELECT
    hour,
    coalesce(incidents, 0) AS incidents,
    worst_severity,
    worst_process,
    worst_incident,
    peak_machine_percent,
    peak_memory_percent
FROM raised FULL JOIN busy USING (hour)
ORDER BY incidents DESC, worst_severity DESC NULLS LAST, peak_machine_percent DESC NULLS LAST, hour
LIMIT $limit
