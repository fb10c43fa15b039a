-- The functions that took most time, by their share of all samples of their process.
-- $process text = '*': processes whose name matches
-- $limit int64 = 20: so many
WITH known AS (
    SELECT * FROM hotspots WHERE taken_from <> 'baseline' AND process GLOB $process
),
sampled AS ( -- a process' samples of an hour stand in the row of each of its functions
    SELECT process, sum(process_samples) AS samples
    FROM (SELECT DISTINCT host_id, hour, process, version, taken_from, process_samples FROM known)
    GROUP BY process
)
SELECT
    process,
    function,
    any_value(module) AS module,
    any_value(file) AS file,
    100.0 * sum(self_samples) / any_value(samples) AS self_percent,
    100.0 * sum(total_samples) / any_value(samples) AS total_percent,
    sum(incidents) AS incidents,
    max(hour) AS last_hour
FROM known JOIN sampled USING (process)
GROUP BY process, function, known.module
ORDER BY self_percent DESC, process, function
LIMIT $limit
