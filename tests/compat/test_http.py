"""HTTP exchanges of upstream's Java clients and routes, to the byte."""

from __future__ import annotations

import json
from collections import Counter

from attrs import evolve

from twisted.internet.address import IPv4Address
from twisted.trial.unittest import SynchronousTestCase

from cim.addresses import Addresses, proxy
from cim.limits import Buckets, Limit
from cim.model import Account
from cim.route.http.upstream import UpstreamAPI
from cim.server.edge.http_api import ServerAPI
from cim.web.envelope import Envelopes
from cim.web.operations import internal_only, located
from cim.web.serving import CallResource
from cim.web.site import BoundedSite
from cim.wire.guests import Generation
from tests.harness.cluster import ClientTransport, Cluster

SUCCESS = '{"code":"9000","message":"Success","reqNo":null,"dataBody":null}'
OFFLINE_FRAME = (
    "5810abcc91dbfd2c180322110a0a73656e64557365724964120331303022140a0c73656e64557365724e616d6512046c697369221e0a0d"
    "72656365697665557365724964120d313534353537343034393332332a01612a0162"
)
#: A frame of the batch ["a", "b"] that is pushed live: the same but for the command.
BATCH_FRAME = OFFLINE_FRAME.replace("10abcc91dbfd2c1803", "10abcc91dbfd2c1801")
MESSAGE_FRAME = (
    "590a0568656c6c6f10abcc91dbfd2c180122110a0a73656e64557365724964120331303022140a0c73656e64557365724e616d6512046c"
    "697369221e0a0d72656365697665557365724964120d31353435353734303439333233"
)


def okhttp(path, body=None, more=()):
    """A request as OkHttp writes it, and what a proxy adds."""
    lines = []
    if body is not None:
        body = body.encode()
        lines = [f"POST {path} HTTP/1.1", "Content-Type: application/json; charset=utf-8"]
        lines.append(f"Content-Length: {len(body)}")
    else:
        lines = [f"GET {path} HTTP/1.1"]
    lines += [
        "Host: 127.0.0.1:8083",
        "Connection: Keep-Alive",
        "Accept-Encoding: gzip",
        "User-Agent: okhttp/4.9.2",
        *more,
    ]
    return "\r\n".join([*lines, "", ""]).encode() + (body or b"")


class Connection:
    """A kept-alive connection to an API, without sockets."""

    def __init__(self, cluster, api, peer="192.0.2.7"):
        self.cluster = cluster
        self.addresses = Addresses([proxy("10.0.0.1")], cluster.metrics.refused)
        gate = internal_only(None, cluster.metrics, located(self.addresses))
        resource = CallResource({Envelopes(gate): [api]}, cluster.metrics)
        self.site = BoundedSite(resource, cluster.clock)
        self.transport = ClientTransport()
        self.transport.peerAddr = IPv4Address("TCP", peer, 4711)
        self.channel = self.site.buildProtocol(None)
        self.channel.makeConnection(self.transport)

    def ask(self, path, body=None, *more):
        """Return the status line, the headers and the body of the answer."""
        self.channel.dataReceived(okhttp(path, body, more))
        self.cluster.turn()
        data = self.transport.value()
        self.transport.clear()
        head, _, body = data.partition(b"\r\n\r\n")
        status, *lines = head.decode().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        assert int(headers["content-length"]) == len(body)
        return status, headers, body.decode()


class ExchangeCase(SynchronousTestCase):
    """A cluster, its route's API, and accounts of known ids."""

    def setUp(self):
        self.cluster = Cluster()
        self.route = self.cluster.routes[0]
        self.zs = Account(1, "zs")
        self.ls = Account(2, "李四😀")
        for account in (self.zs, self.ls):
            self.route.accounts.keep(account)
        self.connection = Connection(
            self.cluster, UpstreamAPI(self.route, self.cluster.store.accounts, self.cluster.metrics)
        )
        self.addCleanup(self.leave)

    def leave(self):
        self.assertFalse(self.connection.transport.disconnecting)

    def ask(self, path, body=None):
        status, _, answer = self.connection.ask(path, body)
        self.assertEqual(status, "HTTP/1.1 200 OK")
        return answer


