"""limits.py SCENARIO PORT [PORT]

Clients that meet a listener's limits. Each scenario says what went wrong, if anything did, and ends
with status 1 then. Addresses are those of 127.0.0.0/8; behind proxyd there is an echo server.
"""
import os
import socket
import sys
import time

PORT = 0
LATE = 15  # seconds: so late is too late, on a busy machine


def expect(condition, *what):
    if not condition:
        sys.exit(" ".join(str(word) for word in what))


class Client:
    """A connection that has said something at once."""

    def __init__(self, source="127.0.0.1", port=None, host="127.0.0.1", data=b"hello"):
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.data = data
        self.answer = b""
        self.socket = socket.socket(family)
        if family == socket.AF_INET:
            self.socket.bind((source, 0))
        self.socket.settimeout(LATE)
        self.fate = None
        try:
            self.socket.connect((host, port or PORT))
            self.socket.sendall(data)
        except ConnectionError:
            self.fate = "closed"

    def wait(self, seconds=LATE):
        """What became of it: "served", "closed", or "waits"."""
        if self.fate:
            return self.fate
        self.socket.settimeout(seconds)
        try:
            while len(self.answer) < len(self.data):
                piece = self.socket.recv(65536)
                if not piece:
                    return "closed"
                self.answer += piece
        except ConnectionError:
            return "closed"
        except TimeoutError:
            return "waits"
        expect(self.answer == self.data, "not what was sent came back")
        return "served"

    def close(self):
        self.socket.close()


def fates(clients, seconds=LATE):
    return [client.wait(seconds) for client in clients]


def settle():
    """Give proxyd time to notice that clients have left."""
    time.sleep(0.3)


def served_soon(what, *arguments):
    """Where nobody waits for a place: it is free when proxyd has noticed that its client has left."""
    end = time.monotonic() + LATE
    while Client(*arguments).wait() != "served":
        expect(time.monotonic() < end, what)
        time.sleep(0.05)


def access(v6_port):
    expect(Client("127.0.0.1").wait() == "served", "127.0.0.1 is allowed")
    expect(Client("127.1.2.3").wait() == "served", "127.1.2.3 is allowed")
    expect(Client("127.9.0.1").wait() == "closed", "127.9.0.1 is denied")
    expect(Client("127.77.0.1").wait() == "closed", "127.77.0.1 is not allowed")
    # Through an IPv6 socket the same addresses come as mapped ones.
    expect(Client("127.1.2.3", v6_port).wait() == "served", "127.1.2.3 is allowed, mapped")
    expect(Client("127.9.0.1", v6_port).wait() == "closed", "127.9.0.1 is denied, mapped")
    expect(Client(port=v6_port, host="::1").wait() == "closed", "::1 is not allowed")


def reject():
    clients = [Client(f"127.0.0.{i}") for i in range(1, 4)]
    expect(fates(clients) == ["served"] * 3, "as many as may be")
    start = time.monotonic()
    expect(Client().wait() == "closed", "one more")
    expect(time.monotonic() - start < LATE / 2, "it is closed late")
    clients.pop().close()
    served_soon("in the place of one who left")
    served_soon("in the place of one who was dropped")


def first_served(one, other, workers):
    """Each worker serves its own in the order in which they came; of two workers, either may be first."""
    end = time.monotonic() + LATE
    while time.monotonic() < end:
        if one.wait(0.05) == "served":
            return one, other
        if workers > 1 and other.wait(0.05) == "served":
            return other, one
    sys.exit("nobody is served in the place of one who left")


def queue(workers):
    clients = [Client() for _ in range(2)]
    expect(fates(clients) == ["served"] * 2, "as many as may be")
    # What it says while it waits gets through, and nothing twice.
    data = os.urandom(200000)
    third = Client(data=data)
    fourth = Client()
    expect(fates([third, fourth], 0.3) == ["waits"] * 2, "two more wait")
    start = time.monotonic()
    clients.pop().close()
    served, waiting = first_served(third, fourth, workers)
    expect(time.monotonic() - start < LATE / 2, "it is served late")
    expect(waiting.wait(0.2) == "waits", "only one is let in")
    served.close()
    expect(waiting.wait() == "served", "the other one is next")
    waiting.close()
    settle()
    # One who leaves the queue takes no place.
    second = Client()
    expect(second.wait() == "served", "the second place")
    impatient = Client()
    expect(impatient.wait(0.3) == "waits", "no third place")
    impatient.close()
    settle()
    patient = Client()
    second.close()
    expect(patient.wait() == "served", "behind one who left the queue")


def queue_timeout(milliseconds):
    clients = [Client() for _ in range(2)]
    expect(fates(clients) == ["served"] * 2, "as many as may be")
    start = time.monotonic()
    expect(Client().wait() == "closed", "one more waits in vain")
    waited = (time.monotonic() - start) * 1000
    expect(milliseconds - 50 <= waited <= milliseconds + LATE * 1000, "waited", waited, "ms")


def per_source():
    mine = [Client("127.0.0.2") for _ in range(3)]
    expect(sorted(fates(mine)) == ["closed", "served", "served"], "two of one source")
    others = [Client(f"127.0.1.{i}") for i in range(1, 20)]
    expect(fates(others) == ["served"] * 19, "one each of others")
    for client in mine:
        client.close()
    served_soon("again, when the two have left", "127.0.0.2")


def rate():
    start = time.monotonic()
    clients = [Client("127.0.0.2") for _ in range(30)]
    other = Client("127.0.0.3")
    served = fates(clients).count("served")
    elapsed = time.monotonic() - start
    # 5 a second, and 5 beyond.
    expect(6 <= served <= 7 + 5 * elapsed, served, "served in", elapsed)
    expect(other.wait() == "served", "another source")
    time.sleep(0.5)
    again = fates([Client("127.0.0.2") for _ in range(10)]).count("served")
    elapsed = time.monotonic() - start
    expect(1 <= again <= 7 + 5 * elapsed - served, again, "more served within", elapsed)


def rate_queue():
    start = time.monotonic()
    clients = [Client() for _ in range(15)]
    expect(fates(clients) == ["served"] * 15, "all in their turn")
    elapsed = time.monotonic() - start
    # 6 at once, 9 at 5 a second.
    expect(1.6 <= elapsed <= 1.8 + LATE, elapsed, "seconds")


def hold(count):
    """Stay until standard input ends."""
    clients = [Client() for _ in range(count)]
    print("open", flush=True)
    sys.stdin.read()
    print(*fates(clients, LATE / 3), flush=True)


def main(scenario, port, *arguments):
    global PORT
    PORT = int(port)
    scenarios = {
        "access": access,
        "reject": reject,
        "queue": queue,
        "queue_timeout": queue_timeout,
        "per_source": per_source,
        "rate": rate,
        "rate_queue": rate_queue,
        "hold": hold,
    }
    scenarios[scenario](*(int(argument) for argument in arguments))


main(*sys.argv[1:])
