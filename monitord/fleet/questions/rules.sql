-- Rules that raised incidents, those with most first, and on how many hosts.
select
    rule,
    count(*) as incidents,
    count(distinct host_id) as hosts,
    max(raised_at) as last_at
from incidents
where raised_at >= $since and raised_at < $until
    and ($host = '' or lower(host_id) like $host escape '!')
    and rule is not null
group by rule
order by incidents desc, rule
limit $limit
