-- Incidents of all hosts, newest first.
select
    host_id,
    correlation_id,
    raised_at,
    rule,
    metric as trigger_metric,
    value as trigger_value,
    severity,
    process as process_name,
    pid,
    "user",
    unit,
    version,
    function as hottest_function,
    cause,
    reason,
    profiler,
    status,
    late,
    pinned
from incidents
where raised_at >= $since and raised_at < $until
    and ($host = '' or lower(host_id) like $host escape '!')
    and ($incident = '' or correlation_id like $incident escape '!')
    and ($process = '' or lower(process) like $process escape '!')
    and ($text = '' or lower(concat(coalesce(reason, ''), ' ', coalesce(process, ''), ' ', coalesce(command, ''))) like $text escape '!')
    and ($function = '' or lower(function) like $function escape '!')
    and ($unit = '' or lower(coalesce(unit, container_id)) like $unit escape '!')
    and ($metric = '' or metric = $metric)
    and ($rule = '' or rule = $rule)
    and ($user = '' or "user" = $user)
    and ($cause = '' or cause = $cause)
    and (not $pinned or pinned)
order by raised_at desc, host_id, correlation_id
limit $limit