class RouteTests(ExchangeCase):
    """What the SDK asks of a route, and what it is answered."""

    def test_register(self):
        answer = self.ask("/registerAccount", '{"userName":"王五"}')
        account = self.successResultOf(self.cluster.store.accounts.named("王五"))
        self.assertEqual(
            answer,
            '{"code":"9000","message":"Success","reqNo":null,"dataBody":'
            f'{{"userId":{account.id},"userName":"王五"}}}}',
        )
        self.assertEqual(self.ask("/registerAccount", '{"userName":"王五"}'), answer)

    def test_login(self):
        answer = self.ask("/login", '{"userName":"zs","userId":1}')
        self.assertEqual(
            answer,
            '{"code":"9000","message":"Success","reqNo":null,'
            '"dataBody":{"ip":"127.0.0.1","cimServerPort":11211,"httpPort":8081}}',
        )

    def test_login_at_a_server_with_tls(self):
        """Who knows the header is told; upstream's clients read the same bytes as always."""
        usual = self.ask("/login", '{"userName":"zs","userId":1}')
        (link,) = self.route.presence.links()
        link.peer = evolve(link.peer, tls_name="chat.example.com")
        _, headers, answer = self.connection.ask("/login", '{"userName":"zs","userId":1}')
        self.assertEqual((headers["cim-tls-name"], answer), ("chat.example.com", usual))

    def test_login_of_nobody_and_under_another_name(self):
        wrong = (
            '{"code":"9100","message":"The User information you have used is incorrect!","reqNo":null,"dataBody":null}'
        )
        self.assertEqual(self.ask("/login", '{"userName":"zs","userId":77}'), wrong)
        self.assertEqual(self.ask("/login", '{"userName":"ls","userId":1}'), wrong)

    def test_a_second_login(self):
        self.cluster.log_in(self.zs)
        self.assertEqual(
            self.ask("/login", '{"userName":"zs","userId":1}'),
            '{"code":"5000","message":"Repeat login, log out an account please!","reqNo":null,"dataBody":null}',
        )

    def test_login_without_a_server(self):
        self.cluster.kill(self.cluster.servers[0])
        self.assertEqual(
            self.ask("/login", '{"userName":"zs","userId":1}'),
            '{"code":"7100","message":"cim server is not available, please try again later!",'
            '"reqNo":null,"dataBody":null}',
        )

    def test_private(self):
        client = self.cluster.log_in(self.ls)
        self.assertEqual(self.ask("/p2pRoute", '{"msg":"你好 👋","receiveUserId":2,"userId":1}'), SUCCESS)
        (frame,) = client.frames()
        self.assertEqual((frame.text, frame.user_id), ("你好 👋", 2))
        self.assertEqual(dict(frame.properties), {"sendUserId": "1", "sendUserName": "zs", "receiveUserId": "2"})

    def test_batch(self):
        client = self.cluster.log_in(self.ls)
        self.assertEqual(self.ask("/p2pRoute", '{"receiveUserId":2,"batchMsg":["a","b","c"],"userId":1}'), SUCCESS)
        (frame,) = client.frames()
        self.assertEqual((frame.text, list(frame.batch)), ("", ["a", "b", "c"]))

    def test_private_to_someone_offline(self):
        self.assertEqual(
            self.ask("/p2pRoute", '{"msg":"x","receiveUserId":2,"userId":1}'),
            '{"code":"7000","message":"You selected user is offline!, please try again later!",'
            '"reqNo":null,"dataBody":null}',
        )

    def test_group(self):
        sender, other = self.cluster.log_in(self.zs), self.cluster.log_in(self.ls)
        self.assertEqual(self.ask("/groupRoute", '{"msg":"hello","userId":1}'), SUCCESS)
        self.assertEqual((sender.texts(), other.texts()), ([], ["hello"]))

    def test_who_is_online_by_both_generations(self):
        nobody = '{"code":"9000","message":"Success","reqNo":null,"dataBody":[]}'
        somebody = (
            '{"code":"9000","message":"Success","reqNo":null,'
            '"dataBody":[{"userId":1,"userName":"zs"},{"userId":2,"userName":"李四😀"}]}'
        )
        self.assertEqual((self.ask("/onlineUser"), self.ask("/onlineUser", "{}")), (nobody, nobody))
        self.cluster.log_in(self.ls)
        self.cluster.log_in(self.zs, generation=Generation.W1)
        self.assertEqual((self.ask("/onlineUser"), self.ask("/onlineUser", "{}")), (somebody, somebody))
        # Who has a password is shown to neither.
        secret = self.successResultOf(self.cluster.store.credentials.create("secret", "hash"))
        self.cluster.native(secret)
        self.assertEqual((self.ask("/onlineUser"), self.ask("/onlineUser", "{}")), (somebody, somebody))

    def test_log_out_by_the_client_and_by_a_server(self):
        for message in ('"offLine"', '"zs"'):
            client = self.cluster.log_in(self.zs)
            self.cluster.pass_seconds(2)
            self.assertEqual(self.ask("/offLine", f'{{"msg":{message},"userId":1}}'), SUCCESS)
            self.assertTrue(client.closed)
            self.cluster.pass_seconds(4)
        self.assertEqual(self.ask("/offLine", '{"userId":999}'), SUCCESS)

    def test_fetch_offline(self):
        self.cluster.log_in(self.zs)
        self.assertEqual(self.ask("/fetchOfflineMsgs", '{"receiveUserId":1}'), SUCCESS)

    def test_a_doubled_slash(self):
        answer = self.ask("//login", '{"userName":"zs","userId":1}')
        self.assertIn('"code":"9000"', answer)
        self.assertEqual(self.ask("//offLine", '{"msg":"zs","userId":1}'), SUCCESS)

    def test_unknown_fields_and_digits_in_texts(self):
        body = '{"reqNo":"a","timeStamp":5,"nonsense":{},"userName":"zs","userId":"1"}'
        self.assertIn('"code":"9000"', self.ask("/login", body))

    def test_headers_that_okhttp_reads(self):
        status, headers, body = self.connection.ask("/groupRoute", '{"msg":"hello","userId":1}')
        self.assertEqual(
            (status, headers["content-type"], headers.get("content-encoding")),
            ("HTTP/1.1 200 OK", "application/json", None),
        )
        self.assertEqual(body, SUCCESS)

    def test_a_message_that_begins_with_a_null_character(self):
        client = self.cluster.log_in(self.ls)
        self.assertEqual(
            self.ask("/p2pRoute", r'{"msg":"\u0000\"\\\n\ud83d\ude00","receiveUserId":2,"userId":1}'), SUCCESS
        )
        self.assertEqual(client.texts(), ['\0"\\\n😀'])


