"""The table of commands: what one types, which function answers, what the lists and the manual say of it."""

from __future__ import annotations

# The list of commands, by what one is about: what one types, the function (module:name in this package), what
# the list says of it. A group of commands stands where its first one does.
SECTIONS = {
    "What happened": (
        ("recent", "recent:recent", "List recent incidents, newest first."),
        ("show", "show:show", "Show one incident on one page."),
        ("replay", "replay:replay", "Show the machine at a moment of the past."),
        ("explain", "explain:explain", "Say why a rule fires or not, or explain an incident."),
        ("compare", "compare:compare", "Say what changed between two incidents."),
        ("similar", "similar:similar", "List incidents like one."),
        ("hot", "hot:hot", "List the functions that took most time."),
        ("events list", "events:events", "List what monitord saw and did."),
        ("events get", "event_store:get", "Show one event."),
        ("events stats", "event_store:stats", "Count events, and what they take."),
        ("events prune", "event_store:prune", "Delete the oldest events."),
        ("events copy", "event_store:copy", "Copy events to a second home."),
        ("events index", "event_indexes:index", "List, create or drop indexes of events."),
        ("query", "query:query", "Ask in SQL over all that was kept."),
    ),
    "What happens now": (
        ("status", "status:status", "Say whether it records, its cost, how full it is."),
        ("top", "top:top", "Show the machine now: who leads, in which function."),
        ("capture", "capture:capture", "Profile a process now."),
        ("snapshot", "snapshot:snapshot", "Keep what the machine ran in the last minute."),
        ("profile run", "profile:run", "Profile a script from its start, under Scalene."),
        ("profile list", "profiles:list_profiles", "List the kept profiles of scripts."),
        ("profile show", "profiles:show", "Show a kept profile."),
        ("profile compare", "compare:compare", "Say what changed between two kept profiles."),
        ("profile clear", "profiles:clear", "Delete kept profiles."),
    ),
    "One incident": (
        ("summary", "quick:summary", "Print an incident in a few lines, to paste."),
        ("open", "quick:open_incident", "Open an incident in the browser."),
        ("export", "export:export", "Write incidents to a file, redacted."),
        ("note", "incidents:note", "Leave a note on an incident."),
        ("keep", "incidents:keep", "Keep an incident past its age."),
        ("reveal", "incidents:reveal", "Print where an incident's evidence lies."),
        ("delete", "incidents:delete", "Delete incidents with their evidence."),
    ),
    "The recorder": (
        ("run", "run:run", "Record until stopped."),
        ("service install", "service:install", "Install as a service and start it."),
        ("service upgrade", "service:upgrade", "Let the service run this version."),
        ("service uninstall", "service:uninstall", "Stop and remove the service."),
        ("service start", "service:start", "Start the service."),
        ("service stop", "service:stop", "Stop the service."),
        ("service restart", "service:restart", "Stop and start the service."),
        ("service reload", "service:reload", "Read the configuration again."),
        ("service status", "service:status", "Show what the service manager says."),
        ("service logs", "service:logs", "Show what the service logged."),
        ("logs", "service:logs", "Show what the service logged."),
        ("notify test", "notify:send_test", "Send a test message to the receivers."),
        ("notify desktop", "notify:desktop", "Show incidents on your desktop."),
        ("doctor", "doctor:doctor", "Check permissions, tools and the store; print fixes."),
    ),
    "Rules and settings": (
        ("rules list", "rules:list_rules", "List the rules in force."),
        ("rules test", "rules:replay_rules", "Try other rules on stored history."),
        ("plan set", "plan:set_plan", "Set how to profile some processes."),
        ("plan get", "plan:get_plan", "Show one capture plan."),
        ("plan list", "plan:list_plans", "List the capture plans."),
        ("plan delete", "plan:delete_plan", "Delete a capture plan."),
        ("config show", "config:show", "Show the configuration in force."),
        ("config get", "config:get", "Print one value in force."),
        ("config set", "config:set_value", "Change one value in the file."),
        ("config validate", "config:validate", "Check the configuration."),
        ("config path", "config:path", "Print the files that are read."),
        ("config init", "config:init", "Write a commented configuration file."),
        ("config schema", "config:schema", "Print the file's JSON schema."),
        ("deployed", "query:deployed", "Note which version of a program runs."),
        ("prefer", "preferences:prefer", "Set your defaults: UTC times, no pager."),
    ),
    "The store": (
        ("storage status", "storage:status", "Try whether evidence can be kept."),
        ("storage metrics", "storage:metrics", "Print counts as Prometheus text."),
        ("storage ls", "artefacts:ls", "List artefacts."),
        ("storage stat", "artefacts:stat", "Show what an artefact says of itself."),
        ("storage cat", "artefacts:cat", "Write an artefact's bytes to stdout."),
        ("storage rm", "artefacts:rm", "Remove artefacts for good."),
        ("storage verify", "storage_upkeep:verify", "Check every artefact, and repair."),
        ("storage gc", "storage_upkeep:gc", "Tidy up what is left over."),
        ("storage backup", "backups:backup", "Copy the whole store into a folder."),
        ("storage restore", "backups:restore", "Make a data directory from a backup."),
        ("storage rebuild", "storage_upkeep:rebuild", "Build the database anew from artefacts."),
        ("storage rotate-key", "storage_upkeep:rotate_key", "Move sealed artefacts to the new key."),
        ("db upgrade", "db:upgrade", "Bring the database to this version."),
        ("db check", "db:check", "Look for damage."),
        ("db vacuum", "db:vacuum", "Rebuild the database compactly."),
        ("state stats", "state:stats", "Count small values by user and session."),
        ("state ls", "state:ls", "List small values."),
        ("state get", "state:get", "Print a small value."),
        ("state set", "state:put", "Store a small value."),
        ("state delete", "state:delete", "Delete small values."),
        ("state copy", "state:copy", "Copy them into another backend, verified."),
        ("retention run", "retention:run", "Delete now what is too old or too much."),
    ),
    "Many hosts": (
        ("fleet hosts", "fleet:hosts", "List the hosts, until when each was heard of."),
        ("fleet recent", "fleet:recent", "List incidents of all hosts."),
        ("fleet hot", "fleet:hot", "List the functions hot on all hosts."),
        ("fleet same", "fleet:same", "List what came on several hosts at once."),
        ("fleet compare", "fleet:compare", "Say what a version made hotter, and where."),
        ("fleet show", "fleet:show", "Show a host at a moment, or its incident."),
        ("fleet query", "fleet:query", "Ask all hosts in SQL."),
        ("fleet compact", "fleet:compact", "Make one file of each day's many."),
        ("fleet ship", "shipping:ship", "Ship to the fleet's bucket now."),
    ),
    "Other ways in": (
        ("web", "web:serve", "Show incidents in a browser."),
        ("metrics serve", "metrics:serve", "Serve figures to Prometheus."),
        ("metrics textfile", "metrics:textfile", "Write figures for node_exporter."),
        ("mcp serve", "mcp:serve", "Answer assistants over MCP."),
        ("mcp install", "mcp:install", "Print an assistant's configuration."),
        ("help", "about:manual", "Show a command's help, or the whole manual (--man)."),
        ("completion", "about:completion", "Print a shell's completion script."),
        ("version", "about:version", "Print the version."),
    ),
}
COMMANDS = tuple(command for section in SECTIONS.values() for command in section)

