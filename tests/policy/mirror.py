"""Clients, and the two servers that get what they send.

mirror.py first PORT                 returns what it gets, and the end of the stream too
mirror.py shadow PORT HOW [FILE]     the mirror, whose answers nobody must see; HOW:
                                       keep         reads as fast as it can
                                       slow         64 KiB a second
                                       hold         accepts, reads nothing
                                       reset        sends a RST after the first bytes
                                     Each says "DIGEST SIZE end|reset" of every connection that it
                                     has read up to there. FILE, where it is there, is told how many
                                     bytes of one connection alone.
mirror.py send PORT COUNT MAX SEED   clients, four at a time: each sends up to MAX random bytes in
                                     random pieces, half-closes and expects them all back. Says
                                     "DIGEST SIZE end" of each.
mirror.py stream PORT SIZE [FILE]    one client: SIZE bytes. Says the same, and how many milliseconds
                                     it took. With FILE it does not go far ahead of the mirror.
mirror.py cut PORT SIZE              one client: sends SIZE bytes, then a RST when they have come back

Ports are those of 127.0.0.1.
"""
import concurrent.futures
import hashlib
import os
import random
import socket
import struct
import sys
import threading
import time

NOISE = b"not for the client" * 100
AHEAD = 1 << 16  # far less than is buffered for a mirror


def say(*words):
    sys.stdout.write(" ".join(str(word) for word in words) + "\n")
    sys.stdout.flush()


def serve(port, handle, *arguments):
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen(128)
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=handle, args=(connection, *arguments), daemon=True).start()


def first(connection):
    with connection:
        try:
            while data := connection.recv(1 << 18):
                connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
        except OSError:
            pass


def abort(connection):
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def note(file, size):
    with open(file + ".next", "w") as out:
        out.write(str(size))
    os.replace(file + ".next", file)


def noted(file):
    with open(file) as told:
        return int(told.read())


def shadow(connection, how, file=None):
    digest, size, end = hashlib.sha256(), 0, "end"
    if how == "hold":
        time.sleep(1000)
    with connection:
        try:
            while data := connection.recv(1 << 16):
                digest.update(data)
                size += len(data)
                if file and os.path.exists(file):
                    note(file, size)
                if how == "reset":
                    abort(connection)
                    return
                if how == "slow":
                    time.sleep(1)
                connection.send(NOISE, socket.MSG_DONTWAIT)
        except BlockingIOError:
            end = "blocked"
        except OSError:
            end = "reset"
    say(digest.hexdigest(), size, end)


def connect(port):
    client = socket.create_connection(("127.0.0.1", port), timeout=60)
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return client


class Reader(threading.Thread):
    """Takes what comes back meanwhile, or both sides would wait for each other."""

    def __init__(self, client):
        super().__init__(daemon=True)
        self.client, self.digest, self.size = client, hashlib.sha256(), 0
        self.start()

    def run(self):
        try:
            while data := self.client.recv(1 << 18):
                self.digest.update(data)
                self.size += len(data)
        except OSError as error:
            say("failed:", error)

    def expect(self, digest, size):
        self.client.shutdown(socket.SHUT_WR)
        self.join(60)
        if self.is_alive() or self.digest.digest() != digest.digest():
            say(f"failed: {size} bytes were sent, {self.size} came back, or others")
            os._exit(1)


def send_one(port, most, seed):
    rng = random.Random(seed)
    data = rng.randbytes(rng.choice((0, 1, rng.randrange(1, 1000), rng.randrange(1, most + 1))))
    at = 0
    with connect(port) as client:
        reader = Reader(client)
        while at < len(data):
            piece = rng.choice((1, 100, 1448, 70000, 300000))
            client.sendall(data[at : at + piece])
            at += piece
            if rng.random() < 0.1:
                time.sleep(0.002)
        digest = hashlib.sha256(data)
        reader.expect(digest, len(data))
    return digest.hexdigest(), len(data)


def send(port, count, most, seed):
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        for digest, size in pool.map(lambda i: send_one(port, most, seed + i), range(count)):
            say(digest, size, "end")


def stream(port, size, file=None):
    data = random.randbytes(AHEAD if file else 1 << 20)
    digest, sent, start = hashlib.sha256(), 0, time.monotonic()
    with connect(port) as client:
        reader = Reader(client)
        while sent < size:
            client.sendall(data)
            digest.update(data)
            sent += len(data)
            while file and noted(file) < sent - AHEAD:
                time.sleep(0.002)
        reader.expect(digest, sent)
    say(digest.hexdigest(), sent, "end", round((time.monotonic() - start) * 1000))


def cut(port, size):
    client = connect(port)
    client.sendall(b"x" * size)
    while size:
        size -= len(client.recv(size))
    time.sleep(0.2)
    abort(client)


def main(mode, port, *arguments):
    port = int(port)
    if mode == "first":
        serve(port, first)
    elif mode == "shadow":
        serve(port, shadow, *arguments)
    else:
        modes = {"send": send, "stream": stream, "cut": cut}
        modes[mode](port, *(int(word) if word.isdigit() else word for word in arguments))


main(*sys.argv[1:])
