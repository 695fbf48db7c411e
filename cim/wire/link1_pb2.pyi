from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Item(_message.Message):
    __slots__ = ("deliver", "request", "fetch_offline")
    DELIVER_FIELD_NUMBER: _ClassVar[int]
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    FETCH_OFFLINE_FIELD_NUMBER: _ClassVar[int]
    deliver: Deliver
    request: Request
    fetch_offline: FetchOffline
    def __init__(self, deliver: _Optional[_Union[Deliver, _Mapping]] = ..., request: _Optional[_Union[Request, _Mapping]] = ..., fetch_offline: _Optional[_Union[FetchOffline, _Mapping]] = ...) -> None: ...

class Deliver(_message.Message):
    __slots__ = ("call", "users", "everyone", "except_user", "guest", "sessions", "group", "except_session", "conversation", "position", "previous", "packet", "repeated")
    CALL_FIELD_NUMBER: _ClassVar[int]
    USERS_FIELD_NUMBER: _ClassVar[int]
    EVERYONE_FIELD_NUMBER: _ClassVar[int]
    EXCEPT_USER_FIELD_NUMBER: _ClassVar[int]
    GUEST_FIELD_NUMBER: _ClassVar[int]
    SESSIONS_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    EXCEPT_SESSION_FIELD_NUMBER: _ClassVar[int]
    CONVERSATION_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    PREVIOUS_FIELD_NUMBER: _ClassVar[int]
    PACKET_FIELD_NUMBER: _ClassVar[int]
    REPEATED_FIELD_NUMBER: _ClassVar[int]
    call: int
    users: _containers.RepeatedScalarFieldContainer[int]
    everyone: bool
    except_user: int
    guest: Guest
    sessions: _containers.RepeatedScalarFieldContainer[str]
    group: int
    except_session: str
    conversation: str
    position: str
    previous: str
    packet: bytes
    repeated: bool
    def __init__(self, call: _Optional[int] = ..., users: _Optional[_Iterable[int]] = ..., everyone: _Optional[bool] = ..., except_user: _Optional[int] = ..., guest: _Optional[_Union[Guest, _Mapping]] = ..., sessions: _Optional[_Iterable[str]] = ..., group: _Optional[int] = ..., except_session: _Optional[str] = ..., conversation: _Optional[str] = ..., position: _Optional[str] = ..., previous: _Optional[str] = ..., packet: _Optional[bytes] = ..., repeated: _Optional[bool] = ...) -> None: ...

class Guest(_message.Message):
    __slots__ = ("sender", "sender_name", "texts", "batch")
    SENDER_FIELD_NUMBER: _ClassVar[int]
    SENDER_NAME_FIELD_NUMBER: _ClassVar[int]
    TEXTS_FIELD_NUMBER: _ClassVar[int]
    BATCH_FIELD_NUMBER: _ClassVar[int]
    sender: int
    sender_name: str
    texts: _containers.RepeatedScalarFieldContainer[str]
    batch: bool
    def __init__(self, sender: _Optional[int] = ..., sender_name: _Optional[str] = ..., texts: _Optional[_Iterable[str]] = ..., batch: _Optional[bool] = ...) -> None: ...

class Request(_message.Message):
    __slots__ = ("call", "user", "name", "session", "device", "purpose", "conversation", "packet", "again", "since", "page")
    CALL_FIELD_NUMBER: _ClassVar[int]
    USER_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    SESSION_FIELD_NUMBER: _ClassVar[int]
    DEVICE_FIELD_NUMBER: _ClassVar[int]
    PURPOSE_FIELD_NUMBER: _ClassVar[int]
    CONVERSATION_FIELD_NUMBER: _ClassVar[int]
    PACKET_FIELD_NUMBER: _ClassVar[int]
    AGAIN_FIELD_NUMBER: _ClassVar[int]
    SINCE_FIELD_NUMBER: _ClassVar[int]
    PAGE_FIELD_NUMBER: _ClassVar[int]
    call: int
    user: int
    name: str
    session: str
    device: str
    purpose: int
    conversation: str
    packet: bytes
    again: bool
    since: str
    page: str
    def __init__(self, call: _Optional[int] = ..., user: _Optional[int] = ..., name: _Optional[str] = ..., session: _Optional[str] = ..., device: _Optional[str] = ..., purpose: _Optional[int] = ..., conversation: _Optional[str] = ..., packet: _Optional[bytes] = ..., again: _Optional[bool] = ..., since: _Optional[str] = ..., page: _Optional[str] = ...) -> None: ...

class FetchOffline(_message.Message):
    __slots__ = ("call", "user")
    CALL_FIELD_NUMBER: _ClassVar[int]
    USER_FIELD_NUMBER: _ClassVar[int]
    call: int
    user: int
    def __init__(self, call: _Optional[int] = ..., user: _Optional[int] = ...) -> None: ...
