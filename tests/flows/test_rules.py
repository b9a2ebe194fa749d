"""From where an endpoint may be reached: PROXY headers, addresses, VPC endpoints, client certificates; and how often one may fail to
say who one is."""
import collections
import contextlib
import http.client
import json
import re
import socket
import ssl
import struct
import subprocess

import pytest

from harness import BODY, CHAT, DEADLINE_S, Answer, Http2, eventually, free_port, process_endpoint, read_all
from test_fleet import fleet
from test_reload import certificate, reload

SOURCE = "192.0.2.7"
VPCE = "vpce-08d2bf15fac5001c9"


def v1(source=SOURCE):
    kind, other = ("TCP6", "2001:db8::1") if ":" in source else ("TCP4", "198.51.100.1")
    return f"PROXY {kind} {source} {other} 40000 443\r\n".encode()


def tlv(kind, value):
    return bytes([kind]) + struct.pack(">H", len(value)) + value


def v2(source=SOURCE, tlvs=b"", command=0x21, family=None, block=None):
    six = ":" in source
    if block is None:
        block = socket.inet_pton(socket.AF_INET6 if six else socket.AF_INET, source) * 2 + struct.pack(">HH", 40000, 443) + tlvs
    family = (0x21 if six else 0x11) if family is None else family
    return b"\r\n\r\n\0\r\nQUIT\n" + bytes([command, family]) + struct.pack(">H", len(block)) + block


def through(vpce):
    return v2(tlvs=tlv(4, b"pad") + tlv(0xEA, b"\x01" + vpce.encode()))


LOCAL, UNKNOWN, UNIX = v2(command=0x20, family=0, block=b""), b"PROXY UNKNOWN\r\n", v2(family=0x31, block=b"/a".ljust(216, b"\0"))


def connect(h, to="port", source=None):
    """To the clear-text (port), TLS (tls_port), IPv6 (ip6) or Unix listener, from that loopback address."""
    if to == "unix":
        link = socket.socket(socket.AF_UNIX)
        link.settimeout(DEADLINE_S)
        link.connect(h.unix)
        return link
    address = ("::1", h.port) if to == "ip6" else ("127.0.0.1", getattr(h, to))
    link = socket.create_connection(address, DEADLINE_S, (source, 0) if source else None)
    link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return link


def tls_context(h, alpn="http/1.1", certificate=None, version=None):
    context = ssl.create_default_context(cafile=str(h.directory / "ca.pem"))
    context.set_alpn_protocols([alpn])
    if certificate:
        context.load_cert_chain(*certificate)
    if version:
        context.maximum_version = version
    return context


def tls_behind(link, header, context):
    """The header and TLS's first bytes in one segment."""
    link.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)
    link.sendall(header)
    link = context.wrap_socket(link, server_hostname="localhost", do_handshake_on_connect=False, suppress_ragged_eofs=False)
    link.setblocking(False)
    with contextlib.suppress(ssl.SSLWantReadError):
        link.do_handshake()
    link.setblocking(True)
    link.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 0)
    link.do_handshake()
    return link


def introduced(h, header, to="port", alpn="http/1.1", apart=False, source=None):
    """A connection that begins with that header, sent at once or byte by byte."""
    link = connect(h, to, source)
    if to == "tls_port" and not apart:
        return tls_behind(link, header, tls_context(h, alpn))
    for at in range(0, len(header), 1 if apart else len(header)):
        link.sendall(header[at:at + 1] if apart else header)
    return tls_context(h, alpn).wrap_socket(link, server_hostname="localhost") if to == "tls_port" else link


def http1(link, method="POST", path=CHAT, body=BODY, host="ep.localhost", token=None, **fields):
    """Closes the connection, unless it is to be kept."""
    client = http.client.HTTPConnection("localhost")
    client.sock = link
    token = {"Authorization": f"Bearer {token}"} if token else {}
    client.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
    for name, values in {"Host": host, "Content-Length": str(len(body or b"")), **token, **fields}.items():
        for value in values if isinstance(values, list) else [values]:
            client.putheader(name.replace("_", "-"), value)
    client.endheaders(body)
    with contextlib.closing(client.getresponse()) as answer:
        return Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())


def ask(link, protocol="http/1.1", **what):
    with link:
        return http1(link, **what) if protocol == "http/1.1" else Http2(link).call(**what)


def metric(h, name, **labels):
    said = "{%s}" % ",".join(f'{k}="{v}"' for k, v in labels.items()) if labels else ""
    return int(re.search(rf"^headrace_{name}{re.escape(said)} (\d+)$", h.admin("/metrics")[1], re.M)[1])


@contextlib.contextmanager
def counted(h, name, **labels):
    """One more of it."""
    before = metric(h, name, **labels)
    yield
    eventually(lambda: metric(h, name, **labels) == before + 1)


def limit(h, name):
    return counted(h, "client_limits_total", limit=name)


def introduce(config, trusted=("127.0.0.1", "::1", "10.0.0.0/8")):
    config["trusted_peers"] = list(trusted)
    for listener in config["listeners"]:
        listener["proxy_protocol"] = True


