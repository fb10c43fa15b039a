"""The programs of the benchmark of causes: what each was made to spend its time on, and in which function.

Each runs for a minute at most, and is as small as shows its class; none was used to make the tables of names.
More than 400 lines: one table.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Program:
    """One program. `kind` is the class it was made for; `accepts` others that are true as well.

    `language` says how `source` becomes a program: python, c, go, node, java, perl, sh or ruby.
    """

    name: str
    kind: str
    language: str
    source: str
    accepts: tuple[str, ...] = ()
    options: tuple[str, ...] = ()


def _c(body: str, above: str = "") -> str:
    includes = (
        "stdlib.h", "stdio.h", "string.h", "unistd.h", "pthread.h", "regex.h", "fcntl.h", "sys/mman.h",
        "sys/stat.h", "sys/wait.h", "spawn.h",
    )  # fmt: skip
    lines = "\n".join(f"#include <{name}>" for name in includes)
    return f"#define _GNU_SOURCE\n{lines}\nextern char **environ;\n{above}\nint main(void) {{ alarm(60); {body} }}\n"


_THREADS_C = "pthread_t t; for (int i = 0; i < 8; i++) pthread_create(&t, 0, work, 0); pause();"

PROGRAMS: tuple[Program, ...] = (
    # ------------------------------------------------------------------------------------- tight loop
    Program("Python, sum of squares", "tight loop", "python", """
def squares():
    total = 0
    for i in range(1_000_000): total += i * i % 7
while True: squares()
"""),
    Program("Python, recursion", "tight loop", "python", """
def fib(n): return n if n < 2 else fib(n - 1) + fib(n - 2)
while True: fib(24)
"""),
    Program("Python, prime sieve", "tight loop", "python", """
def is_prime(n):
    d = 2
    while d * d <= n:
        if n % d == 0: return False
        d += 1
    return True
def primes(): return sum(is_prime(n) for n in range(20_000))
while True: primes()
"""),
    Program("Python, string building", "tight loop", "python", """
def caesar(text):
    out = ''
    for letter in text: out += chr((ord(letter) - 90) % 26 + 65)
    return out
while True: caesar('HELLO' * 2000)
"""),
    Program("C, checksum", "tight loop", "c", _c("volatile unsigned s = 0; for (;;) s = checksum(s);",
            "__attribute__((noinline)) unsigned checksum(unsigned a) { for (int i = 0; i < 100000; i++) a = a * 31 + i; return a; }")),
    Program("Go, matrix", "tight loop", "go", """
package main
import "time"
var sink float64
//go:noinline
func multiply(a, b *[64][64]float64) { for i := range a { for j := range b { s := 0.0; for k := 0; k < 64; k++ { s += a[i][k] * b[k][j] }; sink = s } } }
func main() { var a, b [64][64]float64; end := time.Now().Add(time.Minute); for time.Now().Before(end) { multiply(&a, &b) } }
"""),
    Program("Node, sum", "tight loop", "node", """
function addUp() { let t = 0; for (let i = 0; i < 1e6; i++) t = (t + i * 3) % 1000003; return t }
const end = Date.now() + 60000; while (Date.now() < end) addUp()
""", options=("--perf-basic-prof",)),
    Program("Java, collatz", "tight loop", "java", """
public class Main { static long steps(long n) { long c = 0; while (n != 1) { n = (n & 1) == 0 ? n / 2 : 3 * n + 1; c++; } return c; }
public static void main(String[] a) { long end = System.currentTimeMillis() + 60000, s = 0; while (System.currentTimeMillis() < end) for (int i = 1; i < 10000; i++) s += steps(i); System.out.println(s); } }
"""),
    Program("Perl, sum", "tight loop", "perl", "alarm 60; while (1) { my $t = 0; for my $i (1..100000) { $t += $i * $i % 7 } }"),
    Program("Python, a loop in a callback of a regular expression", "tight loop", "python", r"""
import re
WORD = re.compile(r"\w+")
def price(found):
    total = 0
    for i in range(3000): total += i * i % 7
    return str(total)
def render(): return WORD.sub(price, "one two three four")
while True: render()
"""),
    Program("Python, a parser of JSON of its own", "tight loop", "python", r"""
TEXT = '[' + ', '.join('{"id": %d, "name": "n%d"}' % (i, i) for i in range(300)) + ']'
def skip(text, at):
    while text[at] in " \n\t": at += 1
    return at
