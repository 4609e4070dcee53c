"""Whether anybody gets past proxyd, however short the moment.

  serve ADDRESS PORT          tell each client by which address and port it is seen
  connect ADDRESS PORT STOP [FROM]
                              connect until the file STOP is there, and an answer has come by proxyd;
                              fails when a server has seen this very socket. Where proxyd connects from
                              the same address, and may get the same port, FROM is another one

What is refused is tried again.
"""
import os
import socket
import sys


def serve(address, port):
    with socket.create_server((address, port), backlog=1000) as listening:
        print("ready", flush=True)
        while True:
            client, peer = listening.accept()
            with client:
                try:
                    client.sendall(f"{peer[0]} {peer[1]}\n".encode())
                except OSError:
                    pass


def seen(address, port, source):
    """How the server sees the client, and how that sees itself. Neither: no answer."""
    try:
        # Where nothing answers, or connect() itself gets the answer, SYNs are a second apart.
        with socket.create_connection((address, port), 0.05, source and (source, 0)) as client:
            client.settimeout(5)
            # To its end: who closes first keeps the port.
            answer = client.makefile("rb").read().decode().split()
            return answer, [str(part) for part in client.getsockname()]
    except OSError:
        return None, None


def connect(address, port, stop, source=""):
    refused = proxied = 0
    while not (proxied and os.path.exists(stop)):
        answer, own = seen(address, port, source)
        if not answer:
            refused += 1
        elif answer == own:
            sys.exit(f"past proxyd, after {refused} that were refused and {proxied} that were not")
        else:
            proxied += 1
    print(f"{refused} refused, {proxied} by proxyd")


if __name__ == "__main__":
    what, to, at, *rest = sys.argv[1:]
    {"serve": serve, "connect": connect}[what](to, int(at), *rest)