def balanced(start):
    e = start.engine("--tokens", 2, "--rate", 0)
    h = start.headrace({"ep": e.endpoint(), "linked": e.endpoint(vpc_endpoints=["vpce-other", VPCE]),
                        "both": e.endpoint(vpc_endpoints=[VPCE], allow_addresses=["198.51.100.0/24"]),
                        "near": e.endpoint(allow_addresses=["192.0.2.0/24", "2001:db8::/32"]),
                        "here": e.endpoint(allow_addresses=["127.0.0.0/8", "unix"])})
    reload(h, introduce)
    return h


@pytest.fixture(scope="module")
def behind(start_once):
    """Behind a load balancer, since a reload."""
    return balanced(start_once)


@pytest.fixture
def changing(start):
    """The same for a test that changes it."""
    return balanced(start)


def forwarded(answer, what="for"):
    """What the replica was told."""
    return {k.lower(): v for k, v in json.loads(answer.body)["headers"].items()}[f"x-forwarded-{what}"]


GET = {"method": "GET", "path": "/headers", "body": None}


@pytest.mark.parametrize("protocol", ["http/1.1", "h2"])
@pytest.mark.parametrize("to", ["port", "tls_port", "ip6", "unix"])
def test_the_source_is_the_client_everywhere(behind, to, protocol):
    before = len(behind.log())
    for header, source in ((v1(), SOURCE), (v1("2001:db8::7"), "2001:db8::7"), (v2(), SOURCE), (v2("2001:db8::7"), "2001:db8::7"),
                           (v2("::ffff:192.0.2.9"), "192.0.2.9")):
        link = introduced(behind, header, to, protocol)
        answer = ask(link, protocol, **GET, X_Forwarded_For="6.6.6.6")
        assert answer.status == 200 and b"6.6.6.6" not in answer.body
        assert forwarded(answer) == source
        apart = introduced(behind, header, to, protocol, apart=True)  # byte by byte
        assert ask(apart, protocol, host="near.localhost").status == 200
    log = eventually(lambda: len(lines := behind.log()[before:]) == 10 and lines)
    assert collections.Counter(line["client"] for line in log) == {SOURCE: 4, "2001:db8::7": 4, "192.0.2.9": 2}


def test_a_header_and_a_request_in_one_segment(behind):
    for header in (v1(), v2()):
        with connect(behind) as link:
            link.sendall(header + b"GET /headers HTTP/1.1\r\nHost: ep.localhost\r\nConnection: close\r\n\r\n")
            assert SOURCE.encode() in read_all(link)
        with connect(behind) as link:  # the first part of the header alone, the rest with more
            link.sendall(header[:20])
            link.sendall(header[20:] + b"GET /headers HTTP/1.1\r\nHost: ep.localhost\r\nConnection: close\r\n\r\n")
            assert SOURCE.encode() in read_all(link)


def test_only_trusted_peers_may_come(changing):
    for to in ("port", "tls_port"):
        for first in (v1(), v2(), b"GET / HTTP/1.1\r\n"):
            with limit(changing, "proxy_peer"), connect(changing, to, "127.0.0.2") as link:
                with contextlib.suppress(ConnectionError):  # reset already
                    link.sendall(first)
                assert read_all(link) == b""
    reload(changing, lambda c: introduce(c, ["127.0.0.2"]))  # live
    assert ask(introduced(changing, v1(), source="127.0.0.2"), **GET).status == 200
    with limit(changing, "proxy_peer"), connect(changing) as link:
        assert read_all(link) == b""


BAD = {"none": b"GET / HTTP/1.1\r\nHost: ep.localhost\r\n\r\n", "preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "hello": b"\x16\x03\x01\x02\0\x01",
       "blank": b"PROXY  TCP4 192.0.2.7 198.51.100.1 40000 443\r\n", "host": b"PROXY TCP4 name 198.51.100.1 40000 443\r\n",
       "family": b"PROXY TCP6 192.0.2.7 198.51.100.1 40000 443\r\n", "lf": b"PROXY TCP4 192.0.2.7 198.51.100.1 40000 443\n",
       "long": b"PROXY UNKNOWN " + b"x" * 200, "datagram": v2(family=0x12), "version": b"\r\n\r\n\0\r\nQUIT\n\x11\x11\0\0",
       "short": v2(block=b"\xc0\0\2\7"), "huge": b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff", "tlv": v2(tlvs=b"\xea\0\x20x"),
       "vpce": v2(tlvs=tlv(0xEA, b"\x01vpce \n")), "twice": v2(tlvs=tlv(0xEA, b"\x01vpce-a") * 2), "crc": v2(tlvs=tlv(3, b"\0\0\0\1"))}


@pytest.mark.parametrize("to", ["port", "tls_port", "unix"])
def test_a_bad_header_ends_the_connection(behind, to):
    uncounted = ("tls_failures_total", "bad_requests_total")
    before = [metric(behind, name) for name in uncounted]
    for data in BAD.values():
        with limit(behind, "proxy_header"), connect(behind, to) as link:
            link.sendall(data)
            assert read_all(link) == b""
    for data in (v1(), v2()):  # not all of it
        with limit(behind, "proxy_header"), connect(behind, to) as link:
            link.sendall(data[:-1])
            link.shutdown(socket.SHUT_WR)
            assert read_all(link) == b""
    assert [metric(behind, name) for name in uncounted] == before


