-- How a host was around a moment, minute by minute.
select
    host_id,
    taken_at,
    machine_percent,
    memory_percent,
    memory_available_bytes,
    swap_used_bytes,
    disk_bytes_per_s,
    network_bytes_per_s,
    load_1,
    process_count,
    cpu_count
from machine_minutes
where host_id = $host and taken_at >= $since and taken_at < $until
order by taken_at
limit $limit
