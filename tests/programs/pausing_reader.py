"""Both ends of flows through a proxy whose readers pause while their senders go on.

pausing_reader.py FRONT BACK FLOWS MEBIBYTES PAUSES SEED

Listens on BACK, connects to FRONT (both of 127.0.0.1), sends MEBIBYTES a flow in writes of random
sizes, and reads with PAUSES pauses of half a second. Says how long the slowest flow waited for its
next byte after a pause.
"""
import random
import socket
import sys
import threading
import time

PAUSE = 0.5
WRITES = (100, 1448, 1448, 1448, 4096, 65536)

front, back, flows, size, pauses, seed = (int(word) for word in sys.argv[1:])
size <<= 20
waits, failures = [], []


def read(connection, chance):
    stops = sorted(chance.randrange(size // 16, size * 3 // 4) for _ in range(pauses))
    count, wait, last = 0, 0.0, None
    with connection:
        while data := connection.recv(65536):
            now = time.monotonic()
            wait = max(wait, now - last if last else 0)
            count, last = count + len(data), now
            if stops and count > stops[0]:
                stops.pop(0)
                time.sleep(PAUSE)
                last = time.monotonic()
    waits.append(wait)
    if count != size:
        failures.append(f"{count} bytes of {size} came")


def write(chance):
    with socket.create_connection(("127.0.0.1", front)) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        piece, left = bytes(chance.choice(WRITES)), size
        while left:
            client.sendall(piece[:left])
            left -= min(left, len(piece))
        client.shutdown(socket.SHUT_WR)
        while client.recv(65536):
            pass


def chance(index):
    return random.Random(seed * 100000 + index)


listener = socket.create_server(("127.0.0.1", back), backlog=flows)
writers = [threading.Thread(target=write, args=(chance(index),)) for index in range(flows)]
for writer in writers:
    writer.start()
readers = []
for index in range(flows):
    reader = threading.Thread(target=read, args=(listener.accept()[0], chance(-index)))
    reader.start()
    readers.append(reader)
for thread in writers + readers:
    thread.join()
if failures:
    sys.exit(failures[0])
print(f"{max(waits) * 1000:.0f} ms")
