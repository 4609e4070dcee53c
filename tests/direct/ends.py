#!/usr/bin/env python3
"""Both ends of some TCP connections, told what to do by lines on standard input.

    ends.py HOST PORT PAIRS [--front PORT] [--client-port N] [--seed N] [--blocking] [--buffer N]
        [--header] [--send-header]

Every byte is a function of the seed, the pair, the direction and its offset, and is checked where
it arrives. Each command answers with one line; a wrong byte ends the program with status 1.

    talk N [MS]    N turns of 64 bytes on each pair, MS milliseconds apart
    send N         N bytes from each client
    drip N         N messages of one byte from each client
    flood          each client sends pieces of 4000 bytes until its socket has taken nothing for a while
    sip N          each server reads N of the bytes that were sent
    drain          each server reads what was sent; the answer is how many bytes are missing
    half N         each client sends N bytes and shuts down; each server reads to the end, answers
                   with N bytes and closes; each client reads to the end
    set OPTION     on every server's socket: lowat, timestamp, oobinline, blocking; on every
                   client's: zerocopy
    gone           each end reads to the end or to an error, then sends until that fails; the answer is
                   how many found the connection over
    fionread       what FIONREAD says of the first server's socket
    close          all of them
"""
import argparse
import fcntl
import select
import socket
import struct
import subprocess
import sys
import termios
import time

PERIOD = 65521  # a prime: no two buffers are alike
SO_ZEROCOPY = 60


class Stream:
    """What one direction carries."""

    def __init__(self, seed):
        state = seed * 2654435761 % 2**32 or 1
        out = bytearray()
        for _ in range(PERIOD):
            state = (state * 1103515245 + 12345) % 2**31
            out.append(state >> 16 & 255)
        self.bytes = bytes(out) * 3
        self.sent = self.received = 0

    def next(self, n):
        start = self.sent % PERIOD
        return self.bytes[start:start + min(n, 2 * PERIOD)]

    def check(self, data):
        while data:
            start = self.received % PERIOD
            part = data[:2 * PERIOD]
            if self.bytes[start:start + len(part)] != part:
                sys.exit(f"wrong byte near offset {self.received}")
            self.received += len(part)
            data = data[len(part):]


class Pair:
    def __init__(self, client, server, seed):
        self.client, self.server = client, server
        self.up, self.down = Stream(2 * seed), Stream(2 * seed + 1)


def wait(sock, writing, seconds):
    poll = select.poll()
    poll.register(sock, select.POLLOUT if writing else select.POLLIN)
    return bool(poll.poll(seconds * 1000))


def send(sock, stream, n, patience=30, piece=1 << 20):
    """Returns how many bytes were taken."""
    left = n
    while left:
        try:
            done = sock.send(stream.next(min(left, piece)))
        except BlockingIOError:
            if not wait(sock, True, patience):
                break
            continue
        stream.sent += done
        left -= done
    return n - left


def receive(sock, stream, n, patience=30):
    """Returns how many bytes came; fewer than n at the end of the stream or of patience."""
    left = n
    while left:
        try:
            data = sock.recv(min(left, 1 << 20))
        except BlockingIOError:
            if not wait(sock, False, patience):
                break
            continue
        if not data:
            break
        stream.check(data)
        left -= len(data)
    return n - left


def turn(pair, n=64):
    for sender, reader, stream in ((pair.client, pair.server, pair.up),
                                   (pair.server, pair.client, pair.down)):
        if send(sender, stream, n) != n or receive(reader, stream, n) != n:
            sys.exit("a turn got stuck")


def half(pair, n):
    send(pair.client, pair.up, n)
    pair.client.shutdown(socket.SHUT_WR)
    receive(pair.server, pair.up, 1 << 40)
    send(pair.server, pair.down, n)
    pair.server.close()
    receive(pair.client, pair.down, 1 << 40)
    pair.client.close()
    for stream in (pair.up, pair.down):
        if stream.sent != stream.received:
            sys.exit(f"{stream.sent} bytes sent, {stream.received} received")


