-- The processes whose memory grew most steadily: bytes an hour, by a line through their minutes.
-- $process text = '*': processes whose name matches
-- $minutes int64 = 30: seen in at least so many minutes
-- $limit int64 = 20: so many
SELECT
    process,
    pid,
    3600 * regr_slope(rss_bytes, epoch(taken_at)) AS rss_bytes_per_h,
    regr_r2(rss_bytes, epoch(taken_at)) AS steadiness,
    arg_min(rss_bytes, taken_at) AS first_rss_bytes,
    arg_max(rss_bytes, taken_at) AS last_rss_bytes,
    min(taken_at) AS first_at,
    max(taken_at) AS last_at,
    count(*) AS minutes
FROM process_minutes
WHERE process GLOB $process AND rss_bytes IS NOT NULL
GROUP BY host_id, process, pid
HAVING count(*) >= $minutes AND rss_bytes_per_h > 0
ORDER BY rss_bytes_per_h DESC, process, pid
LIMIT $limit
