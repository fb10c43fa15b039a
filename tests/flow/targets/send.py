"""Sends to a loopback port at about `rate` MB/s; `receive` takes everything that comes there."""

import socket
import sys
import time


def receive() -> None:
    server = socket.create_server(("127.0.0.1", 0))
    print(server.getsockname()[1], flush=True)
    connection, _ = server.accept()
    while connection.recv(1 << 20):
        pass


def guilty_send(port: int, rate: float) -> None:
    block = b"x" * (1 << 20)
    with socket.create_connection(("127.0.0.1", port)) as connection:
        while True:
            start = time.monotonic()
            connection.sendall(block)
            time.sleep(max(0.0, start + 1 / rate - time.monotonic()))


if sys.argv[1] == "receive":
    receive()
else:
    guilty_send(int(sys.argv[2]), float(sys.argv[3]))
