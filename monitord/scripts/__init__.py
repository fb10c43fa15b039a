"""Scripts under Scalene: run, read, remembered for a while, kept only when somebody says so.

A request (`request`) is run (`runner`, `supervisor`) and read (`result_reader`); its result is cached and
kept (`cache`, `library`). A script may also stand by (`standby`) until an alert switches it on (`profiler`).
"""