class LimitTests(ExchangeCase):
    """Who says too much."""

    def test_6000_and_when_to_come_again(self):
        body = json.dumps({"userId": 1, "receiveUserId": 2, "batchMsg": ["x"] * 100})
        for _ in range(3):
            self.assertIn('"code":"7000"', self.ask("/p2pRoute", body))
        status, headers, answer = self.connection.ask("/p2pRoute", body)
        self.assertEqual(
            (status, headers["retry-after"], answer),
            (
                "HTTP/1.1 200 OK",
                "10",
                '{"code":"6000","message":"too many messages of a guest: try again in 10 s","reqNo":null,'
                '"dataBody":null}',
            ),
        )
        self.cluster.pass_seconds(9)
        self.assertIn('"code":"6000"', self.ask("/p2pRoute", body))
        self.assertIn('"code":"6000"', self.ask("/p2pRoute", body))
        self.cluster.pass_seconds(1)
        self.assertIn('"code":"7000"', self.ask("/p2pRoute", body))
        self.assertIn('"code":"6000"', self.ask("/groupRoute", '{"userId":1,"msg":"x"}'))
        self.assertIn('"code":"7000"', self.ask("/p2pRoute", '{"userId":2,"receiveUserId":1,"msg":"x"}'))
        page = self.successResultOf(self.cluster.store.conversations.read("p:1:2", limit=1000))
        self.assertEqual(len(page.entries), 401)


