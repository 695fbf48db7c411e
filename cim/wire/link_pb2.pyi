from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Purpose(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PACKET: _ClassVar[Purpose]
    HEADS: _ClassVar[Purpose]
PACKET: Purpose
HEADS: Purpose

class Handshake(_message.Message):
    __slots__ = ("hello", "challenge", "proof", "refused")
    HELLO_FIELD_NUMBER: _ClassVar[int]
    CHALLENGE_FIELD_NUMBER: _ClassVar[int]
    PROOF_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    hello: Hello
    challenge: Challenge
    proof: Proof
    refused: Refused
    def __init__(self, hello: _Optional[_Union[Hello, _Mapping]] = ..., challenge: _Optional[_Union[Challenge, _Mapping]] = ..., proof: _Optional[_Union[Proof, _Mapping]] = ..., refused: _Optional[_Union[Refused, _Mapping]] = ...) -> None: ...

class Hello(_message.Message):
    __slots__ = ("version", "name", "incarnation", "nonce", "websocket", "highest", "public_key", "tls_name")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    INCARNATION_FIELD_NUMBER: _ClassVar[int]
    NONCE_FIELD_NUMBER: _ClassVar[int]
    WEBSOCKET_FIELD_NUMBER: _ClassVar[int]
    HIGHEST_FIELD_NUMBER: _ClassVar[int]
    PUBLIC_KEY_FIELD_NUMBER: _ClassVar[int]
    TLS_NAME_FIELD_NUMBER: _ClassVar[int]
    version: int
    name: str
    incarnation: str
    nonce: bytes
    websocket: str
    highest: int
    public_key: bytes
    tls_name: str
    def __init__(self, version: _Optional[int] = ..., name: _Optional[str] = ..., incarnation: _Optional[str] = ..., nonce: _Optional[bytes] = ..., websocket: _Optional[str] = ..., highest: _Optional[int] = ..., public_key: _Optional[bytes] = ..., tls_name: _Optional[str] = ...) -> None: ...

class Challenge(_message.Message):
    __slots__ = ("version", "name", "incarnation", "nonce", "public_key")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    INCARNATION_FIELD_NUMBER: _ClassVar[int]
    NONCE_FIELD_NUMBER: _ClassVar[int]
    PUBLIC_KEY_FIELD_NUMBER: _ClassVar[int]
    version: int
    name: str
    incarnation: str
    nonce: bytes
    public_key: bytes
    def __init__(self, version: _Optional[int] = ..., name: _Optional[str] = ..., incarnation: _Optional[str] = ..., nonce: _Optional[bytes] = ..., public_key: _Optional[bytes] = ...) -> None: ...

class Proof(_message.Message):
    __slots__ = ("proof",)
    PROOF_FIELD_NUMBER: _ClassVar[int]
    proof: bytes
    def __init__(self, proof: _Optional[bytes] = ...) -> None: ...

class Refused(_message.Message):
    __slots__ = ("reason",)
    REASON_FIELD_NUMBER: _ClassVar[int]
    reason: str
    def __init__(self, reason: _Optional[str] = ...) -> None: ...

class Batch(_message.Message):
    __slots__ = ("items", "consumed", "time")
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    CONSUMED_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[Item]
    consumed: int
    time: int
    def __init__(self, items: _Optional[_Iterable[_Union[Item, _Mapping]]] = ..., consumed: _Optional[int] = ..., time: _Optional[int] = ...) -> None: ...

class Item(_message.Message):
    __slots__ = ("snapshot_begin", "snapshot_end", "opened", "closed", "outcome", "reserve", "end", "probe", "deliver", "request", "reply", "open", "open_outcome", "group_change", "groups_seen", "missed", "fence", "receipts", "store_state", "view", "load", "at", "tell", "relay", "relayed")
    SNAPSHOT_BEGIN_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_END_FIELD_NUMBER: _ClassVar[int]
    OPENED_FIELD_NUMBER: _ClassVar[int]
    CLOSED_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    RESERVE_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    PROBE_FIELD_NUMBER: _ClassVar[int]
    DELIVER_FIELD_NUMBER: _ClassVar[int]
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    REPLY_FIELD_NUMBER: _ClassVar[int]
    OPEN_FIELD_NUMBER: _ClassVar[int]
    OPEN_OUTCOME_FIELD_NUMBER: _ClassVar[int]
    GROUP_CHANGE_FIELD_NUMBER: _ClassVar[int]
    GROUPS_SEEN_FIELD_NUMBER: _ClassVar[int]
    MISSED_FIELD_NUMBER: _ClassVar[int]
    FENCE_FIELD_NUMBER: _ClassVar[int]
    RECEIPTS_FIELD_NUMBER: _ClassVar[int]
    STORE_STATE_FIELD_NUMBER: _ClassVar[int]
    VIEW_FIELD_NUMBER: _ClassVar[int]
    LOAD_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    TELL_FIELD_NUMBER: _ClassVar[int]
    RELAY_FIELD_NUMBER: _ClassVar[int]
    RELAYED_FIELD_NUMBER: _ClassVar[int]
    snapshot_begin: SnapshotBegin
    snapshot_end: SnapshotEnd
    opened: Opened
    closed: Closed
    outcome: Outcome
    reserve: Reserve
    end: End
    probe: Probe
    deliver: Deliver
    request: Request
    reply: Reply
    open: Open
    open_outcome: OpenOutcome
    group_change: GroupChange
    groups_seen: GroupsSeen
    missed: Missed
    fence: Fence
    receipts: ReceiptBatch
    store_state: StoreState
    view: View
    load: Load
    at: At
    tell: Tell
    relay: Relay
    relayed: Relayed
    def __init__(self, snapshot_begin: _Optional[_Union[SnapshotBegin, _Mapping]] = ..., snapshot_end: _Optional[_Union[SnapshotEnd, _Mapping]] = ..., opened: _Optional[_Union[Opened, _Mapping]] = ..., closed: _Optional[_Union[Closed, _Mapping]] = ..., outcome: _Optional[_Union[Outcome, _Mapping]] = ..., reserve: _Optional[_Union[Reserve, _Mapping]] = ..., end: _Optional[_Union[End, _Mapping]] = ..., probe: _Optional[_Union[Probe, _Mapping]] = ..., deliver: _Optional[_Union[Deliver, _Mapping]] = ..., request: _Optional[_Union[Request, _Mapping]] = ..., reply: _Optional[_Union[Reply, _Mapping]] = ..., open: _Optional[_Union[Open, _Mapping]] = ..., open_outcome: _Optional[_Union[OpenOutcome, _Mapping]] = ..., group_change: _Optional[_Union[GroupChange, _Mapping]] = ..., groups_seen: _Optional[_Union[GroupsSeen, _Mapping]] = ..., missed: _Optional[_Union[Missed, _Mapping]] = ..., fence: _Optional[_Union[Fence, _Mapping]] = ..., receipts: _Optional[_Union[ReceiptBatch, _Mapping]] = ..., store_state: _Optional[_Union[StoreState, _Mapping]] = ..., view: _Optional[_Union[View, _Mapping]] = ..., load: _Optional[_Union[Load, _Mapping]] = ..., at: _Optional[_Union[At, _Mapping]] = ..., tell: _Optional[_Union[Tell, _Mapping]] = ..., relay: _Optional[_Union[Relay, _Mapping]] = ..., relayed: _Optional[_Union[Relayed, _Mapping]] = ...) -> None: ...

class SnapshotBegin(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class SnapshotEnd(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Opened(_message.Message):
    __slots__ = ("user", "name", "session", "owner", "home", "device", "call", "again")
    USER_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    SESSION_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    HOME_FIELD_NUMBER: _ClassVar[int]
    DEVICE_FIELD_NUMBER: _ClassVar[int]
    CALL_FIELD_NUMBER: _ClassVar[int]
    AGAIN_FIELD_NUMBER: _ClassVar[int]
    user: int
    name: str
    session: str
    owner: str
    home: bool
    device: str
    call: int
    again: bool
    def __init__(self, user: _Optional[int] = ..., name: _Optional[str] = ..., session: _Optional[str] = ..., owner: _Optional[str] = ..., home: _Optional[bool] = ..., device: _Optional[str] = ..., call: _Optional[int] = ..., again: _Optional[bool] = ...) -> None: ...

class StoreState(_message.Message):
    __slots__ = ("away", "epoch")
    AWAY_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    away: bool
    epoch: int
    def __init__(self, away: _Optional[bool] = ..., epoch: _Optional[int] = ...) -> None: ...

class Fence(_message.Message):
    __slots__ = ("call",)
    CALL_FIELD_NUMBER: _ClassVar[int]
    call: int
    def __init__(self, call: _Optional[int] = ...) -> None: ...

class Closed(_message.Message):
    __slots__ = ("user", "session", "owner", "home", "device")
    USER_FIELD_NUMBER: _ClassVar[int]
    SESSION_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    HOME_FIELD_NUMBER: _ClassVar[int]
    DEVICE_FIELD_NUMBER: _ClassVar[int]
    user: int
    session: str
    owner: str
    home: bool
    device: str
    def __init__(self, user: _Optional[int] = ..., session: _Optional[str] = ..., owner: _Optional[str] = ..., home: _Optional[bool] = ..., device: _Optional[str] = ...) -> None: ...

class Outcome(_message.Message):
    __slots__ = ("call", "code", "sessions")
    CALL_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    SESSIONS_FIELD_NUMBER: _ClassVar[int]
    call: int
    code: str
    sessions: int
    def __init__(self, call: _Optional[int] = ..., code: _Optional[str] = ..., sessions: _Optional[int] = ...) -> None: ...

class Reserve(_message.Message):
    __slots__ = ("call", "user", "name", "owner", "seconds", "device", "beside", "native", "grouped", "groups", "version", "floors", "epoch", "bounded", "scopes", "lasts_ms")
    CALL_FIELD_NUMBER: _ClassVar[int]
    USER_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    SECONDS_FIELD_NUMBER: _ClassVar[int]
    DEVICE_FIELD_NUMBER: _ClassVar[int]
    BESIDE_FIELD_NUMBER: _ClassVar[int]
    NATIVE_FIELD_NUMBER: _ClassVar[int]
    GROUPED_FIELD_NUMBER: _ClassVar[int]
    GROUPS_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    FLOORS_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    BOUNDED_FIELD_NUMBER: _ClassVar[int]
    SCOPES_FIELD_NUMBER: _ClassVar[int]
    LASTS_MS_FIELD_NUMBER: _ClassVar[int]
    call: int
    user: int
    name: str
    owner: str
    seconds: int
    device: str
    beside: bool
    native: bool
    grouped: bool
    groups: _containers.RepeatedScalarFieldContainer[int]
    version: int
    floors: _containers.RepeatedScalarFieldContainer[str]
    epoch: int
    bounded: bool
    scopes: _containers.RepeatedScalarFieldContainer[str]
    lasts_ms: int
    def __init__(self, call: _Optional[int] = ..., user: _Optional[int] = ..., name: _Optional[str] = ..., owner: _Optional[str] = ..., seconds: _Optional[int] = ..., device: _Optional[str] = ..., beside: _Optional[bool] = ..., native: _Optional[bool] = ..., grouped: _Optional[bool] = ..., groups: _Optional[_Iterable[int]] = ..., version: _Optional[int] = ..., floors: _Optional[_Iterable[str]] = ..., epoch: _Optional[int] = ..., bounded: _Optional[bool] = ..., scopes: _Optional[_Iterable[str]] = ..., lasts_ms: _Optional[int] = ...) -> None: ...

class End(_message.Message):
    __slots__ = ("call", "user", "owner", "code", "message")
    CALL_FIELD_NUMBER: _ClassVar[int]
    USER_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    call: int
    user: int
    owner: str
    code: str
    message: str
    def __init__(self, call: _Optional[int] = ..., user: _Optional[int] = ..., owner: _Optional[str] = ..., code: _Optional[str] = ..., message: _Optional[str] = ...) -> None: ...

class Probe(_message.Message):
    __slots__ = ("call", "user", "owner")
    CALL_FIELD_NUMBER: _ClassVar[int]
    USER_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    call: int
    user: int
    owner: str
    def __init__(self, call: _Optional[int] = ..., user: _Optional[int] = ..., owner: _Optional[str] = ...) -> None: ...

class Deliver(_message.Message):
    __slots__ = ("call", "users", "everyone", "except_user", "sessions", "group", "except_session", "packet", "repeated", "batch", "reads", "members", "watched", "trace", "more")
    CALL_FIELD_NUMBER: _ClassVar[int]
    USERS_FIELD_NUMBER: _ClassVar[int]
    EVERYONE_FIELD_NUMBER: _ClassVar[int]
    EXCEPT_USER_FIELD_NUMBER: _ClassVar[int]
    SESSIONS_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    EXCEPT_SESSION_FIELD_NUMBER: _ClassVar[int]
    PACKET_FIELD_NUMBER: _ClassVar[int]
    REPEATED_FIELD_NUMBER: _ClassVar[int]
    BATCH_FIELD_NUMBER: _ClassVar[int]
    READS_FIELD_NUMBER: _ClassVar[int]
    MEMBERS_FIELD_NUMBER: _ClassVar[int]
    WATCHED_FIELD_NUMBER: _ClassVar[int]
    TRACE_FIELD_NUMBER: _ClassVar[int]
    MORE_FIELD_NUMBER: _ClassVar[int]
    call: int
    users: _containers.RepeatedScalarFieldContainer[int]
    everyone: bool
    except_user: int
    sessions: _containers.RepeatedScalarFieldContainer[str]
    group: int
    except_session: str
    packet: bytes
    repeated: bool
    batch: int
    reads: str
    members: bool
    watched: int
    trace: bytes
    more: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, call: _Optional[int] = ..., users: _Optional[_Iterable[int]] = ..., everyone: _Optional[bool] = ..., except_user: _Optional[int] = ..., sessions: _Optional[_Iterable[str]] = ..., group: _Optional[int] = ..., except_session: _Optional[str] = ..., packet: _Optional[bytes] = ..., repeated: _Optional[bool] = ..., batch: _Optional[int] = ..., reads: _Optional[str] = ..., members: _Optional[bool] = ..., watched: _Optional[int] = ..., trace: _Optional[bytes] = ..., more: _Optional[_Iterable[bytes]] = ...) -> None: ...

class Request(_message.Message):
    __slots__ = ("call", "user", "name", "session", "device", "purpose", "conversation", "packet", "since", "page", "after", "members", "trace", "more")
    CALL_FIELD_NUMBER: _ClassVar[int]
    USER_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    SESSION_FIELD_NUMBER: _ClassVar[int]
    DEVICE_FIELD_NUMBER: _ClassVar[int]
    PURPOSE_FIELD_NUMBER: _ClassVar[int]
    CONVERSATION_FIELD_NUMBER: _ClassVar[int]
    PACKET_FIELD_NUMBER: _ClassVar[int]
    SINCE_FIELD_NUMBER: _ClassVar[int]
    PAGE_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    MEMBERS_FIELD_NUMBER: _ClassVar[int]
    TRACE_FIELD_NUMBER: _ClassVar[int]
    MORE_FIELD_NUMBER: _ClassVar[int]
    call: int
    user: int
    name: str
    session: str
    device: str
    purpose: Purpose
    conversation: str
    packet: bytes
    since: str
    page: str
    after: str
    members: bool
    trace: bytes
    more: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, call: _Optional[int] = ..., user: _Optional[int] = ..., name: _Optional[str] = ..., session: _Optional[str] = ..., device: _Optional[str] = ..., purpose: _Optional[_Union[Purpose, str]] = ..., conversation: _Optional[str] = ..., packet: _Optional[bytes] = ..., since: _Optional[str] = ..., page: _Optional[str] = ..., after: _Optional[str] = ..., members: _Optional[bool] = ..., trace: _Optional[bytes] = ..., more: _Optional[_Iterable[bytes]] = ...) -> None: ...

class Reply(_message.Message):
    __slots__ = ("call", "code", "packets", "calls")
    CALL_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    PACKETS_FIELD_NUMBER: _ClassVar[int]
    CALLS_FIELD_NUMBER: _ClassVar[int]
    call: int
    code: str
    packets: _containers.RepeatedScalarFieldContainer[bytes]
    calls: int
    def __init__(self, call: _Optional[int] = ..., code: _Optional[str] = ..., packets: _Optional[_Iterable[bytes]] = ..., calls: _Optional[int] = ...) -> None: ...

class Open(_message.Message):
    __slots__ = ("call", "user", "name", "session", "owner", "device")
    CALL_FIELD_NUMBER: _ClassVar[int]
    USER_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    SESSION_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    DEVICE_FIELD_NUMBER: _ClassVar[int]
    call: int
    user: int
    name: str
    session: str
    owner: str
    device: str
    def __init__(self, call: _Optional[int] = ..., user: _Optional[int] = ..., name: _Optional[str] = ..., session: _Optional[str] = ..., owner: _Optional[str] = ..., device: _Optional[str] = ...) -> None: ...

class OpenOutcome(_message.Message):
    __slots__ = ("call", "code", "groups", "version", "floors", "epoch")
    CALL_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    GROUPS_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    FLOORS_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    call: int
    code: str
    groups: _containers.RepeatedScalarFieldContainer[int]
    version: int
    floors: _containers.RepeatedScalarFieldContainer[str]
    epoch: int
    def __init__(self, call: _Optional[int] = ..., code: _Optional[str] = ..., groups: _Optional[_Iterable[int]] = ..., version: _Optional[int] = ..., floors: _Optional[_Iterable[str]] = ..., epoch: _Optional[int] = ...) -> None: ...

class GroupChange(_message.Message):
    __slots__ = ("call", "version", "group", "user", "added", "floor", "epoch", "previous")
    CALL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    USER_FIELD_NUMBER: _ClassVar[int]
    ADDED_FIELD_NUMBER: _ClassVar[int]
    FLOOR_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    PREVIOUS_FIELD_NUMBER: _ClassVar[int]
    call: int
    version: int
    group: int
    user: int
    added: bool
    floor: str
    epoch: int
    previous: int
    def __init__(self, call: _Optional[int] = ..., version: _Optional[int] = ..., group: _Optional[int] = ..., user: _Optional[int] = ..., added: _Optional[bool] = ..., floor: _Optional[str] = ..., epoch: _Optional[int] = ..., previous: _Optional[int] = ...) -> None: ...

class GroupsSeen(_message.Message):
    __slots__ = ("version", "epoch")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    version: int
    epoch: int
    def __init__(self, version: _Optional[int] = ..., epoch: _Optional[int] = ...) -> None: ...

class Missed(_message.Message):
    __slots__ = ("seconds",)
    SECONDS_FIELD_NUMBER: _ClassVar[int]
    seconds: int
    def __init__(self, seconds: _Optional[int] = ...) -> None: ...

class ReceiptBatch(_message.Message):
    __slots__ = ("call", "receipts")
    CALL_FIELD_NUMBER: _ClassVar[int]
    RECEIPTS_FIELD_NUMBER: _ClassVar[int]
    call: int
    receipts: _containers.RepeatedCompositeFieldContainer[Receipt]
    def __init__(self, call: _Optional[int] = ..., receipts: _Optional[_Iterable[_Union[Receipt, _Mapping]]] = ...) -> None: ...

class Receipt(_message.Message):
    __slots__ = ("user", "conversation", "position", "device")
    USER_FIELD_NUMBER: _ClassVar[int]
    CONVERSATION_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    DEVICE_FIELD_NUMBER: _ClassVar[int]
    user: int
    conversation: str
    position: str
    device: str
    def __init__(self, user: _Optional[int] = ..., conversation: _Optional[str] = ..., position: _Optional[str] = ..., device: _Optional[str] = ...) -> None: ...

class View(_message.Message):
    __slots__ = ("call", "sharing", "others", "moving")
    CALL_FIELD_NUMBER: _ClassVar[int]
    SHARING_FIELD_NUMBER: _ClassVar[int]
    OTHERS_FIELD_NUMBER: _ClassVar[int]
    MOVING_FIELD_NUMBER: _ClassVar[int]
    call: int
    sharing: _containers.RepeatedScalarFieldContainer[str]
    others: _containers.RepeatedScalarFieldContainer[str]
    moving: bool
    def __init__(self, call: _Optional[int] = ..., sharing: _Optional[_Iterable[str]] = ..., others: _Optional[_Iterable[str]] = ..., moving: _Optional[bool] = ...) -> None: ...

class Load(_message.Message):
    __slots__ = ("sessions",)
    SESSIONS_FIELD_NUMBER: _ClassVar[int]
    sessions: int
    def __init__(self, sessions: _Optional[int] = ...) -> None: ...

class At(_message.Message):
    __slots__ = ("call", "user", "sessions")
    CALL_FIELD_NUMBER: _ClassVar[int]
    USER_FIELD_NUMBER: _ClassVar[int]
    SESSIONS_FIELD_NUMBER: _ClassVar[int]
    call: int
    user: int
    sessions: _containers.RepeatedCompositeFieldContainer[Known]
    def __init__(self, call: _Optional[int] = ..., user: _Optional[int] = ..., sessions: _Optional[_Iterable[_Union[Known, _Mapping]]] = ...) -> None: ...

class Tell(_message.Message):
    __slots__ = ("user", "routes")
    USER_FIELD_NUMBER: _ClassVar[int]
    ROUTES_FIELD_NUMBER: _ClassVar[int]
    user: int
    routes: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, user: _Optional[int] = ..., routes: _Optional[_Iterable[str]] = ...) -> None: ...