def test_a_header_after_tls_has_begun_is_none(behind, start):
    plain = start.headrace({"ep": start.engine().endpoint()})
    for link in (plain.connect(), plain.connect(tls=True)):  # nor is one where none is expected
        with link:
            link.sendall(v1() + b"GET / HTTP/1.1\r\nHost: ep.localhost\r\n\r\n")
            assert read_all(link).startswith(b"HTTP/1.1 400 ")
    with introduced(behind, v1(), "tls_port") as link:
        link.sendall(v1("198.51.100.9") + b"GET / HTTP/1.1\r\nHost: ep.localhost\r\n\r\n")
        assert read_all(link).startswith(b"HTTP/1.1 400 ")
    with connect(behind, "tls_port") as link, limit(behind, "proxy_header"):
        with pytest.raises((ssl.SSLError, ConnectionError)):
            tls_context(behind).wrap_socket(link, server_hostname="localhost")


def test_health_checks_are_no_errors(behind):
    """A connection only, or one that speaks for itself and goes; with an end, or with a reset."""
    def errors():
        text = behind.admin("/metrics")[1]
        return [line for line in text.splitlines() if re.match(r"headrace_(client_limits|tls_failures|bad_requests)", line)]
    before = errors()
    opened = metric(behind, "connections_opened_total")
    for to in ("port", "tls_port", "unix"):
        for first in (b"", LOCAL, UNKNOWN, v1()):
            for reset in (False, True):
                with connect(behind, to) as link:
                    link.sendall(first)
                    if reset:
                        link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    eventually(lambda: metric(behind, "connections_opened_total") == opened + 24 and metric(behind, "connections") == 0)
    assert errors() == before


@pytest.mark.parametrize("to,own", [("port", "127.0.0.1"), ("tls_port", "127.0.0.1"), ("unix", "unix")])
def test_who_names_nobody_keeps_his_address_and_speaks_for_nobody(behind, to, own):
    for header in (LOCAL, UNKNOWN, UNIX, v2(family=0, block=b"")):
        answer = ask(introduced(behind, header, to), **GET, X_Forwarded_For="6.6.6.6")
        assert forwarded(answer) == own
        assert ask(introduced(behind, header, to), host="near.localhost", X_Forwarded_For=SOURCE).code == "access_denied"
        assert ask(introduced(behind, header, to), host="here.localhost").code == "access_denied"  # whose client is not here


def test_trust_follows_the_source(behind):
    """A proxy behind the balancer is believed, if it is one of ours."""
    answer = ask(introduced(behind, v1("10.1.2.3")), **GET, X_Forwarded_For="6.6.6.6")
    assert forwarded(answer) == "6.6.6.6, 10.1.2.3"
    assert ask(introduced(behind, v1("10.1.2.3")), host="near.localhost", X_Forwarded_For="192.0.2.1").status == 200
    assert ask(introduced(behind, v1("11.1.2.3")), host="near.localhost", X_Forwarded_For="192.0.2.1").status == 403
    tls = v2(tlvs=tlv(0x20, b"\x01\0\0\0\0"))
    assert forwarded(ask(introduced(behind, tls), **GET), "proto") == "https"
    assert forwarded(ask(introduced(behind, v2()), **GET), "proto") == "http"


def test_the_limit_of_an_address_is_the_sources(changing):
    reload(changing, lambda c: c.update(client={"address_connections_max": 2}))
    with contextlib.ExitStack() as kept:
        for header in (v1(), v2(), v1("2001:db8::1"), v1("2001:db8::2")):  # one /64
            link = kept.enter_context(introduced(changing, header))
            assert http1(link, **GET).status == 200
        for header in (v1(), v1("2001:db8::3")):
            with limit(changing, "address"), connect(changing) as link:
                link.sendall(header)
                assert read_all(link) == b""
        assert ask(introduced(changing, v1("192.0.2.8")), **GET).status == 200
    eventually(lambda: metric(changing, "connections") == 0)
    assert ask(introduced(changing, v1()), **GET).status == 200


@pytest.mark.parametrize("to", ["port", "tls_port"])
def test_a_header_that_does_not_come(changing, to):
    reload(changing, lambda c: c.update(client={"head_timeout_s": 1}))
    for first in (b"", v2()[:20], v1()):  # from the accept on, with what is changing it
        with limit(changing, "head_timeout"), connect(changing, to) as link:
            link.sendall(first)
            assert read_all(link) == b""


