-- The same incident on many hosts: by rule and function (or cause, or process), within any window of so many seconds.
-- A window begins at each incident, so none is cut by the clock; windows that meet are one line, of the fullest.
-- Of a host that repeats itself in a window 50 count: the pairs of more would be too many for any machine.
with raised as (
    select
        host_id,
        correlation_id,
        raised_at,
        rule,
        process,
        cause,
        coalesce(function, cause, process, '') as what,
        floor(extract(epoch from raised_at) / $window_s) as bucket
    from incidents
    where raised_at >= $since and raised_at < $until
        and ($host = '' or lower(host_id) like $host escape '!')
        and ($process = '' or lower(process) like $process escape '!')
        and ($rule = '' or rule = $rule)
),
counted as (
    select
        raised.*,
        row_number() over (partition by host_id, rule, what, bucket order by raised_at, correlation_id) as nth
    from raised
),
found as (
    select host_id, correlation_id, raised_at, rule, process, cause, what, bucket
    from counted
    where nth <= 50
),
twice as (
    select found.*, bucket as nearby from found
    union all
    select found.*, bucket - 1 as nearby from found
),
windows as (
    select
        a.rule as rule,
        a.what as what,
        a.raised_at as began_at,
        max(b.raised_at) as ended_at,
        count(distinct b.host_id) as hosts,
        count(distinct b.correlation_id) as incidents,
        min(b.process) as process,
        min(b.cause) as cause
    from found a
    join twice b on a.rule = b.rule and a.what = b.what and a.bucket = b.nearby
    where b.raised_at >= a.raised_at
        and extract(epoch from b.raised_at) - extract(epoch from a.raised_at) <= $window_s
    group by a.rule, a.what, a.raised_at
    having count(distinct b.host_id) >= $hosts
),
chained as (
    select
        windows.*,
        max(ended_at) over (
            partition by rule, what order by began_at rows between unbounded preceding and 1 preceding
        ) as before_at
    from windows
),
numbered as (
    select
        chained.*,
        sum(case when before_at >= began_at then 0 else 1 end) over (
            partition by rule, what order by began_at rows between unbounded preceding and current row
        ) as episode
    from chained
),
ranked as (
    select
        numbered.*,
        row_number() over (partition by rule, what, episode order by hosts desc, incidents desc, began_at) as place
    from numbered
)
select rule, what, process, cause, hosts, incidents, began_at, ended_at
from ranked
where place = 1
order by hosts desc, began_at desc, rule, what
limit $limit
