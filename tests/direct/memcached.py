#!/usr/bin/env python3
"""A client of memcached over a non-blocking socket: sets values of many sizes, gets them again and compares, and counts. Now
and then it asks for more at once than the direct lane's window holds, so that TCP takes a part of it.

usage: memcached.py PORT ROUNDS"""

import os
import random
import selectors
import socket
import sys

SIZES = (1, 17, 64, 1000, 4096, 9000)
MANY, EVERY = 60, 50  # answers at once, and after how many rounds
PATIENCE = 30  # seconds without a byte


class Client:
    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)
        self.selector = selectors.DefaultSelector()
        self.selector.register(self.socket, selectors.EVENT_READ)

    def wait(self, event):
        self.selector.modify(self.socket, event)
        if not self.selector.select(PATIENCE):
            sys.exit(f"no byte for {PATIENCE} s")

    def send(self, data):
        while data:
            try:
                data = data[self.socket.send(data) :]
            except BlockingIOError:
                self.wait(selectors.EVENT_WRITE)

    def expect(self, answer):
        """The very bytes, and none behind them."""
        got = b""
        while len(got) < len(answer):
            self.wait(selectors.EVENT_READ)
            try:
                part = self.socket.recv(65536)
            except BlockingIOError:
                continue
            if not part:
                sys.exit(f"the stream ended after {got[-80:]!r}")
            got += part
        if got != answer:
            sys.exit(f"{got[:80]!r} where {answer[:80]!r} was expected")

    def ask(self, question, answer):
        self.send(question)
        self.expect(answer)


def main():
    port, rounds = int(sys.argv[1]), int(sys.argv[2])
    client, name = Client(port), b"%d" % os.getpid()
    numbers = random.Random(rounds)
    client.ask(b"set count-%s 0 0 1\r\n0\r\n" % name, b"STORED\r\n")
    for i in range(1, rounds + 1):
        value = numbers.randbytes(numbers.choice(SIZES))
        client.ask(b"set value-%s 0 0 %d\r\n%s\r\n" % (name, len(value), value), b"STORED\r\n")
        many = MANY if i % EVERY == 0 else 1
        answer = b"VALUE value-%s 0 %d\r\n%s\r\nEND\r\n" % (name, len(value), value)
        client.ask(b"get value-%s\r\n" % name * many, answer * many)
        client.ask(b"incr count-%s 1\r\n" % name, b"%d\r\n" % i)


main()