@pytest.mark.parametrize("protocol", ["http/1.1", "h2"])
def test_vpc_endpoints(behind, protocol):
    def status(header, host):
        return ask(introduced(behind, header, "tls_port", protocol), protocol, host=f"{host}.localhost").status
    assert [status(header, "linked") for header in (through(VPCE), through("vpce-other"))] == [200, 200]
    with counted(behind, "access_denied_total", rule="vpc_endpoints"), counted(behind, "forbidden_total"):
        assert status(through(VPCE + "0"), "linked") == 403
    assert [status(header, "linked") for header in (through("vpce-08d2bf15fac5001c"), v2(), v1(), LOCAL)] == [403] * 4
    assert status(through(VPCE), "both") == 403  # both kinds must hold
    with_address = v2("198.51.100.9", tlvs=tlv(0xEA, b"\x01" + VPCE.encode()))
    assert status(with_address, "both") == 200 and status(v2("198.51.100.9"), "both") == 403


def test_a_listener_that_would_let_in_nobody(start, tmp_path):
    h = start.headrace({"ep": {"access": "public", "driver": "static", "addresses": ["127.0.0.1:1"], "paused": True}})

    def said(edit):
        before = h.config.read_text()
        config = json.loads(before)
        edit(config)
        h.config.write_text(json.dumps(config))
        done = h.command("check", check=False)
        h.config.write_text(before)
        return done.stderr
    assert ('listeners[1].proxy_protocol: needs "trusted_peers": ["10.0.0.0/8"], the addresses of the load balancers whose headers are '
            "believed") in said(lambda c: c["listeners"][1].update(proxy_protocol=True))
    assert "listeners[1].proxy_protocol: needs" in said(lambda c: (c["listeners"][1].update(proxy_protocol=True), c.update(trusted_peers=["unix"])))
    assert said(lambda c: c["listeners"][3].update(proxy_protocol=True)) == ""  # Unix: its file's mode says who may
    assert 'trusted_peers: "10.0.0.0/33" is not an address range; allowed is' in said(lambda c: c.update(trusted_peers=["10.0.0.0/33"]))
    assert 'endpoints.ep.allow_addresses: "here" is not an address range; allowed is' in \
        said(lambda c: c["endpoints"]["ep"].update(allow_addresses=["here"]))
    assert 'endpoints.ep.vpc_endpoints: "vpc-1" is not the id of a VPC endpoint; allowed is "vpce-08d2bf15fac5001c9"' in \
        said(lambda c: c["endpoints"]["ep"].update(vpc_endpoints=["vpc-1"]))


# Address rules without PROXY headers.

@pytest.fixture(scope="module")
def ruled(start_once):
    e = start_once.engine("--tokens", 2, "--rate", 0)
    return start_once.headrace({"ep": e.endpoint(allow_addresses=["127.0.0.2", "192.0.2.0/24", "2001:db8::/32"], access="private", owner="me",
                                            cors={"origins": ["*"]}, models=["m"]),
                           "local": e.endpoint(allow_addresses=["unix", "::1"])},
                          tokens=[("t", "hr_t", "--owner", "me")], trusted_peers=["127.0.0.3", "10.0.0.0/8"],
                          model_routing={"hosts": ["api.localhost"]})


@pytest.mark.parametrize("protocol", ["http/1.1", "h2"])
def test_addresses_come_before_the_token(ruled, protocol):
    before = metric(ruled, "unauthorized_total")
    for host in ("ep.localhost", "api.localhost"):  # by its model, too
        def call(source, **what):
            return ask(connect(ruled, source=source), protocol, host=host, **what)
        assert call("127.0.0.2", token="hr_t").status == 200
        assert call("127.0.0.2", token="no").code == "invalid_api_key"
        for token in ("hr_t", "no", None):
            with counted(ruled, "access_denied_total", rule="allow_addresses"), counted(ruled, "forbidden_total"):
                answer = call("127.0.0.1", token=token)
                assert (answer.status, answer.code) == (403, "access_denied") and "www-authenticate" not in answer.headers
        assert call("127.0.0.1", token="hr_t", X_Forwarded_For="127.0.0.2").status == 403  # forged
    asked = {"Origin": "https://a.example", "Access_Control_Request_Method": "POST"}
    for source, status in (("127.0.0.2", 204), ("127.0.0.1", 403)):
        assert ask(connect(ruled, source=source), protocol, method="OPTIONS", body=None, **asked).status == status
    assert metric(ruled, "unauthorized_total") == before + 2


FORWARDED = [
    ("192.0.2.1", 200), ("6.6.6.6", 403), ("6.6.6.6, 192.0.2.1", 200), ("192.0.2.1, 6.6.6.6", 403), ("192.0.2.1, 10.0.0.1", 200),
    ("192.0.2.1,10.0.0.1 ,\t10.0.0.2", 200), ("6.6.6.6, 10.0.0.1", 403), (["192.0.2.1", "6.6.6.6"], 403), (["6.6.6.6", "192.0.2.1"], 200),
    (["192.0.2.1", "10.0.0.1", "10.0.0.2"], 200), ("10.0.0.1", 403), ("192.0.2.1:4000", 200), ("[2001:db8::5]:4000", 200),
    ("[2001:db8::5]", 200), ("2001:db8::5", 200), ("2001:db9::5", 403), ("::ffff:192.0.2.1", 200), ("192.0.2.1, unknown", 403), ("unknown", 403),
    ("192.0.2.1, ", 200), ("", 403), (",", 403), ("192.0.2.1 10.0.0.1", 403), ("[2001:db8::5", 403), ("192.0.2.1:x", 403), ("unix", 403)]


