"""A TCP peer made by hand, behind a TUN device: it sends the segments that a test wants sent, not those
that a kernel would. The network between it and the kernel loses nothing and keeps the order.
"""
import fcntl
import os
import random
import select
import socket
import struct
import subprocess
import time

TUNSETIFF = 0x400454CA
IFF_TUN, IFF_NAPI, IFF_NO_PI = 0x0001, 0x0010, 0x1000
FIN, SYN, RST, ACK = 0x01, 0x02, 0x04, 0x10
SYN_OPTIONS = struct.pack("!BBHBBBB", 2, 4, 60000, 1, 3, 3, 7)  # MSS, window scale
PAYLOAD_MAX = 60000
TIMEOUT = 30

# Of the kernel and of the peer.
ADDRESSES = {4: ("192.0.2.1", "192.0.2.2"), 6: ("2001:db8::1", "2001:db8::2")}
FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}


class Failure(Exception):
    pass


class Reset(Failure):
    pass


class Tun:
    """The device, in a network namespace of the test's own. With `merge` the kernel makes one skb of
    segments that follow each other within 20 ms, and a larger one than any segment can be.
    """

    def __init__(self, merge=False):
        self.fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        flags = IFF_TUN | IFF_NO_PI | (IFF_NAPI if merge else 0)
        fcntl.ioctl(self.fd, TUNSETIFF, struct.pack("16sH22x", b"hand", flags))
        self.ip("addr", "add", ADDRESSES[4][0] + "/24", "dev", "hand")
        self.ip("addr", "add", ADDRESSES[6][0] + "/64", "dev", "hand", "nodad")
        self.ip("link", "set", "hand", "up", "mtu", "65535")
        if merge:
            self.ip("link", "set", "hand", "gro_max_size", "250000")
            subprocess.run(["unshare", "--mount", "sh", "-c", "mount -t sysfs sysfs /sys &&"
                            "echo 20000000 >/sys/class/net/hand/gro_flush_timeout"], check=True)

    @staticmethod
    def ip(*arguments):
        subprocess.run(["ip", *arguments], check=True)

    def read(self):
        """The next TCP segment from the kernel, None when there is none."""
        while True:
            try:
                packet = os.read(self.fd, 70000)
            except BlockingIOError:
                return None
            is_ipv4 = packet[0] >> 4 == 4
            if packet[9 if is_ipv4 else 6] == socket.IPPROTO_TCP:
                return packet[(packet[0] & 15) * 4 if is_ipv4 else 40:]

    def write(self, version, segment):
        kernel, own = (socket.inet_pton(FAMILIES[version], text) for text in ADDRESSES[version])
        pseudo = own + kernel + struct.pack("!II", len(segment), socket.IPPROTO_TCP)
        segment = segment[:16] + checksum(pseudo + segment) + segment[18:]
        if version == 4:
            header = struct.pack("!BBHIBB2x4s4s", 0x45, 0, 20 + len(segment), 0, 64,
                                 socket.IPPROTO_TCP, own, kernel)
            header = header[:10] + checksum(header) + header[12:]
        else:
            header = struct.pack("!IHBB16s16s", 6 << 28, len(segment), socket.IPPROTO_TCP, 64,
                                 own, kernel)
        os.write(self.fd, header + segment)


def checksum(data):
    total = sum(struct.unpack("!%dH" % (len(data) // 2), data[:len(data) & ~1]))
    if len(data) % 2:
        total += data[-1] << 8
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return struct.pack("!H", ~total & 0xFFFF)


def distance(seq, base):
    return ((seq - base + 2**31) & 0xFFFFFFFF) - 2**31


class Peer:
    """An end of a connection. Positions are those of bytes in a stream, from 0; a FIN is a byte."""

    def __init__(self, tun, version, port, remote_port=None):
        self.tun, self.version, self.port, self.remote_port = tun, version, port, remote_port
        # Sequence numbers that wrap soon, now and then.
        self.base = random.choice([random.getrandbits(32), 2**32 - random.randrange(1, 100000)])
        self.remote_base = None
        self.edge = 0  # up to here all was sent
        self.islands = []  # what was sent beyond
        self.acknowledged = -1
        self.received = bytearray()
        self.ended = False

    # ---- sending ----

    def emit(self, flags, position, payload=b"", options=b""):
        acknowledge = 0
        if self.remote_base is not None:
            flags |= ACK
            acknowledge = self.remote_base + len(self.received) + self.ended
        self.tun.write(self.version, struct.pack(
            "!HHIIBBHI", self.port, self.remote_port, (self.base + position) & 0xFFFFFFFF,
            acknowledge & 0xFFFFFFFF, (5 + len(options) // 4) << 4, flags, 0xFFFF, 0)
            + options + payload)

    def send(self, start, payload, fin=False):
        self.emit(FIN if fin else 0, start, payload)
        self.islands.append((start, start + len(payload) + fin))
        for begin, end in sorted(self.islands):
            if begin <= self.edge:
                self.edge = max(self.edge, end)
        self.islands = [island for island in self.islands if island[1] > self.edge]

    # ---- receiving ----

    def serve(self, seconds=0):
        """Take what the kernel has sent, and acknowledge it."""
        select.select([self.tun.fd], [], [], seconds)
        must_acknowledge = False
        while segment := self.tun.read():
            source, destination, seq, ack, offset, flags = struct.unpack_from("!HHIIBB", segment)
            if destination == self.port and source == (self.remote_port or source):
                self.remote_port = source
                must_acknowledge |= self.take(seq, ack, flags, segment[(offset >> 4) * 4:])
        if must_acknowledge:
            self.emit(0, self.edge)

    def take(self, seq, ack, flags, payload):
        if flags & RST:
            raise Reset("reset by the proxy")
        if flags & SYN:
            self.remote_base = (seq + 1) & 0xFFFFFFFF
            seq += 1
        if flags & ACK:
            self.acknowledged = max(self.acknowledged, distance(ack, self.base))
        position = distance(seq, self.remote_base)
        if position <= len(self.received):
            self.received += payload[len(self.received) - position:]
            self.ended |= bool(flags & FIN) and position + len(payload) == len(self.received)
        return bool(payload) or bool(flags & FIN)

    def wait(self, condition, what):
        end = time.monotonic() + TIMEOUT
        while not condition():
            if time.monotonic() > end:
                raise Failure(f"{what}: not within {TIMEOUT} s")
            self.serve(0.01)

    # ---- a connection's begin ----

    def connect(self):
        def answered():
            nonlocal again
            if time.monotonic() > again:  # an IPv6 address takes a moment until it is usable
                self.emit(SYN, -1, options=SYN_OPTIONS)
                again = time.monotonic() + 0.5
            return self.remote_base is not None
        again = 0
        self.wait(answered, "an answer to the SYN")
        self.emit(0, 0)

    def accept(self):
        self.wait(lambda: self.remote_base is not None, "a SYN")
        self.emit(SYN, -1, options=SYN_OPTIONS)
        self.wait(lambda: self.acknowledged == 0, "an answer to the SYN")
