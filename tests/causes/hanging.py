"""Programs that hang, each in its own way, and some that only look like it. Each prints "ready" when it does."""

from __future__ import annotations

_HEAD = """
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
static void ready(void) { usleep(200000); printf("ready\\n"); fflush(stdout); }
static pthread_t start(void *(*run)(void *), void *with, const char *name) {
    pthread_t one; pthread_create(&one, 0, run, with); pthread_setname_np(one, name); return one;
}
"""
_DEADLOCK = """
static pthread_mutex_t locks[%(count)d];
static pthread_barrier_t all;
static void *run(void *number) {
    intptr_t mine = (intptr_t)number;
    pthread_mutex_lock(&locks[mine]);
    pthread_barrier_wait(&all);
    pthread_mutex_lock(&locks[(mine + 1) %% %(count)d]);
    return 0;
}
int main(void) {
    pthread_mutexattr_t how; pthread_mutexattr_init(&how); %(how)s
    for (intptr_t at = 0; at < %(count)d; at++) pthread_mutex_init(&locks[at], &how);
    pthread_barrier_init(&all, 0, %(count)d + 1);
    for (intptr_t at = 0; at < %(count)d; at++) { char name[16]; sprintf(name, "ring-%%ld", (long)at); start(run, (void *)at, name); }
    pthread_barrier_wait(&all);
    ready(); pause();
}
"""
KINDS = {
    "plain": "",
    "recursive": "pthread_mutexattr_settype(&how, PTHREAD_MUTEX_RECURSIVE);",
    "error checking": "pthread_mutexattr_settype(&how, PTHREAD_MUTEX_ERRORCHECK);",
    "adaptive": "pthread_mutexattr_settype(&how, PTHREAD_MUTEX_ADAPTIVE_NP);",
    "robust": "pthread_mutexattr_setrobust(&how, PTHREAD_MUTEX_ROBUST);",
    "inheriting": "pthread_mutexattr_setprotocol(&how, PTHREAD_PRIO_INHERIT);",
}


def deadlock(kind: str = "plain", count: int = 2) -> str:
    """As many threads in a ring, each holding one mutex and waiting for the next."""
    return _HEAD + _DEADLOCK % {"count": count, "how": KINDS[kind]}