def test_behind_a_trusted_peer_the_last_address_that_is_none_counts(ruled):
    for fields, status in FORWARDED:
        assert http1(connect(ruled, source="127.0.0.3"), token="hr_t", X_Forwarded_For=fields).status == status, fields


def test_behind_a_trusted_peer_over_http2(ruled):
    for value, status in (("192.0.2.1", 200), ("6.6.6.6", 403)):
        assert ask(connect(ruled, source="127.0.0.3"), "h2", token="hr_t", X_Forwarded_For=value).status == status


def test_sockets_of_this_machine(ruled):
    for to, status in (("unix", 200), ("ip6", 200), ("port", 403)):
        assert ask(connect(ruled, to), host="local.localhost").status == status


def test_rules_change_under_a_connection(ruled):
    was = json.loads(ruled.config.read_text())["endpoints"]["ep"]["allow_addresses"]
    link = Http2(connect(ruled, source="127.0.0.2"))
    assert link.call(token="hr_t").status == 200
    reload(ruled, lambda c: c["endpoints"]["ep"].update(allow_addresses=["127.0.0.9"]))
    eventually(lambda: link.call(token="hr_t").status == 403)
    reload(ruled, lambda c: c["endpoints"]["ep"].pop("allow_addresses"))
    eventually(lambda: link.call(token="hr_t").status == 200)
    link.close()
    reload(ruled, lambda c: c["endpoints"]["ep"].update(allow_addresses=was))


def test_a_peer_that_is_not_trusted_any_more_speaks_for_nobody(start):
    e = start.engine()
    h = start.headrace({"ep": e.endpoint(allow_addresses=["192.0.2.0/24"]),
                        "cold": process_endpoint("--load-ms", 60000, log_directory=start.directory, allow_addresses=["192.0.2.0/24"])},
                       trusted_peers=["127.0.0.1"])
    link, old = h.http2(), h.connect()
    said = {"X_Forwarded_For": "192.0.2.1"}
    assert link.call(**said).status == http1(old, **said).status == 200
    held = link.ask(host="cold.localhost", X_Scale_Up_Timeout="60", **said)
    eventually(lambda: h.status("cold")["held"] == 1)
    reload(h, lambda c: c.update(trusted_peers=[]))
    eventually(lambda: link.call(**said).status == 403)
    assert http1(old, **said).status == 403
    reload(h, lambda c: c["endpoints"]["cold"].update(allow_addresses=["192.0.2.0/25"]))  # what is held looks again
    assert link.wait(held).code == "access_denied"
    link.close()
    old.close()


def test_a_held_request_hears_of_a_change(start):
    h = start.headrace({"ep": process_endpoint("--load-ms", 60000, log_directory=start.directory, allow_addresses=["127.0.0.0/8"])})
    link = h.http2(tls=True)
    stream = link.ask(X_Scale_Up_Timeout="60")
    eventually(lambda: h.status("ep")["held"] == 1)
    reload(h, lambda c: c["endpoints"]["ep"].update(allow_addresses=["192.0.2.0/24"]))
    assert link.wait(stream).code == "access_denied" and h.status("ep")["held"] == 0
    link.close()


def test_who_may_not_come_wakes_nobody(start):
    h = start.headrace({"ep": process_endpoint(log_directory=start.directory, allow_addresses=["192.0.2.0/24"])})
    assert h.call(X_Scale_Up_Timeout="60").status == 403 and h.call().status == 403
    assert h.status("ep")["requests_total"] == 0 and h.status("ep")["state"] == "scaledToZero"


def test_a_fleets_proxies_know_the_rules(start):
    e = start.engine("--tokens", 2, "--rate", 0)
    _, scheduler, edges = fleet(start, {"ep": e.endpoint(allow_addresses=["127.0.0.2"], vpc_endpoints=[])})

    def statuses(source):
        return [http1(connect(edge, source=source)).status for edge in edges]
    eventually(lambda: statuses("127.0.0.2") == [200, 200])
    assert statuses("127.0.0.1") == [403, 403]
    reload(scheduler, lambda c: c["endpoints"]["ep"].update(allow_addresses=["127.0.0.1"]))
    eventually(lambda: statuses("127.0.0.1") == [200, 200] and statuses("127.0.0.2") == [403, 403])
    reload(scheduler, lambda c: c["endpoints"]["ep"].update(vpc_endpoints=[VPCE]))
    eventually(lambda: statuses("127.0.0.1") == [403, 403])


# Failures to authenticate.

@pytest.fixture
def strict(start):
    """Three failures at once; what comes back does so too late for a test."""
    e = start.engine("--tokens", 2, "--rate", 0)
    h = start.headrace({"ep": e.endpoint(access="authenticated"), "all": e.endpoint()}, tokens=[("t", "hr_t")],
                       trusted_peers=["127.0.0.3"], client={"auth_failures_burst": 10000, "auth_failures_per_s": 1})
    reload(h, lambda c: c["client"].update(auth_failures_burst=3))
    return h


