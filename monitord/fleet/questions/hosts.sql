-- The hosts of a fleet: since when and until when each was heard of, how loaded it was, how much went wrong.
with machine as (
    select
        host_id,
        min(taken_at) as first_at,
        max(taken_at) as last_at,
        count(*) as minutes,
        round(avg(machine_percent), 6) as machine_percent_mean,
        max(machine_percent) as machine_percent_max,
        max(memory_percent) as memory_percent_max,
        max(cpu_count) as cpu_count
    from machine_minutes
    where taken_at >= $since and taken_at < $until
        and ($host = '' or lower(host_id) like $host escape '!')
    group by host_id
),
troubled as (
    select
        host_id,
        min(raised_at) as first_at,
        max(raised_at) as last_at,
        count(*) as incidents,
        max(severity) as severity_max
    from incidents
    where raised_at >= $since and raised_at < $until
        and ($host = '' or lower(host_id) like $host escape '!')
    group by host_id
)
select
    coalesce(m.host_id, t.host_id) as host_id,
    least(coalesce(m.first_at, t.first_at), coalesce(t.first_at, m.first_at)) as first_at,
    greatest(coalesce(m.last_at, t.last_at), coalesce(t.last_at, m.last_at)) as last_at,
    coalesce(t.incidents, 0) as incidents,
    t.severity_max as severity_max,
    t.last_at as last_incident_at,
    coalesce(m.minutes, 0) as minutes,
    m.machine_percent_mean as machine_percent_mean,
    m.machine_percent_max as machine_percent_max,
    m.memory_percent_max as memory_percent_max,
    m.cpu_count as cpu_count
from machine m
full outer join troubled t on m.host_id = t.host_id
order by incidents desc, host_id
limit $limit