SELF_LOCKED = (
    _HEAD
    + """
static pthread_mutex_t once = PTHREAD_MUTEX_INITIALIZER;
static void *run(void *none) { pthread_mutex_lock(&once); pthread_mutex_lock(&once); return 0; }
int main(void) { start(run, 0, "twice"); ready(); pause(); }
"""
)
HELD_WHILE_IT_READS = (
    _HEAD
    + """
static pthread_mutex_t cache = PTHREAD_MUTEX_INITIALIZER;
static int ends[2];
static void *holds(void *none) { char byte; pthread_mutex_lock(&cache); read(ends[0], &byte, 1); return 0; }
static void *wants(void *none) { pthread_mutex_lock(&cache); return 0; }
int main(void) {
    pipe(ends); start(holds, 0, "filler"); usleep(100000);
    for (int at = 0; at < 45; at++) start(wants, 0, "client");
    ready(); pause();
}
"""
)
FORKED_WITH_A_LOCK = (
    _HEAD
    + """
static pthread_mutex_t log_lock = PTHREAD_MUTEX_INITIALIZER;
static void *holds(void *none) { pthread_mutex_lock(&log_lock); sleep(600); return 0; }
int main(void) {
    start(holds, 0, "logger"); usleep(100000);
    pid_t child = fork();
    if (child == 0) { prctl_dies(); pthread_mutex_lock(&log_lock); _exit(0); }
    usleep(200000); printf("ready %d\\n", child); fflush(stdout); pause();
}
"""
).replace("prctl_dies();", "")
OWNER_HAS_ENDED = (
    _HEAD
    + """
static pthread_mutex_t lost = PTHREAD_MUTEX_INITIALIZER;
static void *ends(void *none) { pthread_mutex_lock(&lost); return 0; }
int main(void) { pthread_join(start(ends, 0, "ends"), 0); ready_later: ; start((void *(*)(void *))pthread_mutex_lock, &lost, "waits"); ready(); pause(); }
"""
).replace("ready_later: ; ", "")
SHARED_MUTEX = (
    _HEAD
    + """
int main(int count, char **given) {
    int file = open(given[1], O_RDWR | O_CREAT, 0600); ftruncate(file, 4096);
    pthread_mutex_t *both = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    pthread_mutexattr_t how; pthread_mutexattr_init(&how); pthread_mutexattr_setpshared(&how, PTHREAD_PROCESS_SHARED);
    pthread_mutex_init(both, &how);
    int ends[2]; pipe(ends);
    pid_t child = fork();
    if (child == 0) { pthread_mutex_lock(both); write(ends[1], "x", 1); sleep(600); _exit(0); }
    char byte; read(ends[0], &byte, 1);
    pthread_t one = start((void *(*)(void *))pthread_mutex_lock, both, "waits");
    usleep(200000); printf("ready %d\\n", child); fflush(stdout); pthread_join(one, 0);
}
"""
)
# ------------------------------------------------------------------------------------------ look-alikes
JOIN = (
    _HEAD
    + """
static void *sleeps(void *none) { sleep(600); return 0; }
int main(void) { pthread_t one = start(sleeps, 0, "worker"); printf("ready\\n"); fflush(stdout); pthread_join(one, 0); }
"""
)
RAW_FUTEX = (
    _HEAD
    + """
static struct { int word, count, other, users, kind; } raw __attribute__((aligned(8)));
static void *waits(void *none) { syscall(SYS_futex, &raw.word, FUTEX_WAIT_PRIVATE, raw.word, 0, 0, 0); return 0; }
int main(int count, char **given) {
    raw.word = atoi(given[1]); raw.other = atoi(given[2]) ? getpid() : 77; raw.users = atoi(given[3]); raw.kind = atoi(given[4]);
    start(waits, 0, "waits"); ready(); pause();
}
"""
)
CONDITION = (
    _HEAD
    + """
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t more = PTHREAD_COND_INITIALIZER;
static void *waits(void *none) { pthread_mutex_lock(&lock); pthread_cond_wait(&more, &lock); return 0; }
int main(void) { for (int at = 0; at < 45; at++) start(waits, 0, "pool"); ready(); sleep(600); }
"""
)
SEMAPHORE = (
    _HEAD
    + """
static sem_t full;
static void *waits(void *none) { sem_wait(&full); return 0; }
int main(void) { sem_init(&full, 0, 0); for (int at = 0; at < 3; at++) start(waits, 0, "pool"); ready(); sleep(600); }
"""
)
# Processes that share a table of descriptors share its locks (fcntl). Who took one may end, and be another by his pid.
SHARES_ITS_LOCKS = (
    _HEAD
    + """
#include <sched.h>
static char *path, stack[65536];
static int takes(void *none) {
    struct flock lock = { F_WRLCK, SEEK_SET, 100, 10 };
    return fcntl(open(path, O_RDWR), F_SETLK, &lock);
}
int main(int count, char **given) {
    path = given[1];
    pid_t one = clone(takes, stack + sizeof stack, CLONE_FILES | CLONE_VM | SIGCHLD, 0);
    waitpid(one, 0, 0); printf("ready %d\\n", one); fflush(stdout); pause();
}
"""
)
VFORK = (
    _HEAD
    + """
int main(void) { printf("ready\\n"); fflush(stdout); if (vfork() == 0) { sleep(600); _exit(0); } }
"""
)
# -------------------------------------------------------------------------------------------- in Python
PYTHON_DEADLOCK = """
import threading, time
first, second = threading.Lock(), threading.Lock()
both = threading.Barrier(2)
def run(one, other):
    with one:
        both.wait()
        print_ready.release()
        with other: pass
print_ready = threading.Semaphore(0)
threads = [threading.Thread(target=run, args=pair) for pair in ((first, second), (second, first))]
for one in threads: one.start()
print_ready.acquire(); print_ready.acquire(); time.sleep(0.2); print("ready", flush=True)
for one in threads: one.join()
"""
IDLE_SERVER = """
import selectors, socket
server = socket.create_server(("127.0.0.1", 0))
chosen = selectors.EpollSelector()
chosen.register(server, selectors.EVENT_READ)
print("ready", flush=True)
while True: chosen.select()
"""
BUSY_LOCKS = """
import threading
lock = threading.Lock()
def work():
    while True:
        with lock: pass
for _ in range(3): threading.Thread(target=work, daemon=True).start()
print("ready", flush=True)
work()
"""
WAITS_FOR_A_LOCK = """
import fcntl, sys
how, path = sys.argv[1:]
file = open(path, "r+")
print("ready", flush=True)
if how == "flock": fcntl.flock(file, fcntl.LOCK_EX)
elif how == "fcntl": fcntl.lockf(file, fcntl.LOCK_EX, 10, 100)
else:
    import struct
    fcntl.fcntl(file, 38, struct.pack("hhqqixxxx", fcntl.F_WRLCK, 0, 100, 10, 0))
"""
HOLDS_A_LOCK = """
import fcntl, os, sys, time
how, path = sys.argv[1:]
file = open(path, "r+")
if how.startswith("flock"): fcntl.flock(file, fcntl.LOCK_EX)
elif how == "fcntl":
    fcntl.lockf(file, fcntl.LOCK_EX, 10, 100)
else:
    import struct
    fcntl.fcntl(file, 37, struct.pack("hhqqixxxx", fcntl.F_WRLCK, 0, 100, 10, 0))
if how == "flock of an ended parent":
    child = os.fork()
    if child:
        print("ready", child, flush=True); sys.stdin.readline(); os._exit(0)
else: print("ready", os.getpid(), flush=True)
time.sleep(600)
"""
READS_A_PIPE = """
import os, sys
ends = os.pipe()
child = os.fork()
if child == 0:
    os.close(ends[0])
    import time; time.sleep(600); os._exit(0)
os.close(ends[1])
print("ready", child, flush=True)
os.read(ends[0], 1)
"""
READS_ITS_OWN_PIPE = """
import os
ends = os.pipe()
print("ready", flush=True)
os.read(ends[0], 1)
"""
WAITS_FOR_A_CHILD = """
import subprocess
child = subprocess.Popen(["sleep", "600"])
print("ready", child.pid, flush=True)
child.wait()
"""
WAITS_FOR_AN_ANSWER = """
import socket, os
server = socket.create_server(("127.0.0.1", 0))
child = os.fork()
if child == 0:
    one, _ = server.accept()
    import time; time.sleep(600); os._exit(0)
client = socket.create_connection(server.getsockname())
print("ready", child, server.getsockname()[1], flush=True)
server.close()
client.recv(1)
"""
NEVER_REAPS = """
import os, time
for _ in range(3):
    if os.fork() == 0: os._exit(0)
print("ready", flush=True)
time.sleep(600)
"""
