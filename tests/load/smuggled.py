"""Requests that two servers may read in two ways, and malformed ones, as bytes on the wire.

Nothing here is new: each is a known form. Most hide `INSIDE`, as what one of the two takes for a
body and the other for the next request.
"""

from tests.load.published import HOST, TYPE, Sent

INSIDE = b"GET /v1/models HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
ANSWERED = b'"owned_by"'  # in its answer, and in no other
POST = b"POST /gradio_api/reset HTTP/1.1\r\n"
SIZE = str(len(INSIDE)).encode()
CHUNKED = b"Transfer-Encoding: chunked\r\n"
ENDED = b"0\r\n\r\n" + INSIDE  # a body that is over, in chunks


def _raw(named: str, head: bytes, rest: bytes = b"", line: bytes = POST) -> Sent:
    return Sent(named, line + HOST + TYPE + head + b"\r\n" + rest)


def _te(named: str, line: bytes) -> Sent:
    """A header that is an encoding for one of the two, beside a length for the other."""
    return _raw(f"TE.TE {named}", line + b"\r\nContent-Length: 4\r\n", ENDED)


def below(sent: Sent, path: bytes) -> Sent:
    """The same, for where a proxy serves the page below a path; what is hidden stays as it is."""
    return sent._replace(raw=sent.raw.replace(b" /", b" " + path + b"/", 1))