ALIASES = {
    "profile compare": "compare",
    "service logs": "logs",
    "service status": "status",
    "version": "--version",
}
"""Second names that go on working, and that no list of commands shows; what to type in their place."""

ASKING = frozenset(
    {
        *(
            "recent",
            "show",
            "explain",
            "compare",
            "similar",
            "events list",
            "hot",
            "export",
            "replay",
            "query",
        ),
        *(
            "summary",
            "reveal",
            "rules list",
            "rules test",
            "plan list",
            "plan get",
            "profile list",
            "profile show",
        ),
    }
)
"""Commands whose answer may lack something, or not be in force, when nobody records: that is said."""

GROUPS = {
    "events": "What monitord saw and did: `monitord events` lists it.",
    "profile": "Profile a script: `monitord profile SCRIPT`.",
    "rules": "What counts as abnormal.",
    "plan": "Capture plans: how to profile some processes.",
    "service": "monitord as a service of this machine or user.",
    "notify": "Messages about incidents to people.",
    "config": "The configuration and where it comes from.",
    "fleet": "Many hosts, one bucket.",
    "storage": "Artefacts: health, backup, repair, single ones.",
    "db": "The database: migrate, check, shrink.",
    "metrics": "Figures for Prometheus and OpenTelemetry.",
    "mcp": "The server for assistants (Model Context Protocol).",
    "state": "Small values by key, by user and session.",
    "retention": "What is kept and what goes.",
}

DEFAULTS = {"profile": "run", "mcp": "serve", "events": "list"}
"""What a group does when none of its commands is named."""