def parse_value(text, at):
    at = skip(text, at)
    c = text[at]
    if c == '[':
        found = []; at += 1
        while True:
            value, at = parse_value(text, at); found.append(value); at = skip(text, at)
            if text[at] == ']': return found, at + 1
            at += 1
    if c == '{':
        found = {}; at += 1
        while True:
            key, at = parse_value(text, at); at = skip(text, at) + 1
            found[key], at = parse_value(text, at); at = skip(text, at)
            if text[at] == '}': return found, at + 1
            at += 1
    if c == '"':
        end = at + 1
        while text[end] != '"': end += 1
        return text[at + 1:end], end + 1
    end = at
    while text[end].isdigit(): end += 1
    return int(text[at:end]), end
while True: parse_value(TEXT, 0)
"""),
    Program("Python, a hook of json that computes", "tight loop", "python", r"""
import json
TEXT = json.dumps([{"id": i} for i in range(40)])
def enrich(item):
    total = 0
    for i in range(2000): total += i * item["id"] % 7
    item["total"] = total
    return item
def load(): return json.loads(TEXT, object_hook=enrich)
while True: load()
"""),
    Program("Python, zlib", "tight loop", "python", r"""
import zlib, random
DATA = bytes(random.Random(1).choices(b"abcdefgh ", k=400_000))
def pack(): return zlib.compress(DATA, 9)
while True: pack()
"""),
    Program("Python, many small objects and no cycle", "tight loop", "python", r"""
def make():
    rows = []
    for i in range(20_000): rows.append((i, str(i)))
    return len(rows)
while True: make()
""", accepts=("allocation",)),
    Program("Python, one of forty threads works", "tight loop", "python", r"""
import threading, queue
jobs = queue.Queue()
for _ in range(40): threading.Thread(target=jobs.get, daemon=True).start()
def rank():
    total = 0
    for i in range(100_000): total += i * i % 7
    return total
while True: rank()
"""),
    Program("Python, asyncio with a coroutine that computes", "tight loop", "python", r"""
import asyncio
async def score():
    total = 0
    for i in range(50_000): total += i * i % 7
    await asyncio.sleep(0)
    return total
async def main():
    while True: await asyncio.gather(*(score() for _ in range(4)))
asyncio.run(main())
"""),
    Program("Python, pickle of objects that compute their state", "tight loop", "python", r"""
import pickle
class Order:
    def __init__(self, n): self.n = n
    def __getstate__(self):
        total = 0
        for i in range(3000): total += i * self.n % 7
        return {"n": self.n, "total": total}
ORDERS = [Order(i) for i in range(20)]
def save(): return pickle.dumps(ORDERS)
while True: save()
"""),
    Program("C, copies of a large buffer", "tight loop", "c", _c("char *a = malloc(64 << 20), *b = malloc(64 << 20); memset(a, 1, 64 << 20); memset(b, 2, 64 << 20); for (;;) copy(a, b);", "__attribute__((noinline)) void copy(char *a, char *b) { memcpy(a, b, 64 << 20); __asm__ volatile(\"\" ::: \"memory\"); }")),
    Program("C, qsort", "tight loop", "c", _c("static unsigned v[100000]; for (;;) { for (unsigned i = 0, s = 1; i < 100000; i++) v[i] = s = s * 1664525 + 1013904223; sort(v, 100000); }", "int less(const void *a, const void *b) { return *(unsigned *)a < *(unsigned *)b ? -1 : 1; } __attribute__((noinline)) void sort(unsigned *v, int n) { qsort(v, n, 4, less); }")),
    Program("Python, eight threads that compute in turn", "tight loop", "python", r"""
import threading, time
def grind():
    while True:
        total = 0
        for i in range(10_000): total += i * i % 7
for _ in range(8): threading.Thread(target=grind, daemon=True).start()
time.sleep(60)
"""),
    Program("Python, work under a lock that nobody else wants", "tight loop", "python", r"""
import threading
lock = threading.Lock()
def count(n):
    total = 0
    for i in range(n): total += i * i % 7
    return total
def step():
    with lock: return count(5000)
while True: step()
"""),
    # ----------------------------------------------------------------------------- garbage collection
    Program("Python, gc.collect over a large heap", "garbage collection", "python", """
import gc
class Node: pass
kept = []
for i in range(150_000):
    n = Node(); n.me = n; n.all = [n]; kept.append(n)
def tidy(): gc.collect()
while True: tidy()
"""),
    Program("Python, cycles that are thrown away", "garbage collection", "python", """
