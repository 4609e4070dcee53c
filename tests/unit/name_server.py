"""An authoritative name server (RFC 1035) that is told what to say, a line at a time:

set NAME TYPE TTL DATA[,DATA...]   A, AAAA, CNAME, or SRV with "PRIORITY WEIGHT PORT TARGET"
nothing NAME TYPE TTL              no such record; the SOA says for how long
gone NAME TTL                      no such name
fail NAME                          SERVFAIL, whatever is set; "heal NAME" ends that
break NAME TYPE                    SERVFAIL for this type
mute NAME                          no answer at all; "heal NAME" ends that
slow NAME MS                       answers late
cut NAME                           by UDP the answer is truncated
many COUNT TTL                     hN.many.test for N below COUNT is 127.1.(N/250).(N%250+1)
count [NAME [TYPE]]                queries since the last count of all, by UDP and TCP
tcp                                queries by TCP, ever

UDP and TCP on a port of 127.0.0.1. "ready PORT" comes first; each line is answered with one.
"""
import socket
import struct
import sys
import threading
import time

TYPES = {"A": 1, "CNAME": 5, "AAAA": 28, "SRV": 33}
OPT, SOA = 41, 6
SERVFAIL, NXDOMAIN = 2, 3


def encode_name(name):
    labels = [label.encode() for label in name.strip(".").split(".") if label]
    return b"".join(bytes([len(label)]) + label for label in labels) + b"\0"


def encode_data(kind, text):
    if kind == "A":
        return socket.inet_pton(socket.AF_INET, text)
    if kind == "AAAA":
        return socket.inet_pton(socket.AF_INET6, text)
    if kind == "CNAME":
        return encode_name(text)
    priority, weight, port, target = text.split()
    return struct.pack(">HHH", int(priority), int(weight), int(port)) + encode_name(target)


def record(name, kind, ttl, data):
    return encode_name(name) + struct.pack(">HHIH", kind, 1, ttl, len(data)) + data


def soa(ttl):
    data = encode_name("ns.test") + encode_name("admin.test") + struct.pack(">IIIII", 1, 2, 3, 4, ttl)
    return record("test", SOA, ttl, data)


