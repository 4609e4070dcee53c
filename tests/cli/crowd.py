#!/usr/bin/env python3
"""crowd.py PORT COUNT HOST:PORT...: serves at 127.0.0.1:PORT, silently, and opens COUNT connections, to the
addresses in turn, with a byte on each. It writes the address of each one's own end, then "all". They stay
until standard input ends; until then others come and go."""
import resource
import selectors
import socket
import sys
import threading

CHURN = 20


def serve(listener):
    selector = selectors.DefaultSelector()
    selector.register(listener, selectors.EVENT_READ)
    while True:
        for key, _ in selector.select():
            if key.fileobj is listener:
                selector.register(listener.accept()[0], selectors.EVENT_READ)
            elif not key.fileobj.recv(1024):
                selector.unregister(key.fileobj)
                key.fileobj.close()


def connect(address):
    host, port = address.rsplit(":", 1)
    connection = socket.create_connection((host.strip("[]"), int(port)), timeout=60)
    connection.sendall(b"x")
    return connection


def own_end(connection):
    host, port = connection.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
port, count, addresses = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
server = socket.create_server(("127.0.0.1", port), backlog=1024)
threading.Thread(target=serve, args=(server,), daemon=True).start()
crowd = [connect(addresses[i % len(addresses)]) for i in range(count)]
print("\n".join(map(own_end, crowd)), "all", sep="\n", flush=True)
ended = threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
while not ended.wait(0.01):
    for passer in [connect(address) for address in addresses for _ in range(CHURN)]:
        passer.close()
