"""VMs that speak datagrams, as a process of their own: Unix datagram sockets that do what each line of stdin says.

A line is a JSON object: `do` names what, `peer` the socket. The answer is a line, too, {"error": NAME} where it failed.
Frames are base64 of a framed run, each behind its length, 32 bits big-endian. test/helpers/datagrams.ts is the other end.
"""

import array
import base64
import errno
import json
import os
import socket
import struct
import sys

PATIENCE = 60
MOST = 1 << 17

peers = {}
held = {}


def address_of(text):
    return "\0" + text[1:] if text.startswith("@") else text


def frames_of(run):
    run = base64.b64decode(run)
    at = 0
    while at < len(run):
        (length,) = struct.unpack_from(">I", run, at)
        yield run[at + 4 : at + 4 + length]
        at += 4 + length


def answer_of(frames):
    run = b"".join(struct.pack(">I", len(frame)) + frame for frame in frames)
    return {"run": base64.b64encode(run).decode()}


def keep(name, sock):
    sock.settimeout(PATIENCE)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    peers[name] = sock


def bind(peer, path=None):
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    if path is not None:
        sock.bind(address_of(path))
    keep(peer, sock)


def tie(peer, to):
    peers[peer].connect(address_of(to))


def send(peer, run, to=None):
    for frame in frames_of(run):
        if to is None:
            peers[peer].send(frame)
        else:
            peers[peer].sendto(frame, address_of(to))


def mix(frames):
    """Frames of several peers, in the order of the list: [peer, run of one frame, where to or null]."""
    for peer, run, to in frames:
        send(peer, run, to)


def receive(peer, count):
    return answer_of([peers[peer].recv(MOST) for _ in range(count)])


def drain(peer):
    """What is there now."""
    frames = []
    peers[peer].setblocking(False)
    try:
        while True:
            frames.append(peers[peer].recv(MOST))
    except BlockingIOError:
        return answer_of(frames)
    finally:
        peers[peer].settimeout(PATIENCE)


def close(peer, unlink=None):
    peers.pop(peer).close()
    if unlink is not None:
        os.unlink(unlink)


def visit(path, run, count, to):
    """`count` times: a socket of its own, one frame, and gone again."""
    for frame in frames_of(run):
        for n in range(count):
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            sock.settimeout(PATIENCE)
            sock.bind(f"{path}.{n}")
            sock.sendto(frame, to)
            sock.close()
            os.unlink(f"{path}.{n}")


def descriptor_of(kind, peer):
    """Something to pass along, and the end of it that is ours."""
    if kind == "pair":
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        keep(peer, ours)
        return theirs
    if kind == "stream":
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        keep(peer, ours)
        return theirs
    if kind == "udp":
        return socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    if kind == "lonely":
        return socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    return open("/dev/null" if kind == "device" else __file__, "rb")


def give(peer, to, kinds, words):
    """Connects to a stream socket, and passes descriptors of `kinds` with the first of `words`."""
    stream = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    stream.settimeout(PATIENCE)
    stream.connect(to)
    theirs = [descriptor_of(kind, peer) for kind in kinds]
    numbers = array.array("i", [each.fileno() for each in theirs])
    passed = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, numbers)] if theirs else []
    first, *rest = [base64.b64decode(word) for word in words]
    stream.sendmsg([first], passed)
    for each in theirs:
        each.close()
    for word in rest:
        stream.sendall(word)
    held[peer] = stream


def hear(peer, length):
    """The bytes that come on the stream, up to `length` or to its end, which "ended" says. A datagram socket that
    comes with them is the peer's from then on."""
    got = b""
    while len(got) < length:
        piece, passed, _, _ = socket.recv_fds(held[peer], length - len(got), 1)
        if passed:
            keep(peer, socket.socket(fileno=passed[0]))
        if not piece:
            return {"bytes": base64.b64encode(got).decode(), "ended": True}
        got += piece
    return {"bytes": base64.b64encode(got).decode(), "ended": False}


def say(peer, word):
    held[peer].sendall(base64.b64decode(word))


def hang_up(peer):
    held.pop(peer).close()


CALLS = [bind, tie, send, mix, receive, drain, close, visit, give, hear, say, hang_up]
calls = {each.__name__: each for each in CALLS}

for line in sys.stdin:
    request = json.loads(line)
    try:
        answer = calls[request.pop("do")](**request) or {}
    except OSError as error:
        answer = {"error": errno.errorcode.get(error.errno, type(error).__name__)}
    print(json.dumps(answer), flush=True)