class Zone:
    def __init__(self):
        self.records = {}  # (name, type): (ttl, [data])
        self.gone, self.failing, self.mute, self.cut, self.slow = {}, set(), set(), set(), {}
        self.many, self.many_ttl = 0, 0
        self.lock = threading.Lock()
        self.counts, self.by_tcp = {}, 0

    def address_of_many(self, name):
        head, _, rest = name.partition(".")
        if rest != "many.test" or not head[1:].isdigit() or int(head[1:]) >= self.many:
            return None
        number = int(head[1:])
        return "127.1.%d.%d" % (number // 250, number % 250 + 1)

    def find(self, name, kind):
        """Response code, answers, authority."""
        answers = []
        for _ in range(8):
            if name in self.gone:
                return NXDOMAIN, answers, [soa(self.gone[name])]
            address = self.address_of_many(name)
            if address:
                found = (self.many_ttl, [address] if kind == "A" else [])
            else:
                found = self.records.get((name, kind))
            if found:
                ttl, data = found
                answers += [record(name, TYPES[kind], ttl, encode_data(kind, d)) for d in data]
                return 0, answers, [] if data else [soa(ttl)]
            alias = self.records.get((name, "CNAME"))
            if not alias:
                break
            answers.append(record(name, TYPES["CNAME"], alias[0], encode_name(alias[1][0])))
            name = alias[1][0]
        known = any(key[0] == name for key in self.records)
        return 0 if known else NXDOMAIN, answers, [soa(1)]

    def answer(self, query, tcp):
        """The message that answers `query`, or None; and after how many ms."""
        number, _, questions = struct.unpack(">HHH", query[:6])
        labels, at = [], 12
        while query[at]:
            labels.append(query[at + 1:at + 1 + query[at]].decode())
            at += 1 + query[at]
        name = ".".join(labels).lower()
        code = struct.unpack(">H", query[at + 1:at + 3])[0]
        question = query[12:at + 5]
        kind = {v: k for k, v in TYPES.items()}.get(code, "?")
        with self.lock:
            self.counts[(name, kind)] = self.counts.get((name, kind), 0) + 1
            self.by_tcp += tcp
        if name in self.mute or questions != 1:
            return None, 0
        delay = self.slow.get(name, 0)
        flags = 0x8580
        if name in self.failing or (name, kind) in self.failing:
            return struct.pack(">HHHHHH", number, flags | SERVFAIL, 1, 0, 0, 0) + question, delay
        rcode, answers, authority = self.find(name, kind)
        room = 65535 if tcp else self.room_of(query[at + 5:])
        body = b"".join(answers + authority)
        if not tcp and (name in self.cut or 12 + len(question) + len(body) > room):
            return struct.pack(">HHHHHH", number, flags | 0x200, 1, 0, 0, 0) + question, delay
        head = struct.pack(">HHHHHH", number, flags | rcode, 1, len(answers), len(authority), 0)
        return head + question + body, delay

    @staticmethod
    def room_of(additional):
        if len(additional) >= 11 and struct.unpack(">H", additional[1:3])[0] == OPT:
            return max(512, struct.unpack(">H", additional[3:5])[0])
        return 512

    def command(self, line):
        words = line.split(None, 4)
        name = words[1].lower() if len(words) > 1 else ""
        if words[0] == "set":
            data = [d.strip() for d in words[4].split(",")]
            self.records[(name, words[2])] = (int(words[3]), data)
            self.gone.pop(name, None)
        elif words[0] == "nothing":
            self.records[(name, words[2])] = (int(words[3]), [])
        elif words[0] == "gone":
            self.gone[name] = int(words[2])
        elif words[0] in ("fail", "mute", "cut"):
            {"fail": self.failing, "mute": self.mute, "cut": self.cut}[words[0]].add(name)
        elif words[0] == "break":
            self.failing.add((name, words[2]))
        elif words[0] == "slow":
            self.slow[name] = int(words[2])
        elif words[0] == "heal":
            self.failing.discard(name)
            self.mute.discard(name)
        elif words[0] == "many":
            self.many, self.many_ttl = int(words[1]), int(words[2])
        elif words[0] == "tcp":
            return self.by_tcp
        elif words[0] == "count":
            with self.lock:
                count = sum(n for (host, kind), n in self.counts.items()
                            if name in ("", host) and (len(words) < 3 or words[2] == kind))
                if not name:
                    self.counts = {}
            return count
        return "ok"


def later(delay, act, *arguments):
    if delay:
        threading.Timer(delay / 1000, act, arguments).start()
    else:
        act(*arguments)


def serve_udp(zone, server):
    while True:
        query, peer = server.recvfrom(4096)
        message, delay = zone.answer(query, False)
        if message:
            later(delay, server.sendto, message, peer)


def read_exactly(connection, length):
    data = b""
    while len(data) < length:
        more = connection.recv(length - len(data))
        if not more:
            raise ConnectionError
        data += more
    return data


def serve_connection(zone, connection):
    try:
        while True:
            length = struct.unpack(">H", read_exactly(connection, 2))[0]
            message, delay = zone.answer(read_exactly(connection, length), True)
            time.sleep(delay / 1000)
            if message:
                framed = struct.pack(">H", len(message)) + message
                for part in (framed[:1], framed[1:7], framed[7:]):
                    connection.sendall(part)
    except OSError:
        connection.close()


def serve_tcp(zone, listener):
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=serve_connection, args=(zone, connection), daemon=True).start()


def listen():
    """The same port of both protocols."""
    while True:
        listener, server = socket.socket(), socket.socket(type=socket.SOCK_DGRAM)
        listener.bind(("127.0.0.1", 0))
        try:
            server.bind(listener.getsockname())
        except OSError:
            continue
        listener.listen(16)
        return listener, server


def main():
    zone = Zone()
    listener, server = listen()
    threading.Thread(target=serve_udp, args=(zone, server), daemon=True).start()
    threading.Thread(target=serve_tcp, args=(zone, listener), daemon=True).start()
    print("ready", server.getsockname()[1], flush=True)
    for line in sys.stdin:
        print(zone.command(line), flush=True)


main()