class Known(_message.Message):
    __slots__ = ("user", "session", "owner", "device", "name", "server", "incarnation")
    USER_FIELD_NUMBER: _ClassVar[int]
    SESSION_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    DEVICE_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    SERVER_FIELD_NUMBER: _ClassVar[int]
    INCARNATION_FIELD_NUMBER: _ClassVar[int]
    user: int
    session: str
    owner: str
    device: str
    name: str
    server: str
    incarnation: str
    def __init__(self, user: _Optional[int] = ..., session: _Optional[str] = ..., owner: _Optional[str] = ..., device: _Optional[str] = ..., name: _Optional[str] = ..., server: _Optional[str] = ..., incarnation: _Optional[str] = ...) -> None: ...

class Relay(_message.Message):
    __slots__ = ("call", "route", "question")
    CALL_FIELD_NUMBER: _ClassVar[int]
    ROUTE_FIELD_NUMBER: _ClassVar[int]
    QUESTION_FIELD_NUMBER: _ClassVar[int]
    call: int
    route: str
    question: bytes
    def __init__(self, call: _Optional[int] = ..., route: _Optional[str] = ..., question: _Optional[bytes] = ...) -> None: ...

class Relayed(_message.Message):
    __slots__ = ("call", "code", "answer")
    CALL_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    ANSWER_FIELD_NUMBER: _ClassVar[int]
    call: int
    code: str
    answer: bytes
    def __init__(self, call: _Optional[int] = ..., code: _Optional[str] = ..., answer: _Optional[bytes] = ...) -> None: ...

