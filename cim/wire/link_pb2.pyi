from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

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
    __slots__ = ("version", "name", "incarnation", "nonce", "websocket")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    INCARNATION_FIELD_NUMBER: _ClassVar[int]
    NONCE_FIELD_NUMBER: _ClassVar[int]
    WEBSOCKET_FIELD_NUMBER: _ClassVar[int]
    version: int
    name: str
    incarnation: str
    nonce: bytes
    websocket: str
    def __init__(self, version: _Optional[int] = ..., name: _Optional[str] = ..., incarnation: _Optional[str] = ..., nonce: _Optional[bytes] = ..., websocket: _Optional[str] = ...) -> None: ...

class Challenge(_message.Message):
    __slots__ = ("version", "name", "incarnation", "nonce")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    INCARNATION_FIELD_NUMBER: _ClassVar[int]
    NONCE_FIELD_NUMBER: _ClassVar[int]
    version: int
    name: str
    incarnation: str
    nonce: bytes
    def __init__(self, version: _Optional[int] = ..., name: _Optional[str] = ..., incarnation: _Optional[str] = ..., nonce: _Optional[bytes] = ...) -> None: ...

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
    __slots__ = ("items", "consumed")
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    CONSUMED_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[Item]
    consumed: int
    def __init__(self, items: _Optional[_Iterable[_Union[Item, _Mapping]]] = ..., consumed: _Optional[int] = ...) -> None: ...

class Item(_message.Message):
    __slots__ = ("snapshot_begin", "snapshot_end", "opened", "closed", "outcome", "reserve", "end", "probe", "deliver")
    SNAPSHOT_BEGIN_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_END_FIELD_NUMBER: _ClassVar[int]
    OPENED_FIELD_NUMBER: _ClassVar[int]
    CLOSED_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    RESERVE_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    PROBE_FIELD_NUMBER: _ClassVar[int]
    DELIVER_FIELD_NUMBER: _ClassVar[int]
    snapshot_begin: SnapshotBegin
    snapshot_end: SnapshotEnd
    opened: Opened
    closed: Closed
    outcome: Outcome
    reserve: Reserve
    end: End
    probe: Probe
    deliver: Deliver
    def __init__(self, snapshot_begin: _Optional[_Union[SnapshotBegin, _Mapping]] = ..., snapshot_end: _Optional[_Union[SnapshotEnd, _Mapping]] = ..., opened: _Optional[_Union[Opened, _Mapping]] = ..., closed: _Optional[_Union[Closed, _Mapping]] = ..., outcome: _Optional[_Union[Outcome, _Mapping]] = ..., reserve: _Optional[_Union[Reserve, _Mapping]] = ..., end: _Optional[_Union[End, _Mapping]] = ..., probe: _Optional[_Union[Probe, _Mapping]] = ..., deliver: _Optional[_Union[Deliver, _Mapping]] = ...) -> None: ...

class SnapshotBegin(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class SnapshotEnd(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Opened(_message.Message):
    __slots__ = ("user", "name", "session", "owner", "home")
    USER_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    SESSION_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    HOME_FIELD_NUMBER: _ClassVar[int]
    user: int
    name: str
    session: str
    owner: str
    home: bool
    def __init__(self, user: _Optional[int] = ..., name: _Optional[str] = ..., session: _Optional[str] = ..., owner: _Optional[str] = ..., home: _Optional[bool] = ...) -> None: ...

class Closed(_message.Message):
    __slots__ = ("user", "session", "owner", "home")
    USER_FIELD_NUMBER: _ClassVar[int]
    SESSION_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    HOME_FIELD_NUMBER: _ClassVar[int]
    user: int
    session: str
    owner: str
    home: bool
    def __init__(self, user: _Optional[int] = ..., session: _Optional[str] = ..., owner: _Optional[str] = ..., home: _Optional[bool] = ...) -> None: ...

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
    __slots__ = ("call", "user", "name", "owner", "seconds")
    CALL_FIELD_NUMBER: _ClassVar[int]
    USER_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    SECONDS_FIELD_NUMBER: _ClassVar[int]
    call: int
    user: int
    name: str
    owner: str
    seconds: int
    def __init__(self, call: _Optional[int] = ..., user: _Optional[int] = ..., name: _Optional[str] = ..., owner: _Optional[str] = ..., seconds: _Optional[int] = ...) -> None: ...

class End(_message.Message):
    __slots__ = ("call", "user", "owner", "code")
    CALL_FIELD_NUMBER: _ClassVar[int]
    USER_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    call: int
    user: int
    owner: str
    code: str
    def __init__(self, call: _Optional[int] = ..., user: _Optional[int] = ..., owner: _Optional[str] = ..., code: _Optional[str] = ...) -> None: ...

class Probe(_message.Message):
    __slots__ = ("call", "user")
    CALL_FIELD_NUMBER: _ClassVar[int]
    USER_FIELD_NUMBER: _ClassVar[int]
    call: int
    user: int
    def __init__(self, call: _Optional[int] = ..., user: _Optional[int] = ...) -> None: ...

class Deliver(_message.Message):
    __slots__ = ("call", "users", "everyone", "except_user", "guest")
    CALL_FIELD_NUMBER: _ClassVar[int]
    USERS_FIELD_NUMBER: _ClassVar[int]
    EVERYONE_FIELD_NUMBER: _ClassVar[int]
    EXCEPT_USER_FIELD_NUMBER: _ClassVar[int]
    GUEST_FIELD_NUMBER: _ClassVar[int]
    call: int
    users: _containers.RepeatedScalarFieldContainer[int]
    everyone: bool
    except_user: int
    guest: Guest
    def __init__(self, call: _Optional[int] = ..., users: _Optional[_Iterable[int]] = ..., everyone: _Optional[bool] = ..., except_user: _Optional[int] = ..., guest: _Optional[_Union[Guest, _Mapping]] = ...) -> None: ...

class Guest(_message.Message):
    __slots__ = ("sender", "sender_name", "texts", "batch", "offline", "properties")
    class PropertiesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    SENDER_FIELD_NUMBER: _ClassVar[int]
    SENDER_NAME_FIELD_NUMBER: _ClassVar[int]
    TEXTS_FIELD_NUMBER: _ClassVar[int]
    BATCH_FIELD_NUMBER: _ClassVar[int]
    OFFLINE_FIELD_NUMBER: _ClassVar[int]
    PROPERTIES_FIELD_NUMBER: _ClassVar[int]
    sender: int
    sender_name: str
    texts: _containers.RepeatedScalarFieldContainer[str]
    batch: bool
    offline: bool
    properties: _containers.ScalarMap[str, str]
    def __init__(self, sender: _Optional[int] = ..., sender_name: _Optional[str] = ..., texts: _Optional[_Iterable[str]] = ..., batch: _Optional[bool] = ..., offline: _Optional[bool] = ..., properties: _Optional[_Mapping[str, str]] = ...) -> None: ...
