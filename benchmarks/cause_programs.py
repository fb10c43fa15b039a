"""The programs of the benchmark of causes: what each was made to spend its time on, and in which function.

Each runs for a minute at most, and is as small as shows its class; none was used to make the tables of names.
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
    # ----------------------------------------------------------------------------------------- kernel
    Program("C, small reads", "kernel", "c", _c('int f = open("/dev/zero", 0); char b[65536]; for (;;) read(f, b, sizeof b);')),
    Program("C, stat", "kernel", "c", _c('struct stat s; for (;;) stat("/usr/lib/os-release", &s);')),
    Program("Python, listing a folder", "kernel", "python", """
import os
def walk():
    for entry in os.scandir('/usr/lib'): os.stat(entry.path)
while True: walk()
"""),
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
    # --------------------------------------------------------------------------------------- I/O wait
    Program("C, synchronous writes", "I/O wait", "c", _c('char n[] = "cause-XXXXXX"; int f = mkstemp(n); unlink(n); char b[4096] = {0}; for (;;) { pwrite(f, b, sizeof b, 0); fsync(f); }'), accepts=("kernel", "idle")),
)  # fmt: skip