import gc
gc.set_threshold(50, 2, 2)
kept = [[i, {}] for i in range(300_000)]
def churn():
    for i in range(3000):
        a, b = [], []
        a.append(b); b.append(a)
while True: churn()
"""),
    Program("Go, a large heap and much garbage", "garbage collection", "go", """
package main
import ("time"; "runtime/debug")
type node struct { l, r *node; v [4]int }
func tree(d int) *node { if d == 0 { return &node{} }; return &node{l: tree(d - 1), r: tree(d - 1)} }
var kept []*node
func main() { debug.SetGCPercent(5); for i := 0; i < 8; i++ { kept = append(kept, tree(15)) }; end := time.Now().Add(time.Minute); for time.Now().Before(end) { tree(12) } }
""", accepts=("allocation",)),
    Program("Node, old space that is full", "garbage collection", "node", """
const kept = []; for (let i = 0; i < 600000; i++) kept.push({i, o: {a: [i]}})
const end = Date.now() + 60000
function churn() { for (let i = 0; i < 200000; i++) kept[(i * 7919) % kept.length] = {i, o: {a: [i]}} }
while (Date.now() < end) churn()
""", options=("--max-old-space-size=140",)),
    Program("Java, a heap that is nearly full", "garbage collection", "java", """
import java.util.*;
public class Main { static List<Object> kept = new ArrayList<>();
public static void main(String[] a) { for (int i = 0; i < 1100000; i++) kept.add(new int[4]); long end = System.currentTimeMillis() + 60000; int n = 0;
while (System.currentTimeMillis() < end) { for (int i = 0; i < 1000; i++) kept.set((n++ * 7919 & 0x7fffffff) % kept.size(), new int[4]); } } }
""", options=("-Xmx52m", "-XX:+UseSerialGC")),
    # ----------------------------------------------------------------------------- regular expression
    Program("Python, findall", "regular expression", "python", r"""
import re
TEXT = "user=alice; id=42; " * 3000
def scan(): return re.findall(r"(\w+)=(\w+)", TEXT)
while True: scan()
"""),
    Program("Python, catastrophic backtracking", "regular expression", "python", r"""
import re
BAD = re.compile(r"^(a+)+$")
def check(text): return BAD.match(text)
while True: check("a" * 22 + "b")
"""),
    Program("Python, sub with groups", "regular expression", "python", r"""
import re
DATES = re.compile(r"(\d{4})-(\d\d)-(\d\d)")
TEXT = "on 2024-05-06 and 1999-12-31 it was so; " * 1000
def swap(): return DATES.sub(r"\3.\2.\1", TEXT)
while True: swap()
"""),
    Program("Node, backtracking", "regular expression", "node", r"""
const end = Date.now() + 60000
function check(s) { return /^(\w+\s?)*$/.test(s) }
while (Date.now() < end) check('aaaaaaaaaaaaaaaaaaaaa!')
""", options=("--perf-basic-prof",)),
    Program("Java, matcher", "regular expression", "java", r"""
import java.util.regex.*;
public class Main { public static void main(String[] a) { Pattern p = Pattern.compile("(\\w+)@(\\w+)\\.com"); String t = "write to bob@mail.com or ann@host.com; ".repeat(500); long end = System.currentTimeMillis() + 60000, n = 0;
while (System.currentTimeMillis() < end) { Matcher m = p.matcher(t); while (m.find()) n++; } System.out.println(n); } }
"""),
    Program("Go, regexp", "regular expression", "go", r"""
package main
import ("regexp"; "strings"; "time")
func main() { re := regexp.MustCompile(`(\w+)@(\w+)\.com`); t := strings.Repeat("write to bob@mail.com now; ", 500); end := time.Now().Add(time.Minute); for time.Now().Before(end) { re.FindAllStringIndex(t, -1) } }
"""),
    Program("Perl, match", "regular expression", "perl", r"alarm 60; my $t = 'user=alice; id=42; ' x 3000; while (1) { my $n = () = $t =~ /(\w+)=(\w+);/g }"),
    Program("C, regexec", "regular expression", "c", _c('regex_t r; regcomp(&r, "([a-z]+)[0-9]+x", REG_EXTENDED); char t[4000]; memset(t, 97, 3999); t[3999] = 0; for (;;) regexec(&r, t, 0, 0, 0);')),
    Program("Python, expressions compiled anew", "regular expression", "python", r"""