class Question(_message.Message):
    __slots__ = ("where", "listing")
    WHERE_FIELD_NUMBER: _ClassVar[int]
    LISTING_FIELD_NUMBER: _ClassVar[int]
    where: Where
    listing: Listing
    def __init__(self, where: _Optional[_Union[Where, _Mapping]] = ..., listing: _Optional[_Union[Listing, _Mapping]] = ...) -> None: ...

class Where(_message.Message):
    __slots__ = ("users", "follow")
    USERS_FIELD_NUMBER: _ClassVar[int]
    FOLLOW_FIELD_NUMBER: _ClassVar[int]
    users: _containers.RepeatedScalarFieldContainer[int]
    follow: bool
    def __init__(self, users: _Optional[_Iterable[int]] = ..., follow: _Optional[bool] = ...) -> None: ...

class Listing(_message.Message):
    __slots__ = ("prefix", "after", "limit", "viewer", "guests")
    PREFIX_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    VIEWER_FIELD_NUMBER: _ClassVar[int]
    GUESTS_FIELD_NUMBER: _ClassVar[int]
    prefix: str
    after: str
    limit: int
    viewer: int
    guests: bool
    def __init__(self, prefix: _Optional[str] = ..., after: _Optional[str] = ..., limit: _Optional[int] = ..., viewer: _Optional[int] = ..., guests: _Optional[bool] = ...) -> None: ...

class Answer(_message.Message):
    __slots__ = ("sessions", "total", "more")
    SESSIONS_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    MORE_FIELD_NUMBER: _ClassVar[int]
    sessions: _containers.RepeatedCompositeFieldContainer[Known]
    total: int
    more: bool
    def __init__(self, sessions: _Optional[_Iterable[_Union[Known, _Mapping]]] = ..., total: _Optional[int] = ..., more: _Optional[bool] = ...) -> None: ...