SMUGGLED = (  # each hides INSIDE, which must not be answered
    _raw("TE.CL", CHUNKED + b"Content-Length: " + SIZE + b"\r\n", ENDED),
    _raw("TE.CL in a chunk", CHUNKED + b"Content-Length: 4\r\n",
         b"%x\r\n%s\r\n0\r\n\r\n" % (len(INSIDE), INSIDE)),
    _raw("CL.TE", b"Content-Length: 4\r\n" + CHUNKED, ENDED),
    _raw("CL.TE whole", b"Content-Length: %d\r\n" % len(ENDED) + CHUNKED, ENDED),
    _raw("two lengths", b"Content-Length: 0\r\nContent-Length: " + SIZE + b"\r\n", INSIDE),
    _raw("a list of lengths", b"Content-Length: 0, " + SIZE + b"\r\n", INSIDE),
    _raw("a signed length", b"Content-Length: +0\r\n", INSIDE),
    _raw("a negative length", b"Content-Length: -1\r\n", INSIDE),
    _raw("a length in hexadecimal", b"Content-Length: 0x0\r\n", INSIDE),
    _raw("a length with an underscore", b"Content-Length: 0_0\r\n", INSIDE),
    _raw("a huge length", b"Content-Length: 18446744073709551616\r\n", INSIDE),
    _raw("a length with a space", b"Content-Length : 0\r\n", INSIDE),
    _te("with a space", b"Transfer-Encoding : chunked"),
    _te("of another kind", b"Transfer-Encoding: xchunked"),
    _te("after a vertical tab", b"Transfer-Encoding:\x0bchunked"),
    _te("after a tab", b"Transfer-Encoding:\tchunked"),
    _te("before a space", b"Transfer-Encoding: chunked "),
    _te("in capitals", b"Transfer-Encoding: cHuNkEd"),
    _te("quoted", b'Transfer-Encoding: "chunked"'),
    _te("with a parameter", b"Transfer-Encoding: chunked;a=b"),
    _te("in a list", b"Transfer-Encoding: identity, chunked"),
    _te("twice", b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity"),
    _te("twice chunked", b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"),
    _te("on the next line", b"Transfer-Encoding:\r\n chunked"),
    _te("after a bare LF", b"X: a\nTransfer-Encoding: chunked"),
    _te("after a bare CR", b"X: a\rTransfer-Encoding: chunked"),
    _te("after a NUL", b"X: a\0\r\nTransfer-Encoding: chunked"),
    _te("without a space", b"Transfer-Encoding:chunked"),
    _te("by a connection's word", b"Connection: Transfer-Encoding\r\nTransfer-Encoding: chunked"),
    _raw("a connection's length", b"Connection: Content-Length\r\nContent-Length: " + SIZE
         + b"\r\n", INSIDE),
    _raw("CL.0", b"Content-Length: " + SIZE + b"\r\n", INSIDE),
    _raw("CL.0 where no body is read", b"Content-Length: " + SIZE + b"\r\n", INSIDE,
         b"POST /healthz HTTP/1.1\r\n"),
    _raw("CL.0 where there is nothing", b"Content-Length: " + SIZE + b"\r\n", INSIDE,
         b"POST /nothing HTTP/1.1\r\n"),
    _raw("CL.0 of a GET", b"Content-Length: " + SIZE + b"\r\n", INSIDE,
         b"GET /config HTTP/1.1\r\n"),
    _raw("CL.0 of a file", b"Content-Length: " + SIZE + b"\r\n", INSIDE,
         b"GET /theme.css HTTP/1.1\r\n"),
    _raw("CL.0 of a HEAD", b"Content-Length: " + SIZE + b"\r\n", INSIDE,
         b"HEAD / HTTP/1.1\r\n"),
    _raw("0.CL", b"Content-Length:\r\n " + SIZE + b"\r\n", INSIDE),
    _raw("an expectation where no body is read", b"Expect: 100-continue\r\nContent-Length: " + SIZE
         + b"\r\n", INSIDE, b"POST /nothing HTTP/1.1\r\n"),
    _raw("an odd expectation", b"Expect: y 100-continue\r\nContent-Length: " + SIZE + b"\r\n",
         INSIDE, b"GET /config HTTP/1.1\r\n"),
    _raw("chunks of a GET", CHUNKED, b"%x\r\n%s\r\n0\r\n\r\n" % (len(INSIDE), INSIDE),
         b"GET /config HTTP/1.1\r\n"),
    _raw("chunks of a HEAD", CHUNKED, b"%x\r\n%s\r\n0\r\n\r\n" % (len(INSIDE), INSIDE),
         b"HEAD / HTTP/1.1\r\n"),
    _raw("a folded header", b"X: a\r\n Content-Length: 0\r\n" + CHUNKED, b"zz\r\n" + INSIDE),
    _raw("a bare CR", b"X: a\rContent-Length: 0\r\n" + CHUNKED, b"zz\r\n" + INSIDE),
    _raw("a NUL", b"X: a\0b\r\nContent-Length: 0\r\n", INSIDE),
    _raw("a header's end by bare LF", b"Content-Length: " + SIZE + b"\n", INSIDE),
    _raw("a chunk in hexadecimal", CHUNKED, b"0x0\r\n\r\n" + INSIDE),
    _raw("a signed chunk", CHUNKED, b"+0\r\n\r\n" + INSIDE),
    _raw("a negative chunk", CHUNKED, b"-1\r\n\r\n" + INSIDE),
    _raw("a chunk with an underscore", CHUNKED, b"0_0\r\n\r\n" + INSIDE),
    _raw("a huge chunk", CHUNKED, b"f" * 40 + b"\r\n" + INSIDE),
    _raw("a chunk that wraps around", CHUNKED, b"10000000000000000\r\n\r\n" + INSIDE),
    _raw("a chunk's bare LF", CHUNKED, b"2\nab\n0\n\n" + INSIDE),
    _raw("a chunk's extension", CHUNKED, b"0;a=\n" + INSIDE + b"\r\n"),
    _raw("an extension over two lines", CHUNKED, b"5;\n%x\r\n%s\r\n0\r\n\r\n" % (
        len(INSIDE), INSIDE)),
    _raw("a chunk that is too long", CHUNKED, b"2\r\nabXX" + ENDED),
    _raw("a websocket that is none", b"Connection: Upgrade\r\nUpgrade: websocket\r\n"
         b"Sec-WebSocket-Version: 777\r\nSec-WebSocket-Key: YWJjZGVmZ2hpamtsbW5vcA==\r\n", INSIDE,
         b"GET /config HTTP/1.1\r\n"),
    _raw("HTTP/1.0 chunked", CHUNKED, ENDED, b"POST / HTTP/1.0\r\n"),
    _raw("no such version", b"", INSIDE, b"GET / HTTP/3.9\r\n"),
    _raw("a space in the path", b"", INSIDE, b"GET /a b HTTP/1.1\r\n"),
    _raw("a line in the path", b"", INSIDE, b"GET /a\rGET HTTP/1.1\r\n"),
    _raw("two hosts", b"Host: a\r\n", INSIDE, b"GET / HTTP/1.1\r\n"),
    Sent("no host", b"GET / HTTP/1.1\r\n\r\n" + INSIDE),
)  # fmt: skip
TO_TWO = (  # a server alone may well answer INSIDE, as the next request: a proxy decides
    _raw("a name with an underscore", b"Content_Length: 0\r\n", INSIDE),
    _te("in a line that begins with a space", b"X: a\r\n Transfer-Encoding: chunked"),
    _raw("0.CL with an expectation", b"Expect: 100-continue\r\nContent-Length: " + SIZE + b"\r\n",
         INSIDE),
    _raw("an extension's bare CR", CHUNKED, b"2;a\rx\r\nab\r\n" + ENDED),
    _raw("a trailer", CHUNKED, b"0\r\nContent-Length: " + SIZE + b"\r\n\r\n" + INSIDE),
    _raw("another protocol", b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
         b"HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n", INSIDE, b"GET /config HTTP/1.1\r\n"),
)  # fmt: skip
MALFORMED = (  # refused, or left, but never more than one answer
    Sent("another protocol", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"a" * 200),
    Sent("HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    Sent("a long line", b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n" + HOST + b"\r\n"),
    Sent("many headers", b"GET / HTTP/1.1\r\n" + HOST + b"X: y\r\n" * 20_000 + b"\r\n"),
    Sent("no method", b" / HTTP/1.1\r\n" + HOST + b"\r\n"),
    Sent("an address", b"GET http://example.com/config HTTP/1.1\r\n" + HOST + b"\r\n"),
    Sent("a star", b"OPTIONS * HTTP/1.1\r\n" + HOST + b"\r\n"),
    Sent("a tunnel", b"CONNECT example.com:443 HTTP/1.1\r\n" + HOST + b"\r\n"),
    Sent("a socket", b"GET / HTTP/1.1\r\n" + HOST + b"Connection: Upgrade\r\nUpgrade: websocket\r\n"
         b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: YWJjZGVmZ2hpamtsbW5vcA==\r\n\r\n"),
    Sent("a body of a GET", b"GET /config HTTP/1.1\r\n" + HOST + b"Content-Length: 2\r\n\r\nab"),
    Sent("an expectation", b"POST / HTTP/1.1\r\n" + HOST + b"Expect: 200\r\n\r\n"),
)  # fmt: skip


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3) + bytes((kind, flags)) + stream.to_bytes(4) + payload


def h2(named: str, *fields: tuple[bytes, bytes], body: bytes = b"") -> Sent:
    """A request in HTTP/2 without encryption. fields: beside those that each has, or in their
    place; of less than 127 bytes each."""
    has = {b":method": b"GET", b":scheme": b"http", b":path": b"/", b":authority": b"127.0.0.1"}
    has |= {b"content-type": b"application/json"} | dict(fields)
    block = b"".join(  # literal, neither indexed nor compressed
        b"\0" + bytes([len(name)]) + name + bytes([len(value)]) + value
        for name, value in has.items()
    )
    frames = _frame(4, 0, 0, b"") + _frame(1, 4, 1, block) + _frame(0, 1, 1, body)
    return Sent(f"HTTP/2 {named}", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frames)


def downgraded(path: bytes) -> tuple[Sent, ...]:
    """Through a proxy that speaks HTTP/1.1 with the page for those who speak HTTP/2 with it. path:
    below which it serves the page."""
    asked = (b":method", b"POST"), (b":path", path + b"/gradio_api/reset")
    ahead = b" HTTP/1.1\r\nHost: a\r\n\r\n"
    return (
        h2("CL", *asked, (b"content-length", b"0"), body=INSIDE),
        h2("TE", *asked, (b"transfer-encoding", b"chunked"), body=ENDED),
        h2("a line in a value", *asked, (b"x", b"a\r\nTransfer-Encoding: chunked"), body=ENDED),
        h2("a line in a name", *asked, (b"x: a\r\ntransfer-encoding", b"chunked"), body=ENDED),
        h2("a colon in a name", *asked, (b"transfer-encoding: chunked\r\nx", b"a"), body=ENDED),
        h2("a request in a value", *asked, (b"x", b"a\r\n\r\n" + INSIDE)),
        h2("a request in the method", *asked, (b":method", b"GET %s/" % path + ahead + b"GET")),
        h2("a request in the path", (b":path", path + b"/" + ahead + INSIDE)),
        h2("a request in the authority", *asked, (b":authority", b"a\r\n\r\n" + INSIDE)),
        h2("a connection", *asked, (b"connection", b"transfer-encoding")),
        h2("a GET's body", (b":path", path + b"/config"), body=INSIDE),
    )