def attempts(h, tokens, source="127.0.0.1", protocol="http/1.1", **fields):
    """Slow machines get some back meanwhile: what is beyond the first four is not looked at one by one."""
    return [ask(connect(h, source=source), protocol, token=token, **fields).status for token in tokens]


@pytest.mark.parametrize("protocol", ["http/1.1", "h2"])
def test_an_address_that_fails_too_often(strict, protocol):
    with counted(strict, "unauthorized_total"):
        assert attempts(strict, ["bad0"], protocol=protocol) == [401]
    statuses = attempts(strict, [f"bad{i}" for i in range(1, 30)], protocol=protocol)
    assert set(statuses) == {401, 429} and statuses.count(429) > 3
    eventually(lambda: (answer := ask(connect(strict), protocol, token=None)).status == 429 and answer.code == "too_many_failures"
               and answer.headers["retry-after"] == "1")
    assert metric(strict, "client_limits_total", limit="auth_failures") >= statuses.count(429) + 1
    assert attempts(strict, ["hr_t"] * 5, protocol=protocol) == [200] * 5  # good ones pass
    assert ask(connect(strict), protocol, host="all.localhost").status == 200
    assert attempts(strict, ["else"], "127.0.0.2", protocol=protocol) == [401]  # other addresses, too
    eventually(lambda: attempts(strict, ["bad0"], protocol=protocol) == [401])  # they come back
    reload(strict, lambda c: c["client"].update(auth_failures_burst=0))  # off
    assert attempts(strict, [None] * 9, protocol=protocol) == [401] * 9


def test_a_token_that_fails_everywhere(strict):
    statuses = [attempts(strict, ["dead"], f"127.0.1.{i + 1}")[0] for i in range(30)]
    assert statuses[0] == 401 and set(statuses) == {401, 429}
    assert attempts(strict, ["other", None], "127.0.2.1") == [401, 401]
    assert set(attempts(strict, ["hr_t"] * 5, "127.0.1.1")) == {200}


def test_the_address_behind_a_trusted_peer(strict):
    def failures(n, client, **more):
        return attempts(strict, [f"{client}-{i}" for i in range(n)], "127.0.0.3", X_Forwarded_For=client, **more)
    assert 429 in failures(20, "192.0.2.1")
    assert failures(1, "192.0.2.2") == [401]
    assert 429 in [failures(1, f"2001:db8::{i:x}")[0] for i in range(20)]  # one /64
    assert failures(1, "2001:db8:0:1::1") == [401]
    assert attempts(strict, [f"own{i}" for i in range(20)], "127.0.0.3") == [401] * 20  # it stands for many


def test_a_revoked_token_counts_for_held_requests_too(start):
    h = start.headrace({"ep": process_endpoint("--load-ms", 60000, log_directory=start.directory) | {"access": "authenticated"}},
                       tokens=[("t", "hr_t")], client={"auth_failures_burst": 2, "auth_failures_per_s": 1})
    link = h.http2(tls=True)
    streams = [link.ask(token="hr_t", X_Scale_Up_Timeout="60") for _ in range(5)]
    eventually(lambda: h.status("ep")["held"] == 5)
    h.command("token", "revoke", "t")
    assert sorted(link.wait(s).status for s in streams)[::4] == [401, 429]
    link.close()


# Client certificates.

NAMES = {"alice": ("/CN=alice", ""), "service": ("/O=x/CN=svc", "DNS:API.Example,URI:spiffe://example.org/ns/a,IP:10.0.0.1"),
         "nameless": ("/O=x", "")}
ISSUING = """[ca]
default_ca = own
[own]
database = {0}/index.txt
new_certs_dir = {0}
rand_serial = yes
default_md = sha256
policy = any
unique_subject = no
[any]
organizationName = optional
commonName = optional
"""


