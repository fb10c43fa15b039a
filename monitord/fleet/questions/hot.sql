-- The functions that took most time over all hosts: the mean of the shares that each took of its process on a host.
-- A host's numbers that can't be are left out: none of them may break the answer for all others.
with hours as (
    select host_id, process, version, hour, taken_from, max(process_samples) as samples
    from hotspots
    where hour >= $since and hour < $until and taken_from <> 'baseline'
        and process_samples between 1 and 1000000000000
        and ($host = '' or lower(host_id) like $host escape '!')
        and ($process = '' or lower(process) like $process escape '!')
    group by host_id, process, version, hour, taken_from
),
totals as (
    select host_id, process, sum(samples) as samples
    from hours
    group by host_id, process
),
spots as (
    select
        host_id,
        process,
        function,
        module,
        min(file) as file,
        min(line) as line,
        sum(self_samples) as self_samples,
        sum(total_samples) as total_samples,
        sum(incidents) as incidents,
        max(last_hour) as last_at
    from hotspots
    where hour >= $since and hour < $until and taken_from <> 'baseline'
        and ($host = '' or lower(host_id) like $host escape '!')
        and ($process = '' or lower(process) like $process escape '!')
        and self_samples between 0 and 1000000000000 and total_samples between 0 and 1000000000000
        and ($function = '' or function = $function)
        and ($module = '' or module = $module)
    group by host_id, process, function, module
)
select
    s.function as function,
    s.module as module,
    min(s.file) as file,
    min(s.line) as line,
    count(distinct s.host_id) as hosts,
    count(distinct s.process) as processes,
    sum(s.incidents) as incidents,
    cast(avg(cast(least(s.self_samples / cast(t.samples as double), 1.0) as decimal(18, 12))) as double) as self_share_mean,
    round(max(s.self_samples / cast(t.samples as double)), 9) as self_share_max,
    round(max(s.total_samples / cast(t.samples as double)), 9) as total_share_max,
    max(s.last_at) as last_at
from spots s
join totals t on s.host_id = t.host_id and s.process = t.process
where t.samples > 0
group by s.function, s.module
order by sum(s.self_samples) desc, function, module
limit $limit
