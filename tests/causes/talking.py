"""Programs that talk over TCP; several hold the sockets, and one moves the bytes."""

HEAD = """
import os, signal, socket, sys, threading, time
signal.alarm(120)
def drain(one):
    while one.recv(1 << 20): pass
def send(one):
    while True: one.sendall(b"x" * (1 << 18)); time.sleep(0.002)
def spin():
    while True: pass
def sleep(): time.sleep(600)
def work_in_kernel():
    while True: os.stat("/")
def say(*numbers): print("ready", *numbers, flush=True)
"""
FAR = """
server = socket.create_server(("127.0.0.1", 0))
if os.fork() == 0:
    while True: threading.Thread(target=drain, args=(server.accept()[0],), daemon=True).start()
address = server.getsockname()
server.close()
client = socket.create_connection(address)
"""
# Who works, who holds: the sockets were there before the fork. The second number is the one that moves bytes.
SHARED = {
    "a child of a parent in waitpid": "child = os.fork() or send(client); print('ready', os.getpid(), child, address[1], flush=True); os.waitpid(child, 0)",
    "a child of a parent that burns CPU": "child = os.fork() or send(client); print('ready', os.getpid(), child, address[1], flush=True); spin()",
    "the parent, whose child sleeps": "child = os.fork() or sleep(); print('ready', child, os.getpid(), address[1], flush=True); send(client)",
    "one of four workers": """
workers = [os.fork() or (send(client) if number == 2 else sleep()) for number in range(4)]
print('ready', os.getpid(), workers[2], address[1], flush=True); os.waitpid(workers[2], 0)
""",
}
# What one holder does looks like the work of the other, who moves the bytes: the second number.
LOOK_ALIKES = {
    "the holder works in the kernel at something else": FAR
    + "child = os.fork() or send(client); say(os.getpid(), child); work_in_kernel()",
    "the holder is blocked in a receive and burns CPU": FAR
    + """
child = os.fork() or send(client)
threading.Thread(target=drain, args=(client,), daemon=True).start()
say(os.getpid(), child)
spin()
""",
    "the holder sends elsewhere": FAR
    + "child = os.fork() or send(client); say(os.getpid(), child); send(socket.create_connection(address))",
    "the holder sends a little": FAR
    + """
child = os.fork() or send(client)
say(os.getpid(), child)
while True: client.sendall(b"x" * 1000); time.sleep(0.01)
""",
    "a file is sent, and the holder works in the kernel": FAR
    + """
def send_file():
    file = os.memfd_create("file")
    os.truncate(file, 1 << 18)
    while True: os.sendfile(client.fileno(), file, 0, 1 << 18); time.sleep(0.002)
child = os.fork() or send_file()
say(os.getpid(), child)
work_in_kernel()
""",
    "a pipe is spliced, and the holder burns CPU": FAR
    + """
def splice():
    file, (out, into) = os.memfd_create("file"), os.pipe()
    os.truncate(file, 1 << 16)
    while True: os.splice(out, client.fileno(), os.splice(file, into, 1 << 16, 0)); time.sleep(0.0005)
child = os.fork() or splice()
say(os.getpid(), child)
spin()
""",
    "neither sleeps": FAR
    + """
def sends_always():
    while True: client.sendall(b"x" * (1 << 16))
child = os.fork() or sends_always()
say(os.getpid(), child)
spin()
""",
    "the child receives, and the holder burns CPU": """
server = socket.create_server(("127.0.0.1", 0))
if os.fork() == 0: send(socket.create_connection(server.getsockname()))
one, _ = server.accept()
child = os.fork() or drain(one)
say(os.getpid(), child)
spin()
""",
}
BOTH_SEND = (
    HEAD
    + FAR
    + "child = os.fork()\nif child: print('ready', os.getpid(), child, address[1], flush=True)\nsend(client)\n"
)
PREFORK = (
    HEAD
    + """
server = socket.create_server(("127.0.0.1", 0), backlog=100)
def serve():
    while True:
        one, _ = server.accept()
        drain(one)
workers = [os.fork() or serve() for _ in range(3)]
if os.fork() == 0: send(socket.create_connection(server.getsockname()))
print("ready", os.getpid(), *workers, flush=True)
os.waitpid(workers[0], 0)
"""
)

# One more holds the socket; who sends has it in a table of descriptors of one thread, which /proc/PID/fd does not show.
HIDDEN = (
    HEAD
    + FAR
    + """
import ctypes
child = os.fork() or {does}
def hides():
    assert ctypes.CDLL(None).unshare(0x400) == 0
    apart.set()
    send(client)
apart = threading.Event()
threading.Thread(target=hides).start()
apart.wait()
os.close(client.fileno())
print("ready", os.getpid(), child, address[1], flush=True)
"""
)

# One sends, the other waits for answers at the same socket and gets a few bytes now and then.
SPLIT = """
import os, signal, socket, time
signal.alarm(120)
server = socket.create_server(("127.0.0.1", 0))
if os.fork() == 0:
    far, count = server.accept()[0], 0
    while True:
        count += len(far.recv(1 << 16))
        if count > 20_000: count = 0; far.sendall(b"received")
client = socket.create_connection(server.getsockname())
def send():
    while True: client.sendall(b"x" * 16_384); time.sleep(0.004)
def read():
    while client.recv(100): sum(range(500))
sender, reader = os.fork() or send(), os.fork() or read()
print("ready", sender, reader, flush=True)
os.wait()
"""