class Ca:
    """An issuer of client certificates."""

    def __init__(self, directory):
        self.directory, self.issued = directory, {}
        directory.mkdir()
        (directory / "index.txt").touch()
        (directory / "ca.cnf").write_text(ISSUING.format(directory))
        self.pem, self.key = directory / "ca.pem", directory / "ca.key"
        self.run("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", self.key, "-out", self.pem,
                 "-subj", f"/CN={directory.name}", "-days", "2")

    def run(self, *args):
        subprocess.run(["openssl", *map(str, args)], check=True, capture_output=True)

    def issue(self, name, subject=None, names="", ends=None, usage="clientAuth"):
        """(certificate, key), both PEM files."""
        if name in self.issued:
            return self.issued[name]
        subject, names = (subject, names) if subject else NAMES[name]
        key, request, cert, more = (self.directory / f"{name}.{end}" for end in ("key", "csr", "pem", "cnf"))
        more.write_text(f"extendedKeyUsage={usage}\n" + (f"subjectAltName={names}\n" if names else ""))
        self.run("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key, "-out", request, "-subj", subject)
        self.run("ca", "-batch", "-notext", "-config", self.directory / "ca.cnf", "-cert", self.pem, "-keyfile", self.key, "-in", request,
                 "-out", cert, "-extfile", more, "-startdate", "20200101000000Z", *(["-enddate", ends] if ends else ["-days", "2"]))
        self.issued[name] = cert, key
        return cert, key


@pytest.fixture(scope="module")
def issuers(tmp_path_factory):
    directory = tmp_path_factory.mktemp("issuers")
    return Ca(directory / "good"), Ca(directory / "other")


def certified(start, issuers):
    """Certificates are optional at the TLS listener of all tests, and required at another."""
    e = start.engine("--tokens", 2, "--rate", 0)
    h = start.headrace({"ep": e.endpoint(), "any": e.endpoint(client_certificates=["*"]), "alice": e.endpoint(client_certificates=["alice", "bob"]),
                        "dns": e.endpoint(client_certificates=["api.example"]),
                        "uri": e.endpoint(client_certificates=["spiffe://example.org/ns/a"]),
                        "both": e.endpoint(client_certificates=["*"], allow_addresses=["127.0.0.2"])})
    h.other_port = free_port()

    def edit(config):
        first = config["listeners"][0]
        first.update(client_certificates="optional", client_ca=str(issuers[0].pem))
        config["listeners"].append({**first, "address": f"127.0.0.1:{h.other_port}", "client_certificates": "required"})
    reload(h, edit)
    return h


@pytest.fixture(scope="module")
def mutual(start_once, issuers):
    return certified(start_once, issuers)


@pytest.fixture
def changing_mutual(start, issuers):
    return certified(start, issuers)


def over_tls(h, certificate=None, to="tls_port", protocol="http/1.1", version=None, source=None, **what):
    """None: the connection was refused."""
    try:
        link = tls_context(h, protocol, certificate, version).wrap_socket(connect(h, to, source), server_hostname="localhost")
        return ask(link, protocol, **what).status
    except (ssl.SSLError, ConnectionError, KeyError):
        return None


@pytest.mark.parametrize("protocol", ["http/1.1", "h2"])
def test_names_of_certificates(mutual, issuers, protocol):
    hosts = ("ep", "any", "alice", "dns", "uri")
    for name, statuses in {"alice": [200, 200, 200, 403, 403], "service": [200, 200, 403, 200, 200], "nameless": [200, 200, 403, 403, 403],
                           None: [200, 403, 403, 403, 403]}.items():
        certificate = issuers[0].issue(name) if name else None
        for to in ("tls_port", "other_port"):
            expected = statuses if name or to == "tls_port" else [None] * 5
            assert [over_tls(mutual, certificate, to, protocol, host=f"{host}.localhost") for host in hosts] == expected
    alice = issuers[0].issue("alice")
    assert [over_tls(mutual, alice, "tls_port", protocol, source=s, host="both.localhost") for s in ("127.0.0.1", "127.0.0.2")] == [403, 200]
    with counted(mutual, "access_denied_total", rule="client_certificates"):
        assert ask(connect(mutual), protocol, host="any.localhost").status == 403  # in clear text nobody shows one


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_bad_certificates_end_the_handshake(mutual, issuers, version):
    good, other = issuers
    bad = {"issuer": other.issue("alice"), "over": good.issue("over", "/CN=alice", ends="20200102000000Z"),
           "purpose": good.issue("server", "/CN=alice", usage="serverAuth")}
    for to in ("tls_port", "other_port"):
        assert over_tls(mutual, good.issue("alice"), to, version=version) == 200
        for certificate in bad.values():
            with counted(mutual, "client_certificate_failures_total"), counted(mutual, "tls_failures_total"):
                assert over_tls(mutual, certificate, to, version=version) is None
    with counted(mutual, "client_certificate_failures_total"):
        assert over_tls(mutual, None, "other_port", version=version) is None
    failures = metric(mutual, "client_certificate_failures_total")
    assert over_tls(mutual, None, "tls_port", version=version) == 200
    assert metric(mutual, "client_certificate_failures_total") == failures


def test_who_breaks_off_has_shown_no_bad_certificate(mutual, issuers):
    """Whatever went wrong on that worker before."""
    bad = issuers[1].issue("alice")
    for _ in range(8):  # workers are more than one
        link = connect(mutual, "tls_port")
        mine, theirs = ssl.MemoryBIO(), ssl.MemoryBIO()
        with pytest.raises(ssl.SSLWantReadError):
            tls_context(mutual).wrap_bio(mine, theirs, server_hostname="localhost").do_handshake()
        link.sendall(theirs.read())
        assert link.recv(1)
        assert over_tls(mutual, bad, "tls_port") is None
        failures = metric(mutual, "client_certificate_failures_total")
        with counted(mutual, "tls_failures_total"):
            link.shutdown(socket.SHUT_WR)
            while link.recv(65536):
                pass
        assert metric(mutual, "client_certificate_failures_total") == failures
        link.close()


def test_each_name_of_a_listener_asks_for_one(changing_mutual, issuers, tmp_path):
    def edit(config):
        pairs = [certificate(tmp_path, name) for name in ("one.example", "two.example")]
        config["listeners"][-1]["certificates"] = [{"certificate": str(cert), "key": str(key)} for cert, key in pairs]
    reload(changing_mutual, edit)
    for name in ("one.example", "two.example", "other.example"):
        def status(shown, host):
            context = ssl._create_unverified_context()
            if shown:
                context.load_cert_chain(*shown)
            try:
                return ask(context.wrap_socket(connect(changing_mutual, "other_port"), server_hostname=name), host=host).status
            except (ssl.SSLError, ConnectionError):
                return None
        assert status(issuers[0].issue("alice"), "alice.localhost") == 200
        assert status(issuers[1].issue("alice"), "ep.localhost") is status(None, "ep.localhost") is None


def test_many_and_long_names_are_left_out(mutual, issuers):
    names = ",".join([f"DNS:n{i}.example" for i in range(60)] + ["DNS:api.example"])
    assert over_tls(mutual, issuers[0].issue("many", "/CN=x", names), host="dns.localhost") == 403
    names = ",".join(["DNS:" + "a" * 300, "DNS:api.example", "URI:http://" + "b" * 3000])
    assert over_tls(mutual, issuers[0].issue("long", "/CN=x", names), host="dns.localhost") == 200


def s_client(h, port, version, *args, host="any.localhost"):
    """What a client said of its session, and the status it was given (None: refused)."""
    request = f"GET /headers HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
    done = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{port}", version, "-servername", "localhost", "-ign_eof",
                           *map(str, args)], input=request, capture_output=True, text=True, timeout=DEADLINE_S)
    kind = re.search(r"^(New|Reused), TLS", done.stdout, re.M)
    status = re.search(r"^HTTP/1.1 (\d+)", done.stdout, re.M)
    return kind and kind[1], status and int(status[1])


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_a_resumed_session_keeps_its_certificate_and_no_more(changing_mutual, issuers, tmp_path, version):
    good, other = issuers
    cert, key = good.issue("alice")
    session = tmp_path / "session.pem"

    def with_session(port):
        return s_client(changing_mutual, port, version, "-sess_in", session)

    assert s_client(changing_mutual, changing_mutual.tls_port, version, "-cert", cert, "-key", key, "-sess_out", session) == ("New", 200)
    assert with_session(changing_mutual.tls_port) == ("Reused", 200)
    kind, status = with_session(changing_mutual.other_port)  # not a session of that listener
    assert kind != "Reused" and status is None
    reload(changing_mutual)
    assert with_session(changing_mutual.tls_port) == ("New", 403)  # nor one from before

    assert s_client(changing_mutual, changing_mutual.tls_port, version, "-cert", cert, "-key", key, "-sess_out", session) == ("New", 200)
    link = tls_context(changing_mutual, "h2", (cert, key)).wrap_socket(connect(changing_mutual, "tls_port"), server_hostname="localhost")
    open_one = Http2(link)
    assert open_one.call(host="any.localhost").status == 200
    reload(changing_mutual, lambda c: c["listeners"][0].update(client_ca=str(other.pem)))
    assert with_session(changing_mutual.tls_port) == ("New", 403)
    assert s_client(changing_mutual, changing_mutual.tls_port, version, "-cert", cert, "-key", key)[1] is None
    assert over_tls(changing_mutual, other.issue("alice"), host="any.localhost") == 200
    assert open_one.call(host="any.localhost").status == 200  # it has shown it when that was good
    open_one.close()


