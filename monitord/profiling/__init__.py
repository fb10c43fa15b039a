"""Scripts profiled on request: run, read, remembered for a while, kept only when somebody says so.

As the pipeline does for the daemon, this room introduces rooms to each other: `capture` runs a script,
`profiles` reads what came of it, `storage` keeps it. The command line and the servers use it alike. Import
its modules one by one: the daemon needs `standby` alone.
"""
