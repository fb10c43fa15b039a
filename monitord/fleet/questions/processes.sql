-- What ran on a host around a moment: each process at its busiest minute, the busiest first.
select
    host_id,
    process as process_name,
    pid,
    count(*) as minutes,
    round(avg(cpu_percent), 6) as cpu_percent_mean,
    max(cpu_percent) as cpu_percent_max,
    max(rss_bytes) as rss_bytes_max,
    max(threads) as threads_max,
    max(disk_bytes_per_s) as disk_bytes_per_s_max,
    max(network_bytes_per_s) as network_bytes_per_s_max
from process_minutes
where host_id = $host and taken_at >= $since and taken_at < $until
group by host_id, process, pid
order by cpu_percent_max desc, process_name, pid
limit $limit
