#!/usr/bin/env python3
"""Both ends of a connection. When it is in the lane the server's end goes to another program.

passed_on.py inherit|pass DIRECTORY PROGRAM: a dialogue until DIRECTORY/go is there; then the other
program, PROGRAM, inherits the server's socket or gets it over a unix socket, and splices. When
DIRECTORY/left is there, it is sent SIZE bytes; what it got of them is the output.
"""

import os
import select
import socket
import subprocess
import sys
import time

SIZE = 300000
PATIENCE = 60


def turn(sender, reader):
    sender.sendall(b"x" * 64)
    got = 0
    while got < 64:
        select.select([reader], [], [], PATIENCE)
        got += len(reader.recv(64 - got))


def splicer(fd):
    """Until the end, or until nothing comes though bytes are there."""
    reader, writer = os.pipe()
    got, until = 0, time.monotonic() + PATIENCE
    while time.monotonic() < until:
        if not select.select([fd], [], [], 1)[0]:
            continue
        try:
            n = os.splice(fd, writer, 65536)
        except BlockingIOError:
            time.sleep(0.01)
            continue
        if n == 0:
            break
        got += len(os.read(reader, n))
    print(got, flush=True)


def start_splicer(how, program, server):
    if how == "inherit":
        return subprocess.Popen([program, __file__, "splicer", str(server.fileno())],
                                pass_fds=[server.fileno()])
    ours, theirs = socket.socketpair()
    child = subprocess.Popen([program, __file__, "receiver", str(theirs.fileno())],
                             pass_fds=[theirs.fileno()])
    ours.recv(1)  # it has begun
    time.sleep(0.5)
    socket.send_fds(ours, [b"x"], [server.fileno()])
    return child


def receive(fd):
    unix = socket.socket(fileno=fd)
    unix.send(b"x")
    _, fds, _, _ = socket.recv_fds(unix, 1, 1)
    splicer(fds[0])


def main():
    how, directory, program = sys.argv[1:]
    listener = socket.create_server(("127.0.0.1", 0))
    client = socket.create_connection(listener.getsockname())
    server = listener.accept()[0]
    client.setblocking(False)
    server.setblocking(False)
    while not os.path.exists(f"{directory}/go"):
        turn(client, server)
        turn(server, client)
        time.sleep(0.002)
    child = start_splicer(how, program, server)
    server.close()
    print("passed on", flush=True)
    while not os.path.exists(f"{directory}/left"):
        time.sleep(0.01)
    client.setblocking(True)
    client.sendall(b"d" * SIZE)
    client.close()
    sys.exit(child.wait(PATIENCE * 2))


if sys.argv[1] == "splicer":
    splicer(int(sys.argv[2]))
elif sys.argv[1] == "receiver":
    receive(int(sys.argv[2]))
else:
    main()