class StrangerTests(ExchangeCase):
    """Accounts and logins of an address."""

    def limit(self, name, rate, burst):
        self.cluster.routes[0].rates._buckets[name] = Buckets(Limit(rate, burst))

    def codes(self, path, *bodies):
        return Counter(json.loads(self.ask(path, json.dumps(body)))["code"] for body in bodies)

    def test_only_new_names_count(self):
        names = [{"userName": f"guest-{number}"} for number in range(210)]
        self.assertEqual(self.codes("/registerAccount", *names), {"9000": 200, "6000": 10})
        self.assertEqual(self.codes("/registerAccount", *names[:200]), {"9000": 200})
        self.assertEqual(self.codes("/registerAccount", *names[200:]), {"6000": 10})

    def test_logins(self):
        self.limit("address-logins", 1, 2)
        login = {"userId": 1, "userName": "zs"}
        self.assertEqual(self.codes("/login", login, login, login), {"9000": 2, "6000": 1})

    def test_logins_that_find_no_server_do_not_count(self):
        self.limit("address-logins", 1, 2)
        login = {"userId": 1, "userName": "zs"}
        self.cluster.kill(self.cluster.servers[0])
        self.assertEqual(self.codes("/login", *[login] * 5), {"7100": 5})
        self.cluster.start_server(0)
        self.cluster.turn()
        self.assertEqual(self.codes("/login", login, login, login), {"9000": 2, "6000": 1})

    def test_lists_of_who_is_online(self):
        self.assertEqual(self.codes("/onlineUser", *[{}] * 103), {"9000": 100, "6000": 3})
        self.cluster.clock.advance(2)
        self.assertEqual(self.codes("/onlineUser", *[{}] * 4), {"9000": 2, "6000": 2})

    def test_calls_that_prove_nothing(self):
        self.limit("address-calls", 1, 2)
        refused = self.cluster.metrics._refused
        for path, body in (
            ("/registerAccount", {"userName": "zs"}),
            ("/groupRoute", {"userId": 1, "msg": "x"}),
            ("/p2pRoute", {"userId": 77, "receiveUserId": 1, "msg": "x"}),
            ("/offLine", {"userId": 1}),
            ("/fetchOfflineMsgs", {"receiveUserId": 1}),
        ):
            before = refused["limit-address-calls"]
            self.assertEqual(self.codes(path, *[body] * 5)["6000"], 3, path)
            self.assertEqual(refused["limit-address-calls"] - before, 3)
            self.cluster.clock.advance(2)
        # Who is known is counted by what it says alone.
        said = {"userId": 1, "receiveUserId": 2, "msg": "x"}
        self.assertEqual(self.codes("/p2pRoute", *[said] * 20)["6000"], 0)


