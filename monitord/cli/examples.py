"""Calls that can be copied, and what each is for: on the pages of help and in the manual page."""

from __future__ import annotations

EXAMPLES = {
    "": (
        ("monitord status", "does it record?"),
        ("monitord recent -S 3am -U 5am", "what went wrong last night"),
        ("monitord show ID", "why, and in which function"),
        ("monitord help recent", "all about a command"),
    ),
    "recent": (
        ("monitord recent -S 3am -U 5am", "what went wrong last night"),
        ("monitord recent -S 'last monday' -U today", "from that day up to last midnight"),
        ("monitord recent --process 'postgres*' --metric disk_io", "of these processes, this trigger"),
        ("monitord recent -f", "go on as they come"),
    ),
    "show": (
        ("monitord show x4azsx2v", "an ID as `recent` shows it; its beginning will do"),
        ("monitord show x4azsx2v -o json", "for a program"),
    ),
    "replay": (
        ("monitord replay 03:00", "the machine at that moment; keys go on from there"),
        ("monitord replay -S 3am -U 5am --step 5min", "a row for every five minutes"),
        ("monitord replay -S yesterday -o csv > yesterday.csv", "for a spreadsheet"),
    ),
    "explain": (
        ("monitord explain", "where every rule stands, and what holds it back"),
        ("monitord explain --pid 4321", "of one process"),
        ("monitord explain x4azsx2v", "an incident in plain sentences"),
    ),
    "compare": (
        ("monitord compare x4azsx2v kq7mdb5f", "what became hotter between the two"),
        ("monitord compare x4azsx2v --baseline", "what is other than when nothing is wrong"),
        ("monitord compare x4azsx2v kq7mdb5f --format flamegraph -o diff.html", "both in one flame graph"),
    ),
    "similar": (("monitord similar x4azsx2v", "has it happened before, and what of it is the same?"),),
    "hot": (
        ("monitord hot -S 7d", "which functions took most time this week"),
        ("monitord hot --process 'python*'", "of these processes"),
    ),
    "events": (
        ("monitord events --incident x4azsx2v", "step by step, how an incident went"),
        ("monitord events --type storage -S yesterday", "trouble with the storage"),
    ),
    "events list": (
        ("monitord events list --incident x4azsx2v", "step by step, how an incident went"),
        ("monitord events list --type storage -S yesterday", "trouble with the storage"),
    ),
    "events get": (
        ("monitord events get 3677339236352000000", "an ID as `monitord events -o json` shows it"),
    ),
    "events stats": (("monitord events stats", "how many, from when, how large each index is"),),
    "events copy": (
        ("monitord events copy --to sqlite:////srv/events.db", "into a file"),
        (
            "monitord events copy --to file:/etc/monitord/events-url",
            "where a file says, as the URL has a password",
        ),
    ),
    "events index": (
        ("monitord events index", "which there are, and which questions were slow"),
        ("monitord events index create arity", "for questions by --arity alone"),
        ("monitord events index drop arity", "its room is free again"),
    ),
    "events prune": (
        ("monitord events prune --older-than '3 days' --yes", "those that no incident needs"),
        ("monitord events prune --max 100000 --yes", "the oldest of them beyond so many events in all"),
    ),
    "query": (
        ("monitord query --list", "the templates and the views, with their columns"),
        ("monitord query peak-cpu -S 30d", "the busiest minute of each process"),
        ("monitord query what-changed-since 1.4.2", "which functions got hotter with a version"),
        ("monitord query 'SUMMARIZE process_minutes' -S 7d", "anything else, in SQL"),
        ("monitord query 'FROM incidents' -o incidents.parquet", "into a file for other tools"),
    ),
    "deployed": (
        ("monitord deployed api.py 1.4.2", "its incidents are of this version from now on"),
        ("monitord deployed 'java*' 2026-11-27 --at 03:00", "what was deployed earlier"),
    ),
    "status": (
        ("monitord status", "one answer: does it record, at what cost, what is degraded"),
        ("monitord status -o json", "for a program; exit code 3 when nobody records"),
    ),
    "top": (
        ("sudo monitord top", "of every user"),
        ("monitord top -n 1 -o json", "one second of it, for a script"),
    ),
    "capture": (
        ("monitord capture 4321 --duration 30s", "profile a process for half a minute"),
        ("monitord capture 4321 --profiler perf", "with a tool of your choice"),
        ("monitord capture --again x4azsx2v", "what an incident was about, or the next process like it"),
    ),
    "snapshot": (
        ("monitord snapshot --since 60s", "the machine stuttered a moment ago, and no rule fired"),
        ("monitord snapshot --process 'gcc*'", "only these processes, gone ones too"),
    ),
    "profile": (("monitord profile job.py -- --fast", "run a script with its option --fast under Scalene"),),
    "profile run": (
        ("monitord profile job.py -- --fast", "its own options stand behind --"),
        ("monitord profile -m package.module --save", "a module; its profile is kept"),
    ),
    "profile list": (("monitord profile list -n 5", "the newest five"),),
    "profile show": (("monitord profile show x4azsx2v", "hot lines and functions of a kept profile"),),
    "profile clear": (("monitord profile clear --older-than 30 --yes", "those older than thirty days"),),
    "summary": (
        ("monitord summary x4azsx2v", "for a chat, without secrets"),
        ("monitord summary x4azsx2v -o markdown --copy", "for a ticket, in the clipboard at once"),
    ),
    "open": (
        ("monitord open x4azsx2v", "all that is known of it, on one page"),
        ("monitord open x4azsx2v --page flamegraph", "its flame graph alone"),
    ),
    "export": (
        ("monitord export x4azsx2v --format report -o report.html", "on one page, without secrets"),
        (
            "monitord export x4azsx2v --bundle -o ticket.tar.zst",
            "all of it in every form, for a support team",
        ),
        ("monitord export x4azsx2v > ticket.json", "for a program"),
        ("monitord export x4azsx2v -o flames.html", "its flame graph, for a browser"),
        ("monitord export -S yesterday -o incidents.csv", "everything since, for a spreadsheet"),
    ),
    "note": (("monitord note x4azsx2v 'deploy at 02:58'", "what `show` and exports tell along"),),
    "keep": (
        ("monitord keep x4azsx2v", "it stays, whatever its age"),
        ("monitord keep x4azsx2v --undo", "it goes with age again"),
    ),
    "reveal": (("monitord reveal x4azsx2v", "the path of its evidence, or its URL"),),
    "delete": (("monitord delete x4azsx2v kq7mdb5f --yes", "both, with their evidence, for good"),),
    "run": (
        ("monitord run", "record in the foreground; Ctrl-C ends it"),
        ("monitord run --config try.toml --data-dir try", "with settings and a store of its own"),
    ),
    "service": (
        ("monitord service install", "record from now on, as yourself"),
        ("monitord service install --system", "as root: record the whole machine"),
        ("monitord service reload", "after a change of the configuration"),
    ),
    "service install": (
        ("monitord service install --dry-run", "what it would write and run"),
        ("monitord service install --system", "as root: the machine's service"),
    ),
    "service upgrade": (
        ("monitord service upgrade", "after `pipx upgrade monitord`, or uv's"),
        ("monitord service upgrade --system", "as root: the machine's service, with a way back"),
    ),
    "service uninstall": (
        ("monitord service uninstall", "what was recorded stays"),
        ("monitord service uninstall --purge --yes", "nothing stays"),
    ),
    "service start": (("monitord service start", "after `monitord service stop`, or a failure"),),
    "service stop": (("monitord service stop", "until the next boot or login"),),
    "service restart": (("monitord service restart", "takes up settings that a reload can't"),),
    "service reload": (
        ("monitord service reload", "read the configuration again, and say if it is refused"),
    ),
    "logs": (
        ("monitord logs -n 20", "the last lines of the service"),
        ("sudo monitord logs --system -f", "the machine's service, going on"),
    ),
    "notify": (
        ("monitord notify test", "do messages arrive?"),
        ("monitord notify desktop", "each new incident, on this desktop"),
    ),
    "notify desktop": (("monitord notify desktop &", "in the autostart of your session"),),
    "notify test": (
        ("monitord notify test", "to every receiver of the configuration"),
        ("monitord notify test team", "to the one of this name"),
    ),
    "fleet ship": (("monitord fleet ship", "to the bucket of [ship], and say what was put there"),),
    "fleet hosts": (("monitord fleet hosts -S 7d", "this week's, those with most incidents first"),),
    "fleet recent": (("monitord fleet recent --host 'web*' -S 3am", "what went wrong on these hosts"),),
    "fleet hot": (("monitord fleet hot --process 'python*'", "of these processes, on all hosts"),),
    "fleet same": (("monitord fleet same --within 5min --hosts 10", "on ten hosts within five minutes"),),
    "fleet compare": (("monitord fleet compare 2.4.0", "what got hotter with it, on how many hosts"),),
    "fleet show": (
        ("monitord fleet show web1-3f9a2c41 --at 03:07", "one host at that moment"),
        ("monitord fleet show x4azsx2v", "an incident of any host, with its evidence"),
    ),
    "fleet query": (("monitord fleet query QUESTION", "QUESTION: SQL in quotes, over all hosts"),),
    "fleet compact": (("monitord fleet compact --before 7d", "days that ended a week ago"),),
    "doctor": (
        ("monitord doctor", "what is missing, each with the line that mends it"),
        ("sudo monitord doctor --strict", "as the machine's service sees it; warnings fail, too"),
    ),
    "rules": (
        ("monitord rules list", "what counts as abnormal here"),
        ("monitord rules test my.toml -S 7d", "what other rules would have made of a week"),
    ),
    "rules list": (("monitord rules list -o json", "for a program"),),
    "rules test": (("monitord rules test my.toml -S 7d", "a file of rules against a week of history"),),
    "state": (
        ("monitord state stats", "what is kept, by user and session"),
        ("monitord state copy sqlite:////srv/state.db postgresql://host/monitord", "move to another backend"),
    ),
    "state stats": (("monitord state stats --of recorder", "what the recorder remembers"),),
    "state ls": (("monitord state ls --user ada", "what is kept for a user"),),
    "state get": (("monitord state get plan/java --of recorder", "a capture plan as it is kept"),),
    "state set": (("monitord state set motd hello --ttl 1d", "a value that goes by itself"),),
    "state delete": (("monitord state delete --user ada --yes", "a user with all sessions"),),
    "state copy": (
        (
            "monitord state copy sqlite:////srv/state.db redis://localhost",
            "each item is read back and compared",
        ),
    ),
    "plan": (
        ("monitord plan set java --match-name 'java*' --duration 30s", "profile these longer"),
        ("monitord plan set secret --match-user vault --consent never", "never profile these"),
    ),
    "plan set": (
        ("monitord plan set java --match-name 'java*' --duration 30s", "profile these longer"),
        ("monitord plan set secret --match-user vault --consent never", "never profile these"),
    ),
    "plan get": (("monitord plan get java", "one plan"),),
    "plan list": (("monitord plan list", "all, in the order in which they are tried"),),
    "plan delete": (("monitord plan delete java", "its processes are profiled as configured again"),),
    "config": (
        ("monitord config show --origin", "what is in force, and which line or variable set it"),
        ("monitord config init", "a file with every key, to begin with"),
    ),
    "config get": (
        ("monitord config get retention.max_total_mb", "a value alone, for a script"),
        ("monitord config get rules.cpu-hog", "a rule: what it sets"),
    ),
    "config set": (
        ("monitord config set capture.duration_s 20s", "a number may have its unit"),
        ("monitord config set capture.deny 'gpg-agent,ssh-agent'", "a list has commas"),
        ("monitord config set rules.cpu-hog.above 80", "a rule; a default one is copied into the file"),
    ),
    "config show": (("monitord config show --origin", "with the file and line that set each value"),),
    "config validate": (("monitord config validate new.toml", "before it is put in place"),),
    "config path": (("monitord config path", "which files are read, the strongest last"),),
    "config init": (("monitord config init --config try.toml", "a commented file of this name"),),
    "config schema": (("monitord config schema > schema.json", "for an editor that checks as you type"),),
    "prefer": (
        ("monitord prefer", "what you chose"),
        ("monitord prefer utc true", "times in UTC in every table"),
    ),
    "storage": (
        ("monitord storage status", "can evidence be kept right now?"),
        ("monitord storage backup /mnt/backup/monitord", "a copy of everything, while it records"),
        ("monitord storage verify --repair", "look for damage, and mend it"),
    ),
    "storage status": (("monitord storage status", "a probe is written, read and deleted"),),
    "metrics serve": (
        ("monitord metrics serve", "at http://127.0.0.1:8767/metrics"),
        ("monitord metrics serve --socket /run/monitord/metrics.sock", "for a proxy that asks for passwords"),
    ),
    "metrics textfile": (
        ("monitord metrics textfile /srv/textfiles/monitord.prom", "once; `metrics.textfile` repeats it"),
    ),
    "storage metrics": (
        ("monitord storage metrics --write /srv/textfiles/monitord.prom", "for a collector of files"),
    ),
    "storage ls": (("monitord storage ls 202611", "keys begin with their date"),),
    "storage stat": (("monitord storage stat KEY", "size, checksum, and whose evidence it is"),),
    "storage cat": (("monitord storage cat KEY > artefact", "its bytes, checked"),),
    "storage rm": (("monitord storage rm KEY --yes", "one artefact, for good"),),
    "storage verify": (("monitord storage verify --repair", "look for damage, and mend it"),),
    "storage adopt": (
        ("monitord storage adopt", "which folders of days lie in the bucket"),
        ("monitord storage adopt web1-3f9a2c41", "a data directory was lost: this one reads its days, too"),
    ),
    "storage gc": (("monitord storage gc --dry-run", "what is left over and would go"),),
    "storage backup": (
        ("monitord storage backup /mnt/backup/monitord", "into a new folder"),
        ("monitord storage backup", "one more into the folder of [backup]"),
    ),
    "storage restore": (
        (
            "monitord storage restore /mnt/backup/monitord --data-dir again",
            "into a data directory of its own",
        ),
    ),
    "storage rebuild": (("monitord storage rebuild --yes", "with the recorder stopped"),),
    "storage rotate-key": (("monitord storage rotate-key", "after a new key was configured"),),
    "db": (("monitord db vacuum", "give free pages back to the disk"),),
    "db upgrade": (("monitord db upgrade", "after an update, when no recorder has done it"),),
    "db check": (("monitord db check", "every page, every artefact"),),
    "db vacuum": (("monitord db vacuum", "give free pages back to the disk"),),
    "retention": (("monitord retention run --dry-run", "what would go now, and why"),),
    "retention run": (("monitord retention run --dry-run", "what would go now, and why"),),
    "web": (
        ("monitord web", "incidents and their flame graphs in a browser, on this machine"),
        ("monitord web --socket /run/monitord/web.sock --name monitord.example", "behind a proxy"),
    ),
    "mcp": (("monitord mcp install --client claude-code", "what to put into an assistant's settings"),),
    "mcp serve": (("monitord mcp serve --http --port 0", "on a free port of this machine, with a token"),),
    "mcp install": (("monitord mcp install --client cursor", "print what to put into its settings"),),
    "help": (
        ("monitord help storage ls", "the help of one command"),
        ("monitord help --man | man -l -", "the whole manual as a page"),
    ),
    "completion": (
        ("source <(monitord completion bash)", "for this shell; in ~/.bashrc for every one"),
        ("monitord completion fish > ~/.config/fish/completions/monitord.fish", "for fish"),
    ),
}
