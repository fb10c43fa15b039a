-- The functions that took most time over all hosts: the mean of the shares that each took of its process on a host.
-- A host's numbers that can't be are left out: none of them may break the answer for all others.
with taken as materialized (
    select
        host_id, process, version, hour, last_hour, taken_from, function, module, file, line,
        incidents, self_samples, total_samples, process_samples
    from hotspots
    where hour >= $since and hour < $until and taken_from <> 'baseline'
        and process_samples between 1 and 1000000000000
        and ($host = '' or lower(host_id) like $host escape '!')
        and ($process = '' or lower(process) like $process escape '!')
),
hours as (
    select host_id, process, version, hour, taken_from, max(process_samples) as samples
    from taken
    group by host_id, process, version, hour, taken_from
),
totals as (
    select host_id, process, sum(samples) as samples
    from hours
    group by host_id, process
),
spots as (
    select host_id, process, function, module, sum(self_samples) as self_samples, sum(total_samples) as total_samples
    from taken
    where self_samples between 0 and 1000000000000 and total_samples between 0 and 1000000000000
        and ($function = '' or function = $function)
        and ($module = '' or module = $module)
    group by host_id, process, function, module
),
named as (
    select
        function,
        module,
        min(file) as file,
        min(line) as line,
        sum(incidents) as incidents,
        max(last_hour) as last_at
    from taken
    where self_samples between 0 and 1000000000000 and total_samples between 0 and 1000000000000
        and ($function = '' or function = $function)
        and ($module = '' or module = $module)
    group by function, module
),
shares as (
    select
        s.function as function,
        s.module as module,
        count(distinct s.host_id) as hosts,
        count(distinct s.process) as processes,
        cast(avg(cast(least(s.self_samples / cast(t.samples as double), 1.0) as decimal(18, 12))) as double) as self_share_mean,
        round(max(s.self_samples / cast(t.samples as double)), 9) as self_share_max,
        round(max(s.total_samples / cast(t.samples as double)), 9) as total_share_max,
        sum(s.self_samples) as self_samples
    from spots s
    join totals t on s.host_id = t.host_id and s.process = t.process
    group by s.function, s.module
)
select
    s.function as function,
    s.module as module,
    n.file as file,
    n.line as line,
    s.hosts as hosts,
    s.processes as processes,
    n.incidents as incidents,
    s.self_share_mean as self_share_mean,
    s.self_share_max as self_share_max,
    s.total_share_max as total_share_max,
    n.last_at as last_at
from shares s
join named n on s.function is not distinct from n.function and s.module is not distinct from n.module
order by s.self_samples desc, function, module
limit $limit
