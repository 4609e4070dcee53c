"""Small peers for the shell tests.

peer.py echo PORT               server: returns what it gets, and the end of the stream too
peer.py greet PORT              server: says a byte to each, who stays until he says something, too
peer.py full PORT               server: never accepts; its queue is full, so SYNs are dropped
peer.py leave PORT fin|reset    server: reads a little, then leaves
peer.py knock PORT COUNT        clients, one after the other: each leaves at once
peer.py send PORT SECONDS|FILE  client of an echo server: exchanges random bytes for so long, or until
                                the file is there, but some in any case; then half-closes
peer.py hold PORT               client of an echo server: one exchange, then waits until it is cut off
peer.py half-close PORT         client of an echo server: says all and shuts down at once, then reads
peer.py reset PORT FILE         client: connects, leaves with a RST when the file is there
peer.py closed PORT [BYTES]     client: how long until the connection is closed on it
peer.py crowd PORT COUNT        clients of an echo server, all at once: each stays until it was
                                answered and nobody else is any more

Each says on standard output where it is; lines are flushed. Ports are those of 127.0.0.1.
"""
import hashlib
import os
import selectors
import socket
import struct
import sys
import threading
import time


def say(*words):
    print(*words, flush=True)


def listen(port, backlog):
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen(backlog)
    return listener


def connect(port):
    client = socket.create_connection(("127.0.0.1", port), timeout=60)
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return client


def answer(connection):
    with connection:
        try:
            while data := connection.recv(65536):
                connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
        except OSError:
            pass


def welcome(connection):
    with connection:
        connection.sendall(b"x")
        connection.recv(1)


def serve(port, target):
    listener = listen(port, 128)
    while True:
        threading.Thread(target=target, args=(listener.accept()[0],), daemon=True).start()


def echo(port):
    serve(port, answer)


def greet(port):
    serve(port, welcome)


def full(port):
    listener = listen(port, 0)
    fillers = [socket.socket() for _ in range(8)]
    for filler in fillers:
        filler.setblocking(False)
        filler.connect_ex(listener.getsockname())
    time.sleep(0.2)
    say("full")
    while True:
        time.sleep(60)


def leave(port, how):
    listener = listen(port, 128)
    while True:
        connection, _ = listener.accept()
        connection.recv(1)
        if how == "reset":
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()


def knock(port, count):
    for _ in range(int(count)):
        try:
            connect(port).close()
        except ConnectionError:
            pass
    say("knocked")


def receive(client, received):
    try:
        while data := client.recv(65536):
            received.update(data)
    except OSError as error:
        say("failed:", error)


def send(port, until):
    client, sent, received = connect(port), hashlib.sha256(), hashlib.sha256()
    reader = threading.Thread(target=receive, args=(client, received))
    reader.start()
    count, least = 0, 20 * 20000
    if "/" in until:
        over = lambda: os.path.exists(until)
    else:
        end = time.monotonic() + float(until)
        over = lambda: time.monotonic() >= end
    while count < least or not over():
        data = os.urandom(20000)
        client.sendall(data)
        sent.update(data)
        count += len(data)
        if count == len(data):
            say("sending")
        time.sleep(0.01)
    client.shutdown(socket.SHUT_WR)
    reader.join(60)
    if reader.is_alive() or sent.digest() != received.digest():
        say("failed: not what was sent came back")
        sys.exit(1)
    say("verified", count)


def hold(port):
    client = connect(port)
    client.sendall(b"hello")
    if client.recv(5, socket.MSG_WAITALL) != b"hello":
        sys.exit("no echo")
    say("held")
    client.settimeout(60)
    wait_for_close(client, time.monotonic())


def wait_for_close(client, start):
    try:
        data = client.recv(1)
        how = "data" if data else "end"
    except ConnectionResetError:
        how = "reset"
    except TimeoutError:
        how = "open"
    say(how, round((time.monotonic() - start) * 1000))


def half_close(port):
    client, data = connect(port), os.urandom(100000)
    client.sendall(data)
    client.shutdown(socket.SHUT_WR)
    received = hashlib.sha256()
    receive(client, received)
    if received.digest() != hashlib.sha256(data).digest():
        sys.exit("failed: not what was sent came back")
    say("verified", len(data))


def reset(port, file):
    client = connect(port)
    while not os.path.exists(file):
        time.sleep(0.02)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


def closed(port, count="0"):
    start = time.monotonic()
    try:
        client = connect(port)
    except ConnectionResetError:
        say("reset", 0)
        return
    try:
        client.sendall(b"x" * int(count))
    except OSError:
        pass
    wait_for_close(client, start)


def crowd(port, count):
    with selectors.DefaultSelector() as waiting:
        for number in range(int(count)):
            client = connect(port)
            client.sendall(b"%08d" % number)
            waiting.register(client, selectors.EVENT_READ, b"%08d" % number)
        say("connected", count)
        while waiting.get_map():
            answered = []
            while waiting.get_map() and (ready := waiting.select(3 if answered else 60)):
                for key, _ in ready:
                    if key.fileobj.recv(8, socket.MSG_WAITALL) != key.data:
                        sys.exit("failed: not what was sent came back")
                    waiting.unregister(key.fileobj)
                    answered.append(key.fileobj)
            if not answered:
                sys.exit("failed: nobody is answered any more")
            say("answered", len(answered))
            for client in answered:
                client.close()
    say("done")


if __name__ == "__main__":
    commands = {
        "echo": echo, "full": full, "send": send, "hold": hold, "half-close": half_close,
        "reset": reset, "closed": closed, "crowd": crowd, "leave": leave, "knock": knock,
        "greet": greet,
    }
    commands[sys.argv[1]](int(sys.argv[2]), *sys.argv[3:])