class AddressTests(ExchangeCase):
    """Guests are counted where they are, too."""

    def connect(self, peer):
        return Connection(
            self.cluster, UpstreamAPI(self.route, self.cluster.store.accounts, self.cluster.metrics), peer
        )

    def code(self, connection, *more):
        """Say 100 things as the same guest; the code of the answer."""
        body = json.dumps({"userId": 1, "receiveUserId": 2, "batchMsg": ["x"] * 100})
        return json.loads(connection.ask("/p2pRoute", body, *more)[2])["code"]

    def test_by_the_peer(self):
        here, there = self.connect("192.0.2.7"), self.connect("198.51.100.7")
        self.assertEqual([self.code(here) for _ in range(4)], ["7000"] * 3 + ["6000"])
        self.assertEqual([self.code(there) for _ in range(4)], ["7000"] * 3 + ["6000"])

    def test_a_forged_header_helps_nobody(self):
        here = self.connect("192.0.2.7")
        codes = [self.code(here, f"X-Forwarded-For: 198.51.100.{number}") for number in range(5)]
        self.assertEqual(codes, ["7000"] * 3 + ["6000"] * 2)
        self.assertEqual(self.cluster.metrics._refused["untrusted-proxy"], 5)

    def test_behind_a_proxy_that_is_trusted(self):
        proxy = self.connect("10.0.0.1")
        for client in ("198.51.100.1", "198.51.100.2"):
            # What the client says of itself is not believed.
            codes = [self.code(proxy, f"X-Forwarded-For: 192.0.2.{number}, {client}") for number in range(4)]
            self.assertEqual(codes, ["7000"] * 3 + ["6000"])
        self.assertEqual(self.cluster.metrics._refused["untrusted-proxy"], 0)


class ServerTests(SynchronousTestCase):
    """What upstream's routes ask of a server."""

    def setUp(self):
        self.cluster = Cluster()
        self.zhangsan = Account(1545574049323, "zhangsan")
        self.cluster.routes[0].accounts.keep(self.zhangsan)
        server = self.cluster.servers[0]
        self.connection = Connection(self.cluster, ServerAPI(server.sessions, self.cluster.metrics, 65536))
        self.done = '{"code":"9000","message":"Success","reqNo":null,"dataBody":{"msg":"OK"}}'

    def send(self, body):
        status, _, answer = self.connection.ask("/sendMsg", body)
        self.assertEqual(status, "HTTP/1.1 200 OK")
        return answer

    def test_what_upstream_s_route_sends(self):
        client = self.cluster.log_in(self.zhangsan)
        who = (
            '"properties":{"sendUserId":"100","sendUserName":"lisi","receiveUserId":"1545574049323"},'
            '"userId":1545574049323'
        )
        for body, frame in (
            (f'{{"cmd":"MESSAGE","msg":"hello",{who}}}', MESSAGE_FRAME),
            (f'{{"batchMsg":["a","b"],"cmd":"MESSAGE",{who}}}', BATCH_FRAME),
            (f'{{"batchMsg":["a","b"],"cmd":"OFFLINE",{who}}}', OFFLINE_FRAME),
            (f'{{"batchMsg":["a","b"],"cmd":3,{who}}}', OFFLINE_FRAME),
            (f'{{"batchMsg":[],"cmd":"MESSAGE","msg":"hello",{who}}}', MESSAGE_FRAME),
        ):
            self.assertEqual(self.send(body), self.done)
            self.assertEqual(client.transport.value().hex(), frame)
            client.transport.clear()

    def test_what_the_first_generation_s_route_sends(self):
        client = self.cluster.log_in(self.zhangsan)
        self.assertEqual(self.send('{"msg":"lisi:hello","userId":1545574049323}'), self.done)
        (frame,) = client.frames()
        # The SDK parses this property of every frame as a number.
        self.assertEqual((frame.text, frame.properties["receiveUserId"]), ("lisi:hello", "1545574049323"))
        self.assertEqual(frame.properties["sendUserName"], "nobody")

    def test_nobody_is_there(self):
        self.assertEqual(
            self.send('{"cmd":"MESSAGE","msg":"hello","userId":5}'),
            '{"code":"7000","message":"You selected user is offline!, please try again later!",'
            '"reqNo":null,"dataBody":null}',
        )

    def test_commands_that_push_nothing(self):
        self.cluster.log_in(self.zhangsan)
        for command in ('"LOGIN_REQUEST"', '"PING"', "0", "2"):
            answer = self.send(f'{{"userId":{self.zhangsan.id},"msg":"x","cmd":{command}}}')
            self.assertIn('"code":"3000","message":"invalid argument: cmd must be MESSAGE or OFFLINE"', answer)
