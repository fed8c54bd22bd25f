"""A name server for tests: says that one host is this machine, and writes down what it was asked.

usage: names.py ADDRESS HOST FILE
"""

import socket
import struct
import sys
from pathlib import Path

A = 1


def answer(query: bytes, host: str) -> tuple[bytes, str]:
    """The answer to a query with one question, and the name that it asks for."""
    labels, at = [], 12
    while query[at]:
        labels.append(query[at + 1 : at + 1 + query[at]].decode())
        at += 1 + query[at]
    name = ".".join(labels)
    (kind,) = struct.unpack_from("!H", query, at + 1)
    known, has = name == host, name == host and kind == A
    flags = 0x8180 if known else 0x8183
    head = query[:2] + struct.pack("!5H", flags, 1, int(has), 0, 0) + query[12 : at + 5]
    record = struct.pack("!HHHIH4s", 0xC00C, A, 1, 60, 4, socket.inet_aton("127.0.0.1")) if has else b""
    return head + record, name


def main(address: str, host: str, asked: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server, asked.open("a", buffering=1) as log:
        server.bind((address, 53))
        print("ready", flush=True)
        while True:
            query, peer = server.recvfrom(512)
            reply, name = answer(query, host)
            log.write(f"{name}\n")
            server.sendto(reply, peer)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
