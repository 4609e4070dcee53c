"""rate.py HOST FRONT BACK up|down FLOWS SECONDS

Servers and clients of FLOWS connections through proxyd, each of which sends all it can in one
direction. Says how many bytes a second came through, all together, in the first half second and
after it, and the least and the most that one connection had, in percent of its equal part.
"""
import socket
import sys
import threading
import time

WARM_UP = 0.5


def connections(host, front, back, count):
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((host, back))
    listener.listen(count)
    listener.settimeout(60)
    for _ in range(count):
        client = socket.create_connection((host, front), timeout=60)
        server, _ = listener.accept()
        yield client, server


class Receiver(threading.Thread):
    def __init__(self, connection):
        super().__init__(daemon=True)
        self.connection, self.bytes = connection, 0

    def run(self):
        while data := self.connection.recv(1 << 18):
            self.bytes += len(data)


def send(connection):
    try:
        while True:
            connection.send(bytes(1 << 16))
    except OSError:
        pass


def look(receivers):
    """When, and what they have; once more where this process lost its processor meanwhile."""
    for _ in range(1000):
        before, counts = time.monotonic(), [receiver.bytes for receiver in receivers]
        if time.monotonic() - before < 0.01:
            break
    return before, counts


def main(host, front, back, direction, flows, seconds):
    pairs = list(connections(host, int(front), int(back), int(flows)))
    ends = [(client, server) if direction == "up" else (server, client) for client, server in pairs]
    receivers = [Receiver(receiver) for _, receiver in ends]
    start = time.monotonic()
    for receiver, (sender, _) in zip(receivers, ends):
        receiver.start()
        threading.Thread(target=send, args=(sender,), daemon=True).start()
    time.sleep(WARM_UP)
    warm, before = look(receivers)
    time.sleep(float(seconds))
    end, after = look(receivers)
    span = end - warm
    each = [late - early for early, late in zip(before, after)]
    part = max(sum(each) / len(each), 1)
    print(round(sum(before) / (warm - start)), round(sum(each) / span), end=" ")
    print(round(100 * min(each) / part), round(100 * max(each) / part), flush=True)


main(*sys.argv[1:])
