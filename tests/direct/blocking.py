#!/usr/bin/env python3
"""Blocking sockets, for left_alone.sh and bench/programs.

    blocking.py server PORT               reads an upload to its end, then answers with all of it
    blocking.py client PORT UNTIL SIZE    turns of 64 bytes until the file UNTIL is there, then an upload
    blocking.py rate PORT SECONDS         prints how many turns a second there were
"""
import os
import random
import socket
import sys
import time

WORD = b"turn"


def exactly(sock, n):
    parts = []
    while n:
        data = sock.recv(min(n, 1 << 16))
        if not data:
            sys.exit("the end of the stream, too early")
        parts.append(data)
        n -= len(data)
    return b"".join(parts)


def to_the_end(sock):
    parts = []
    while data := sock.recv(1 << 16):
        parts.append(data)
    return b"".join(parts)


def server(port):
    listener = socket.create_server(("127.0.0.1", port))
    while True:
        sock = listener.accept()[0]
        while (turn := exactly(sock, 64)).startswith(WORD):
            sock.sendall(turn)
        sock.sendall(turn + to_the_end(sock))
        sock.close()


def client(port, until, size):
    sock = socket.create_connection(("127.0.0.1", port))
    while not os.path.exists(until):
        turn = WORD + random.randbytes(60)
        sock.sendall(turn)
        if exactly(sock, 64) != turn:
            sys.exit("another answer")
    upload = b"file" + random.randbytes(size)
    sock.sendall(upload)
    sock.shutdown(socket.SHUT_WR)
    if to_the_end(sock) != upload:
        sys.exit("another file")


def rate(port, seconds):
    sock = socket.create_connection(("127.0.0.1", port))
    turn = WORD + bytes(60)
    turns = 0
    begin = time.monotonic()
    while time.monotonic() - begin < seconds:
        sock.sendall(turn)
        exactly(sock, len(turn))
        turns += 1
    print(round(turns / (time.monotonic() - begin)))
    sock.sendall(b"file" + bytes(60))
    sock.shutdown(socket.SHUT_WR)
    to_the_end(sock)


if sys.argv[1] == "server":
    server(int(sys.argv[2]))
elif sys.argv[1] == "rate":
    rate(int(sys.argv[2]), int(sys.argv[3]))
else:
    client(int(sys.argv[2]), sys.argv[3], int(sys.argv[4]))