def set_option(pair, name):
    if name == "lowat":
        pair.server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 2)
    elif name == "timestamp":
        pair.server.setsockopt(socket.SOL_SOCKET, 29, 1)
    elif name == "oobinline":
        pair.server.setsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE, 1)
    elif name == "zerocopy":
        pair.client.setsockopt(socket.SOL_SOCKET, SO_ZEROCOPY, 1)
    elif name == "blocking":
        pair.server.setblocking(True)
    elif name == "nonblocking":
        pair.server.setblocking(False)
    else:
        sys.exit(f"{name}: no such option")


def is_over(sock):
    """Whether the other side ends the connection: it must say so, and take nothing more."""
    try:
        while wait(sock, False, 10):
            if not sock.recv(1 << 20):
                break
        else:
            return False
        for _ in range(100):
            sock.send(b"x")
            time.sleep(0.01)
    except (ConnectionError, TimeoutError):
        return True
    return False


def command(pairs, words):
    name, arguments = words[0], words[1:]
    if name == "talk":
        for _ in range(int(arguments[0])):
            for pair in pairs:
                turn(pair)
            time.sleep(int(arguments[1]) / 1000 if arguments[1:] else 0)
    elif name == "send":
        return sum(send(p.client, p.up, int(arguments[0])) for p in pairs)
    elif name == "drip":
        return sum(send(p.client, p.up, int(arguments[0]), piece=1) for p in pairs)
    elif name == "flood":
        return max(send(p.client, p.up, 1 << 40, 0.01, 4000) for p in pairs)
    elif name == "sip":
        return sum(receive(p.server, p.up, int(arguments[0])) for p in pairs)
    elif name == "drain":
        for p in pairs:
            receive(p.server, p.up, p.up.sent - p.up.received, 20)
        return sum(p.up.sent - p.up.received for p in pairs)
    elif name == "half":
        for pair in pairs:
            half(pair, int(arguments[0]))
    elif name == "set":
        for pair in pairs:
            set_option(pair, arguments[0])
    elif name == "gone":
        return sum(is_over(sock) for p in pairs for sock in (p.client, p.server))
    elif name == "fionread":
        return struct.unpack("i", fcntl.ioctl(pairs[0].server, termios.FIONREAD, b"\0" * 4))[0]
    elif name == "close":
        for pair in pairs:
            pair.client.close()
            pair.server.close()
        pairs.clear()
    else:
        sys.exit(f"{name}: no such command")
    return ""


def limit_buffers(sock, size):
    if size:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, size)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size)


def connect(client, address):
    """Whoever is refused though somebody listens has found a fault: say who listens."""
    try:
        client.connect(address)
    except ConnectionRefusedError:
        sockets = subprocess.run(["ss", "-Hltn"], capture_output=True, text=True, check=False)
        sys.exit(f"{address} refused, sockets that listen:\n{sockets.stdout}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("host")
    parser.add_argument("port", type=int)
    parser.add_argument("pairs", type=int)
    parser.add_argument("--front", type=int, help="where clients connect to: a proxy")
    parser.add_argument("--client-port", type=int)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--buffer", type=int)
    parser.add_argument("--header", action="store_true", help="servers get a PROXY header, v1")
    parser.add_argument("--send-header", action="store_true", help="clients begin with one")
    parser.add_argument("--blocking", action="store_true")
    options = parser.parse_args()
    family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    limit_buffers(listener, options.buffer)
    listener.bind((options.host, options.port))
    listener.listen(1024)
    pairs = []
    for i in range(options.pairs):
        client = socket.socket(family)
        limit_buffers(client, options.buffer)
        if options.client_port:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            client.bind((options.host, options.client_port + i))
        connect(client, (options.host, options.front or options.port))
        if options.send_header:
            client.sendall(b"PROXY TCP4 192.0.2.1 192.0.2.2 1234 80\r\n")
        server = listener.accept()[0]
        while options.header and server.recv(1) != b"\n":
            pass
        for sock in (client, server):
            sock.setblocking(options.blocking)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        pairs.append(Pair(client, server, options.seed * 1000 + i))
    print("ready", flush=True)
    for line in sys.stdin:
        words = line.split()
        print(words[0], command(pairs, words), flush=True)


main()
