-- The busiest minute of each process.
-- $process text = '*': processes whose name matches
-- $limit int64 = 20: so many
SELECT
    process,
    max(cpu_percent) AS peak_cpu_percent,
    arg_max(taken_at, cpu_percent) AS at,
    arg_max(pid, cpu_percent) AS pid,
    avg(cpu_percent) AS mean_cpu_percent,
    count(*) AS minutes
FROM process_minutes
WHERE process GLOB $process AND cpu_percent IS NOT NULL
GROUP BY process
ORDER BY peak_cpu_percent DESC, process
LIMIT $limit