import re
def build():
    re.purge()
    return [re.compile(r"(a%d|b+)[c-f]{2,5}(x|y|z%d)*" % (i, i)) for i in range(50)]
while True: build()
"""),
    # ---------------------------------------------------------------------------------- serialisation
    Program("Python, json.loads", "serialisation", "python", """
import json
TEXT = json.dumps([{"id": i, "name": "n%d" % i, "tags": ["a", "b"]} for i in range(500)])
def load(): return json.loads(TEXT)
while True: load()
"""),
    Program("Python, json.dumps with indent", "serialisation", "python", """
import json
DATA = [{"id": i, "name": "n%d" % i, "tags": ["a", "b"]} for i in range(500)]
def dump(): return json.dumps(DATA, indent=2)
while True: dump()
"""),
    Program("Python, pickle", "serialisation", "python", """
import pickle
DATA = [{"id": i, "name": "n%d" % i, "t": (i, str(i))} for i in range(2000)]
def copy(): return pickle.loads(pickle.dumps(DATA))
while True: copy()
"""),
    Program("Python, XML", "serialisation", "python", """
import xml.etree.ElementTree as ET
TEXT = "<all>" + "".join("<item id='%d'><name>n</name></item>" % i for i in range(1000)) + "</all>"
def read(): return ET.fromstring(TEXT)
while True: read()
"""),
    Program("Node, JSON", "serialisation", "node", """
const data = Array.from({length: 2000}, (_, i) => ({i, name: 'n' + i, tags: ['a', 'b']})); const end = Date.now() + 60000
function copy() { return JSON.parse(JSON.stringify(data)) }
while (Date.now() < end) copy()
""", options=("--perf-basic-prof",)),
    Program("Go, encoding/json", "serialisation", "go", """
package main
import ("encoding/json"; "time")
type item struct { ID int; Name string; Tags []string }
func main() { var all []item; for i := 0; i < 500; i++ { all = append(all, item{i, "name", []string{"a", "b"}}) }; end := time.Now().Add(time.Minute); for time.Now().Before(end) { b, _ := json.Marshal(all); var back []item; json.Unmarshal(b, &back) } }
"""),
    # ------------------------------------------------------------------------------------------- lock
    Program("C, one mutex and eight threads", "lock", "c", _c(_THREADS_C,
            "pthread_mutex_t m = PTHREAD_MUTEX_INITIALIZER; volatile long n; void *work(void *p) { for (;;) { pthread_mutex_lock(&m); n++; pthread_mutex_unlock(&m); } }"),
            options=("-pthread",)),
    Program("C, a spin lock", "lock", "c", _c(_THREADS_C,
            "pthread_spinlock_t m; volatile long n; void *work(void *p) { for (;;) { pthread_spin_lock(&m); for (int i = 0; i < 2000; i++) n++; pthread_spin_unlock(&m); } }"),
            options=("-pthread",), accepts=("tight loop",)),
    Program("Go, one mutex and many goroutines", "lock", "go", """
package main
import ("sync"; "time")
func main() { var m sync.Mutex; n := 0; for i := 0; i < 50; i++ { go func() { for { m.Lock(); n++; m.Unlock() } }() }; time.Sleep(time.Minute) }
"""),
    # ------------------------------------------------------------------------------------ page faults
    Program("C, memory mapped and let go", "page faults", "c", _c("for (;;) { size_t n = 32 << 20; char *p = mmap(0, n, 3, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0); for (size_t i = 0; i < n; i += 4096) p[i] = 1; munmap(p, n); }")),
    Program("Python, large buffers", "page faults", "python", """
def touch():
    block = bytearray(48 << 20)
    return len(block)
while True: touch()
"""),
    Program("C, large blocks of malloc", "page faults", "c", _c("for (;;) { char *volatile p = malloc(40 << 20); memset(p, 1, 40 << 20); free(p); }"), accepts=("allocation",)),
    Program("C, pages of a file through a mapping", "page faults", "c", _c("int f = open(\"map.bin\", O_CREAT | O_RDWR, 0600); ftruncate(f, 32 << 20); for (;;) { volatile char *p = mmap(0, 32 << 20, 3, MAP_SHARED, f, 0); for (size_t i = 0; i < 32 << 20; i += 4096) p[i]++; munmap((void *)p, 32 << 20); }"), accepts=("kernel",)),
    # ------------------------------------------------------------------------------------- allocation
    Program("C, blocks of many sizes", "allocation", "c", _c("static void *p[4096]; unsigned s = 1; for (;;) { s = s * 1664525 + 1013904223; unsigned k = s >> 20; free(p[k]); p[k] = malloc(16 + (s >> 8) % 2000); }")),
    Program("C, a list made and freed", "allocation", "c", _c("for (;;) { void **head = 0; for (int i = 0; i < 20000; i++) { void **n = malloc(48); *n = head; head = n; } while (head) { void **n = *head; free(head); head = n; } }")),
    # --------------------------------------------------------------------------------- process starts
    Program("Python, subprocess", "process starts", "python", """
