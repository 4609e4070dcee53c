"""Connections that are over as soon as they have begun: leftovers.py FRONT BACK COUNT

Clients of port FRONT of 127.0.0.1 which leave in every way, most of them before they were accepted; a
server on port BACK that leaves as rudely. Nothing of what they say matters.
"""
import random
import socket
import struct
import sys
import threading

HARD = struct.pack("ii", 1, 0)  # SO_LINGER: close with a RST
CLIENTS = 4                     # threads


def leave(connection, how):
    try:
        if how & 1:
            connection.send(b"x" * random.choice([1, 5000]))
        if how & 2:
            connection.shutdown(socket.SHUT_WR)
        if how & 4:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, HARD)
    except OSError:
        pass
    connection.close()


def serve(listener):
    while True:
        connection, _ = listener.accept()
        leave(connection, random.randrange(8))


def visit(front, count):
    for number in range(count):
        client = socket.socket()
        client.connect(("127.0.0.1", front))
        # Half of them are reset without a word.
        leave(client, 4 if number % 2 else random.randrange(8))


def main():
    front, back, count = map(int, sys.argv[1:])
    listener = socket.create_server(("127.0.0.1", back), backlog=1000)
    threading.Thread(target=serve, args=(listener,), daemon=True).start()
    clients = [threading.Thread(target=visit, args=(front, count // CLIENTS))
               for _ in range(CLIENTS)]
    for client in clients:
        client.start()
    for client in clients:
        client.join()


main()
