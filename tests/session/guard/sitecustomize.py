"""Python imports this by itself when it starts: no connection but to this machine, and a record.

An audit hook sees every socket call of every Python library, and cannot be taken off again.
"""

import ipaddress
import os
import sys

RECORD = os.environ["GUARD_RECORD"]
HOST_AT = {  # audit event -> where its arguments hold the host or the address
    "socket.connect": 1,
    "socket.sendto": 1,
    "socket.sendmsg": 1,
    "socket.getaddrinfo": 0,
    "socket.gethostbyname": 0,
    "socket.gethostbyaddr": 0,
}


def is_here(host: object) -> bool:
    if host in (None, "", b"", "localhost", b"localhost"):
        return True
    try:
        return ipaddress.ip_address(host.decode() if isinstance(host, bytes) else host).is_loopback
    except ValueError:
        return False


def guard(event: str, arguments: tuple) -> None:
    if event not in HOST_AT:
        return
    place = arguments[HOST_AT[event]]
    if event in ("socket.connect", "socket.sendto", "socket.sendmsg"):
        if not isinstance(place, tuple):  # a Unix socket, or one that is connected already
            return
        place = place[0]
    if not is_here(place):
        with open(RECORD, "a") as file:
            file.write(f"{event} {place} from {sys.argv[:1]}\n")
        raise OSError(f"the test forbids {event} to {place}")


sys.addaudithook(guard)