import subprocess
def ask(): return subprocess.run(["/bin/true"])
while True: ask()
"""),
    Program("shell, a loop of programs", "process starts", "sh", "while :; do /bin/true; /bin/echo x >/dev/null; done"),
    Program("C, fork and wait", "process starts", "c", _c("for (;;) { if (!fork()) _exit(0); wait(0); }")),
    Program("Perl, backticks", "process starts", "perl", "alarm 60; while (1) { my $x = `/bin/true` }"),
    Program("Python, commands through a shell", "process starts", "python", r"""
import os
def ask(): return os.system("true | true")
while True: ask()
"""),
    # ----------------------------------------------------------------------------------------- kernel
    Program("C, small reads", "kernel", "c", _c('int f = open("/dev/zero", 0); char b[65536]; for (;;) read(f, b, sizeof b);')),
    Program("C, stat", "kernel", "c", _c('struct stat s; for (;;) stat("/usr/lib/os-release", &s);')),
    Program("Python, listing a folder", "kernel", "python", """
import os
def walk():
    for entry in os.scandir('/usr/lib'): os.stat(entry.path)
while True: walk()
"""),
    Program("Python, a loop of select", "kernel", "python", r"""
import os, select
a, b = os.pipe(); os.write(b, b"x")
fds = [os.dup(a) for _ in range(200)]
def poll(): return select.select(fds, [], [], 0)
while True: poll()
"""),
    Program("C, datagrams to itself", "kernel", "c", _c("int s = socket(AF_INET, SOCK_DGRAM, 0); struct sockaddr_in a = {.sin_family = AF_INET}; a.sin_addr.s_addr = htonl(0x7f000001); bind(s, (void *)&a, sizeof a); socklen_t n = sizeof a; getsockname(s, (void *)&a, &n); char b[512] = {0}; for (;;) { sendto(s, b, sizeof b, 0, (void *)&a, sizeof a); recv(s, b, sizeof b, 0); }", "#include <sys/socket.h>\n#include <netinet/in.h>")),
    Program("C, a unix socket between two threads", "kernel", "c", _c("socketpair(AF_UNIX, SOCK_STREAM, 0, s); pthread_t t; pthread_create(&t, 0, echo, 0); char b[64] = {0}; for (;;) { write(s[0], b, 64); read(s[0], b, 64); }", "#include <sys/socket.h>\nint s[2]; void *echo(void *p) { char b[64]; for (;;) { read(s[1], b, 64); write(s[1], b, 64); } }"), options=("-pthread",)),
    # ------------------------------------------------------------------------------------------- idle
    Program("Python, asleep", "idle", "python", "import time\ntime.sleep(60)"),
    Program("Python, a pool that waits", "idle", "python", """
import time
from concurrent.futures import ThreadPoolExecutor
pool = ThreadPoolExecutor(8)
for _ in range(8): pool.submit(time.sleep, 60)
time.sleep(60)
"""),
    Program("Node, a timer", "idle", "node", "setInterval(() => 0, 500); setTimeout(() => process.exit(), 60000)"),
    Program("Python, asyncio that waits", "idle", "python", r"""
import asyncio
async def tick():
    while True: await asyncio.sleep(0.2)
async def main(): await asyncio.gather(*(tick() for _ in range(20)))
asyncio.run(main())
"""),
    Program("Python, workers that were forked before and share a socket", "idle", "python", r"""
import os, socket
s = socket.socket(); s.bind(("127.0.0.1", 0)); s.listen()
for _ in range(4):
    if not os.fork():
        s.settimeout(60); s.accept()
os.wait()
"""),
    # --------------------------------------------------------------------------------------- I/O wait
    Program("C, synchronous writes", "I/O wait", "c", _c('char n[] = "cause-XXXXXX"; int f = mkstemp(n); unlink(n); char b[4096] = {0}; for (;;) { pwrite(f, b, sizeof b, 0); fsync(f); }'), accepts=("kernel", "idle")),
)  # fmt: skip