def test_certificates_behind_a_balancer(changing_mutual, issuers):
    reload(changing_mutual, lambda c: (c.update(trusted_peers=["127.0.0.1"]), c["listeners"][0].update(proxy_protocol=True)))
    for source, status in (("127.0.0.2", 200), ("127.0.0.9", 403)):
        link = tls_behind(connect(changing_mutual, "tls_port"), v2(source), tls_context(changing_mutual, "http/1.1", issuers[0].issue("alice")))
        assert ask(link, host="both.localhost").status == status


def test_wrong_options_for_certificates(start, issuers, tmp_path):
    h = start.headrace({"ep": {"access": "public", "driver": "static", "addresses": ["127.0.0.1:1"], "paused": True}})

    def said(listener, **options):
        config = json.loads(h.config.read_text())
        config["listeners"][listener].update(options)
        path = h.directory / "other.json"
        path.write_text(json.dumps(config))
        return h.command("check", check=False, config=path).stderr
    ca, empty = str(issuers[0].pem), tmp_path / "empty.pem"
    empty.touch()
    assert 'client_certificates: needs "client_ca", the PEM file of those' in said(0, client_certificates="required")
    assert 'client_ca: nobody is asked for a certificate; set "client_certificates" to' in said(0, client_ca=ca)
    assert 'client_certificates: are shown by TLS only; set "tls": true' in said(1, client_certificates="optional", client_ca=ca)
    assert "client_ca: the certificate /no/such.pem cannot be read" in said(0, client_certificates="optional", client_ca="/no/such.pem")
    assert "holds no PEM certificate" in said(0, client_certificates="optional", client_ca=str(empty))
    assert said(0, client_certificates="optional", client_ca=ca) == ""
