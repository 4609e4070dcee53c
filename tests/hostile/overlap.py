"""Streams whose segments overlap: overlap.py up|down|huge FRONT BACK LANE FLOWS SEED

up    through a proxy that listens on port FRONT, to port BACK of 127.0.0.1
down  back from the upstream 192.0.2.2:BACK, to a client of port FRONT of 127.0.0.1
huge  as `up`, once: a retransmission that repeats more than the kernel lane can cut off

A retransmission need not be cut as the bytes were first: RFC 9293 (3.4, 3.10.7.4) has the receiver take
what is new to it. So does a proxy, whatever its bytes pass through.
"""
import random
import socket
import sys
import time

from hand_made import FAMILIES, PAYLOAD_MAX, TIMEOUT, Failure, Peer, Reset, Tun

IN_FLIGHT = 50000  # less than any first receive window
TURNS = 30         # that make a flow a dialogue, for `auto`


def length(most):
    """Of every order of magnitude."""
    return min(most, random.randrange(1, random.choice([20, 1448, 9000, PAYLOAD_MAX])))


def segments(begin, end):
    """Cut begin..end into segments, of which many repeat what was sent, or come too early."""
    edge = begin
    while edge < end:
        size = length(end - edge)
        back = length(min(edge, PAYLOAD_MAX - size) or 1) if edge else 0
        kind = random.randrange(6)
        if kind == 0:  # in order
            back = 0
        elif kind == 1:  # all of it old
            yield edge - back, edge
            continue
        elif kind == 2:  # with a hole in front, which is then filled by more than is missing
            gap = random.randrange(size)
            yield edge + gap, edge + size
            size = gap + random.randrange(size - gap + 1)
        elif kind == 3:  # in any order, overlapping each other
            for _ in range(random.randrange(2, 8)):
                start = random.randrange(size)
                yield edge + start, edge + start + random.randrange(1, size - start + 1)
        yield edge - back, edge + size
        edge += size


class Far:
    """The other end: a plain socket."""

    def __init__(self, connection):
        self.socket = connection
        self.socket.setblocking(False)
        self.received = bytearray()
        self.ended = self.reset = False

    def serve(self):
        try:
            while not self.ended and (data := self.socket.recv(65536)):
                self.received += data
            self.ended = True
        except BlockingIOError:
            pass
        except ConnectionResetError:
            self.ended = self.reset = True


def open_up(tun, front, back):
    with socket.create_server(("127.0.0.1", back)) as listener:
        version = random.choice([4, 6])
        peer = Peer(tun, version, random.randrange(20000, 60000), front)
        peer.connect()
        listener.settimeout(TIMEOUT)
        return peer, Far(listener.accept()[0])


def open_down(tun, front, back):
    client = socket.create_connection(("127.0.0.1", front), timeout=TIMEOUT)
    peer = Peer(tun, 4, back)
    peer.accept()
    return peer, Far(client)


def compare(far, stream):
    if stream.startswith(far.received):
        return
    for position, (got, expected) in enumerate(zip(far.received, stream)):
        if got != expected:
            raise Failure(f"wrong byte at {position} of {len(stream)}")
    raise Failure(f"{len(far.received) - len(stream)} bytes too many")


def wait(peer, far, condition, what):
    def served():
        far.serve()
        return condition()
    peer.wait(served, what)


def settle(peer, far, stream, most):
    """Wait until at most so many bytes are unacknowledged. What found no room is sent again."""
    before, since = peer.acknowledged, time.monotonic()

    def settled():
        nonlocal before, since
        if peer.acknowledged != before:
            before, since = peer.acknowledged, time.monotonic()
        elif time.monotonic() > since + 0.05:
            since = time.monotonic()
            peer.send(before, stream[before:min(peer.edge, before + length(PAYLOAD_MAX))])
        return peer.edge - peer.acknowledged <= most
    wait(peer, far, settled, "acknowledgements")


def talk(peer, far, stream):
    """Take turns, each in one segment."""
    position = 0
    for _ in range(TURNS):
        end = position + random.randrange(1, 100)
        peer.send(position, stream[position:end])
        position = end
        wait(peer, far, lambda: len(far.received) == position, "a turn")
        before = len(peer.received)
        far.socket.send(b"x" * 10)
        wait(peer, far, lambda: len(peer.received) == before + 10, "the other turn")
    return position


def flow(peer, far, lane):
    stream = random.randbytes(random.choice([5000, 50000, 400000]))
    begin = talk(peer, far, stream) if lane == "auto" else 0
    for start, end in segments(begin, len(stream)):
        peer.send(start, stream[start:end])
        settle(peer, far, stream, IN_FLIGHT)
    settle(peer, far, stream, 0)
    finish(peer, far, stream)


def finish(peer, far, stream):
    """The FIN alone, or behind bytes that are all old."""
    back = random.choice([0, length(min(len(stream), PAYLOAD_MAX))])
    peer.send(len(stream) - back, stream[len(stream) - back:], fin=True)
    wait(peer, far, lambda: far.ended, "the end")
    compare(far, stream)
    if far.reset:
        raise Failure("reset by the proxy")
    if len(far.received) != len(stream):
        raise Failure(f"the end after {len(far.received)} of {len(stream)} bytes")
    # The other direction is still open.
    before, answer = len(peer.received), random.randbytes(5000)
    far.socket.sendall(answer)
    far.socket.close()
    peer.wait(lambda: peer.ended, "the other end")
    if peer.received[before:] != answer:
        raise Failure("the answer is wrong")


def huge(tun, front, back):
    """Says whether the stream came out whole, or was reset. It must not go on with wrong bytes."""
    stream, size = random.randbytes(8000000), PAYLOAD_MAX
    with socket.create_server(("127.0.0.1", back)) as listener:
        peer = Peer(tun, 6, random.randrange(20000, 60000), front)
        peer.connect()
        far = Far(listener.accept()[0])
    try:
        while peer.edge < 6000000:  # the receive window grows meanwhile
            peer.send(peer.edge, stream[peer.edge:peer.edge + size - 1])
            settle(peer, far, stream, size)
        for _ in range(60):  # on a busy machine they are not always merged
            begin = peer.edge - 5 * size // 2
            for start in begin, begin + size, begin + 2 * size:
                peer.send(start, stream[start:start + size])
            settle(peer, far, stream, 0)
            time.sleep(0.02)
        finish(peer, far, stream[:peer.edge])
        print("whole")
    except Reset:
        while not far.ended:
            far.serve()
            time.sleep(0.01)
        compare(far, stream)
        print("reset" if far.reset else "an end for the one, a reset for the other")


def main():
    direction, front, back, lane, flows, seed = sys.argv[1:]
    tun = Tun(merge=direction == "huge")
    if direction == "huge":
        huge(tun, int(front), int(back))
        return
    for number in range(int(flows)):
        random.seed(f"{seed} {number}")
        opener = open_up if direction == "up" else open_down
        try:
            peer, far = opener(tun, int(front), int(back))
            flow(peer, far, lane)
        except (Failure, OSError) as failure:
            sys.exit(f"flow {number} of seed {seed}: {failure!r}")
    print("passed", flows)


main()
