-- Which functions got hotter after a version arrived, and on how many hosts: each host is compared with itself.
-- A host's numbers that can't be are left out: none of them may break the answer for all others.
with arrived as (
    select host_id, process, min(hour) as hour
    from hotspots
    where version = $version and hour >= $since and hour < $until and taken_from <> 'baseline'
        and process_samples between 1 and 1000000000000
        and ($host = '' or lower(host_id) like $host escape '!')
        and ($process = '' or lower(process) like $process escape '!')
    group by host_id, process
),
taken as materialized (
    select
        s.host_id as host_id,
        s.process as process,
        s.version as version,
        s.hour as hour,
        s.taken_from as taken_from,
        s.function as function,
        s.module as module,
        s.self_samples as self_samples,
        s.process_samples as process_samples
    from hotspots s
    join arrived a on s.host_id = a.host_id and s.process = a.process
    where s.hour >= $since and s.hour < $until and s.taken_from <> 'baseline'
        and s.process_samples between 1 and 1000000000000
        and (s.version = $version or (s.hour <= a.hour and ($before = '' or s.version = $before)))
),
hours as (
    select host_id, process, version, hour, taken_from, max(process_samples) as samples
    from taken
    group by host_id, process, version, hour, taken_from
),
totals as (
    select
        host_id,
        process,
        sum(case when version = $version then samples else 0 end) as after,
        sum(case when version = $version then 0 else samples end) as before
    from hours
    group by host_id, process
),
spots as (
    select
        host_id,
        process,
        function,
        module,
        sum(case when version = $version then self_samples else 0 end) as after,
        sum(case when version = $version then 0 else self_samples end) as before
    from taken
    where self_samples between 0 and 1000000000000
    group by host_id, process, function, module
),
shares as (
    select
        s.process as process,
        s.function as function,
        s.module as module,
        s.host_id as host_id,
        cast(least(s.after / cast(t.after as double), 1.0) as decimal(18, 12)) as after,
        cast(least(s.before / cast(t.before as double), 1.0) as decimal(18, 12)) as before
    from spots s
    join totals t on s.host_id = t.host_id and s.process = t.process
    where t.after > 0 and t.before > 0
),
gains as (
    select
        function,
        module,
        count(distinct host_id) as hosts,
        count(distinct case when after > before * $factor then host_id end) as hosts_hotter,
        count(distinct process) as processes,
        cast(avg(before) as double) as share_before,
        cast(avg(after) as double) as share_after,
        case when sum(before) > 0 then cast(sum(after) as double) / cast(sum(before) as double) end as ratio,
        sum(after) - sum(before) as gain
    from shares
    group by function, module
)
select function, module, hosts, hosts_hotter, processes, share_before, share_after, ratio
from gains
where gain > 0
order by gain desc, function, module
limit $limit
