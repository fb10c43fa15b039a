-- The functions whose share of their process changed since a version of the program.
-- $version text: the version that came; before is what ran until its first hour
-- $process text = '*': processes whose name matches
-- $limit int64 = 20: so many
WITH known AS (
    SELECT * FROM hotspots WHERE taken_from <> 'baseline' AND process GLOB $process
),
came AS (
    SELECT process, min(hour) AS first_hour FROM known WHERE version = $version GROUP BY process
),
sided AS (
    SELECT known.*, hour > first_hour OR (hour = first_hour AND version IS NOT DISTINCT FROM $version) AS is_after
    FROM known JOIN came USING (process)
),
sampled AS ( -- a process' samples of an hour stand in the row of each of its functions
    SELECT
        process,
        coalesce(sum(process_samples) FILTER (NOT is_after), 0) AS samples_before,
        sum(process_samples) FILTER (is_after) AS samples_after
    FROM (SELECT DISTINCT host_id, hour, process, version, taken_from, process_samples, is_after FROM sided)
    GROUP BY process
),
shares AS (
    SELECT
        process,
        function,
        module,
        CASE WHEN any_value(samples_before) > 0
            THEN coalesce(100.0 * sum(self_samples) FILTER (NOT is_after), 0) / any_value(samples_before)
        END AS self_percent_before,
        coalesce(100.0 * sum(self_samples) FILTER (is_after), 0) / any_value(samples_after) AS self_percent_after,
        any_value(samples_before) AS samples_before,
        any_value(samples_after) AS samples_after
    FROM sided JOIN sampled USING (process)
    GROUP BY process, function, module
)
SELECT
    process,
    function,
    module,
    self_percent_before,
    self_percent_after,
    self_percent_after - self_percent_before AS change_points,
    samples_before,
    samples_after
FROM shares
ORDER BY abs(change_points) DESC NULLS LAST, self_percent_after DESC, process, function
LIMIT $limit
