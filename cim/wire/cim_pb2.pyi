from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Command(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    LOGIN_REQUEST: _ClassVar[Command]
    MESSAGE: _ClassVar[Command]
    PING: _ClassVar[Command]
    OFFLINE: _ClassVar[Command]

class Kind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    TEXT: _ClassVar[Kind]
    RECALL: _ClassVar[Kind]
    EDIT: _ClassVar[Kind]
    REACTION: _ClassVar[Kind]
    MEMBERS: _ClassVar[Kind]
LOGIN_REQUEST: Command
MESSAGE: Command
PING: Command
OFFLINE: Command
TEXT: Kind
RECALL: Kind
EDIT: Kind
REACTION: Kind
MEMBERS: Kind

class Packet(_message.Message):
    __slots__ = ("text", "user_id", "command", "properties", "batch", "hello", "welcome", "send", "accepted", "deliver", "received", "sync", "synced", "read", "news", "typing", "presence", "ping", "pong", "failure", "goodbye", "watch", "invited", "removed", "muted")
    class PropertiesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    TEXT_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    COMMAND_FIELD_NUMBER: _ClassVar[int]
    PROPERTIES_FIELD_NUMBER: _ClassVar[int]
    BATCH_FIELD_NUMBER: _ClassVar[int]
    HELLO_FIELD_NUMBER: _ClassVar[int]
    WELCOME_FIELD_NUMBER: _ClassVar[int]
    SEND_FIELD_NUMBER: _ClassVar[int]
    ACCEPTED_FIELD_NUMBER: _ClassVar[int]
    DELIVER_FIELD_NUMBER: _ClassVar[int]
    RECEIVED_FIELD_NUMBER: _ClassVar[int]
    SYNC_FIELD_NUMBER: _ClassVar[int]
    SYNCED_FIELD_NUMBER: _ClassVar[int]
    READ_FIELD_NUMBER: _ClassVar[int]
    NEWS_FIELD_NUMBER: _ClassVar[int]
    TYPING_FIELD_NUMBER: _ClassVar[int]
    PRESENCE_FIELD_NUMBER: _ClassVar[int]
    PING_FIELD_NUMBER: _ClassVar[int]
    PONG_FIELD_NUMBER: _ClassVar[int]
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    GOODBYE_FIELD_NUMBER: _ClassVar[int]
    WATCH_FIELD_NUMBER: _ClassVar[int]
    INVITED_FIELD_NUMBER: _ClassVar[int]
    REMOVED_FIELD_NUMBER: _ClassVar[int]
    MUTED_FIELD_NUMBER: _ClassVar[int]
    text: str
    user_id: int
    command: Command
    properties: _containers.ScalarMap[str, str]
    batch: _containers.RepeatedScalarFieldContainer[str]
    hello: Hello
    welcome: Welcome
    send: Send
    accepted: Accepted
    deliver: Deliver
    received: Received
    sync: Sync
    synced: Synced
    read: Read
    news: News
    typing: Typing
    presence: Presence
    ping: Ping
    pong: Pong
    failure: Failure
    goodbye: Goodbye
    watch: Watch
    invited: Invited
    removed: Removed
    muted: Muted
    def __init__(self, text: _Optional[str] = ..., user_id: _Optional[int] = ..., command: _Optional[_Union[Command, str]] = ..., properties: _Optional[_Mapping[str, str]] = ..., batch: _Optional[_Iterable[str]] = ..., hello: _Optional[_Union[Hello, _Mapping]] = ..., welcome: _Optional[_Union[Welcome, _Mapping]] = ..., send: _Optional[_Union[Send, _Mapping]] = ..., accepted: _Optional[_Union[Accepted, _Mapping]] = ..., deliver: _Optional[_Union[Deliver, _Mapping]] = ..., received: _Optional[_Union[Received, _Mapping]] = ..., sync: _Optional[_Union[Sync, _Mapping]] = ..., synced: _Optional[_Union[Synced, _Mapping]] = ..., read: _Optional[_Union[Read, _Mapping]] = ..., news: _Optional[_Union[News, _Mapping]] = ..., typing: _Optional[_Union[Typing, _Mapping]] = ..., presence: _Optional[_Union[Presence, _Mapping]] = ..., ping: _Optional[_Union[Ping, _Mapping]] = ..., pong: _Optional[_Union[Pong, _Mapping]] = ..., failure: _Optional[_Union[Failure, _Mapping]] = ..., goodbye: _Optional[_Union[Goodbye, _Mapping]] = ..., watch: _Optional[_Union[Watch, _Mapping]] = ..., invited: _Optional[_Union[Invited, _Mapping]] = ..., removed: _Optional[_Union[Removed, _Mapping]] = ..., muted: _Optional[_Union[Muted, _Mapping]] = ...) -> None: ...

class Hello(_message.Message):
    __slots__ = ("ticket", "device", "agent", "since", "members")
    TICKET_FIELD_NUMBER: _ClassVar[int]
    DEVICE_FIELD_NUMBER: _ClassVar[int]
    AGENT_FIELD_NUMBER: _ClassVar[int]
    SINCE_FIELD_NUMBER: _ClassVar[int]
    MEMBERS_FIELD_NUMBER: _ClassVar[int]
    ticket: str
    device: str
    agent: str
    since: str
    members: bool
    def __init__(self, ticket: _Optional[str] = ..., device: _Optional[str] = ..., agent: _Optional[str] = ..., since: _Optional[str] = ..., members: _Optional[bool] = ...) -> None: ...

class Welcome(_message.Message):
    __slots__ = ("user_id", "session", "heartbeat_seconds", "heads", "more", "as_of", "max_packet", "invited")
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    SESSION_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_SECONDS_FIELD_NUMBER: _ClassVar[int]
    HEADS_FIELD_NUMBER: _ClassVar[int]
    MORE_FIELD_NUMBER: _ClassVar[int]
    AS_OF_FIELD_NUMBER: _ClassVar[int]
    MAX_PACKET_FIELD_NUMBER: _ClassVar[int]
    INVITED_FIELD_NUMBER: _ClassVar[int]
    user_id: int
    session: str
    heartbeat_seconds: int
    heads: _containers.RepeatedCompositeFieldContainer[Head]
    more: str
    as_of: str
    max_packet: int
    invited: _containers.RepeatedCompositeFieldContainer[Invited]
    def __init__(self, user_id: _Optional[int] = ..., session: _Optional[str] = ..., heartbeat_seconds: _Optional[int] = ..., heads: _Optional[_Iterable[_Union[Head, _Mapping]]] = ..., more: _Optional[str] = ..., as_of: _Optional[str] = ..., max_packet: _Optional[int] = ..., invited: _Optional[_Iterable[_Union[Invited, _Mapping]]] = ...) -> None: ...

class Head(_message.Message):
    __slots__ = ("conversation", "latest", "received", "read", "unread")
    CONVERSATION_FIELD_NUMBER: _ClassVar[int]
    LATEST_FIELD_NUMBER: _ClassVar[int]
    RECEIVED_FIELD_NUMBER: _ClassVar[int]
    READ_FIELD_NUMBER: _ClassVar[int]
    UNREAD_FIELD_NUMBER: _ClassVar[int]
    conversation: str
    latest: str
    received: str
    read: str
    unread: int
    def __init__(self, conversation: _Optional[str] = ..., latest: _Optional[str] = ..., received: _Optional[str] = ..., read: _Optional[str] = ..., unread: _Optional[int] = ...) -> None: ...

class Send(_message.Message):
    __slots__ = ("user", "group", "client_id", "text", "data", "content_type", "kind", "ref")
    USER_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    CLIENT_ID_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    CONTENT_TYPE_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    REF_FIELD_NUMBER: _ClassVar[int]
    user: int
    group: int
    client_id: str
    text: str
    data: bytes
    content_type: str
    kind: Kind
    ref: str
    def __init__(self, user: _Optional[int] = ..., group: _Optional[int] = ..., client_id: _Optional[str] = ..., text: _Optional[str] = ..., data: _Optional[bytes] = ..., content_type: _Optional[str] = ..., kind: _Optional[_Union[Kind, str]] = ..., ref: _Optional[str] = ...) -> None: ...

class Accepted(_message.Message):
    __slots__ = ("client_id", "conversation", "position", "sent_at", "previous")
    CLIENT_ID_FIELD_NUMBER: _ClassVar[int]
    CONVERSATION_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    SENT_AT_FIELD_NUMBER: _ClassVar[int]
    PREVIOUS_FIELD_NUMBER: _ClassVar[int]
    client_id: str
    conversation: str
    position: str
    sent_at: int
    previous: str
    def __init__(self, client_id: _Optional[str] = ..., conversation: _Optional[str] = ..., position: _Optional[str] = ..., sent_at: _Optional[int] = ..., previous: _Optional[str] = ...) -> None: ...

class Deliver(_message.Message):
    __slots__ = ("conversation", "position", "previous", "sender", "sender_name", "sent_at", "client_id", "text", "data", "content_type", "kind", "ref", "group", "changes", "edited", "by_operator")
    CONVERSATION_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    PREVIOUS_FIELD_NUMBER: _ClassVar[int]
    SENDER_FIELD_NUMBER: _ClassVar[int]
    SENDER_NAME_FIELD_NUMBER: _ClassVar[int]
    SENT_AT_FIELD_NUMBER: _ClassVar[int]
    CLIENT_ID_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    CONTENT_TYPE_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    REF_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    CHANGES_FIELD_NUMBER: _ClassVar[int]
    EDITED_FIELD_NUMBER: _ClassVar[int]
    BY_OPERATOR_FIELD_NUMBER: _ClassVar[int]
    conversation: str
    position: str
    previous: str
    sender: int
    sender_name: str
    sent_at: int
    client_id: str
    text: str
    data: bytes
    content_type: str
    kind: Kind
    ref: str
    group: int
    changes: _containers.RepeatedCompositeFieldContainer[Change]
    edited: bool
    by_operator: bool
    def __init__(self, conversation: _Optional[str] = ..., position: _Optional[str] = ..., previous: _Optional[str] = ..., sender: _Optional[int] = ..., sender_name: _Optional[str] = ..., sent_at: _Optional[int] = ..., client_id: _Optional[str] = ..., text: _Optional[str] = ..., data: _Optional[bytes] = ..., content_type: _Optional[str] = ..., kind: _Optional[_Union[Kind, str]] = ..., ref: _Optional[str] = ..., group: _Optional[int] = ..., changes: _Optional[_Iterable[_Union[Change, _Mapping]]] = ..., edited: _Optional[bool] = ..., by_operator: _Optional[bool] = ...) -> None: ...

class Change(_message.Message):
    __slots__ = ("what", "user", "by", "text", "number")
    WHAT_FIELD_NUMBER: _ClassVar[int]
    USER_FIELD_NUMBER: _ClassVar[int]
    BY_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    what: str
    user: int
    by: int
    text: str
    number: int
    def __init__(self, what: _Optional[str] = ..., user: _Optional[int] = ..., by: _Optional[int] = ..., text: _Optional[str] = ..., number: _Optional[int] = ...) -> None: ...

class Received(_message.Message):
    __slots__ = ("conversation", "position")
    CONVERSATION_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    conversation: str
    position: str
    def __init__(self, conversation: _Optional[str] = ..., position: _Optional[str] = ...) -> None: ...

class Read(_message.Message):
    __slots__ = ("conversation", "position", "reader")
    CONVERSATION_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    READER_FIELD_NUMBER: _ClassVar[int]
    conversation: str
    position: str
    reader: int
    def __init__(self, conversation: _Optional[str] = ..., position: _Optional[str] = ..., reader: _Optional[int] = ...) -> None: ...

class Sync(_message.Message):
    __slots__ = ("conversation", "after", "limit", "before")
    CONVERSATION_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    BEFORE_FIELD_NUMBER: _ClassVar[int]
    conversation: str
    after: str
    limit: int
    before: str
    def __init__(self, conversation: _Optional[str] = ..., after: _Optional[str] = ..., limit: _Optional[int] = ..., before: _Optional[str] = ...) -> None: ...

class Synced(_message.Message):
    __slots__ = ("conversation", "upto", "more", "reset", "after")
    CONVERSATION_FIELD_NUMBER: _ClassVar[int]
    UPTO_FIELD_NUMBER: _ClassVar[int]
    MORE_FIELD_NUMBER: _ClassVar[int]
    RESET_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    conversation: str
    upto: str
    more: bool
    reset: bool
    after: str
    def __init__(self, conversation: _Optional[str] = ..., upto: _Optional[str] = ..., more: _Optional[bool] = ..., reset: _Optional[bool] = ..., after: _Optional[str] = ...) -> None: ...

class News(_message.Message):
    __slots__ = ("heads", "more", "unasked", "invited")
    HEADS_FIELD_NUMBER: _ClassVar[int]
    MORE_FIELD_NUMBER: _ClassVar[int]
    UNASKED_FIELD_NUMBER: _ClassVar[int]
    INVITED_FIELD_NUMBER: _ClassVar[int]
    heads: _containers.RepeatedCompositeFieldContainer[Head]
    more: str
    unasked: bool
    invited: _containers.RepeatedCompositeFieldContainer[Invited]
    def __init__(self, heads: _Optional[_Iterable[_Union[Head, _Mapping]]] = ..., more: _Optional[str] = ..., unasked: _Optional[bool] = ..., invited: _Optional[_Iterable[_Union[Invited, _Mapping]]] = ...) -> None: ...

class Invited(_message.Message):
    __slots__ = ("group", "group_name", "by", "by_name", "at")
    GROUP_FIELD_NUMBER: _ClassVar[int]
    GROUP_NAME_FIELD_NUMBER: _ClassVar[int]
    BY_FIELD_NUMBER: _ClassVar[int]
    BY_NAME_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    group: int
    group_name: str
    by: int
    by_name: str
    at: int
    def __init__(self, group: _Optional[int] = ..., group_name: _Optional[str] = ..., by: _Optional[int] = ..., by_name: _Optional[str] = ..., at: _Optional[int] = ...) -> None: ...

class Removed(_message.Message):
    __slots__ = ("group", "what", "by")
    GROUP_FIELD_NUMBER: _ClassVar[int]
    WHAT_FIELD_NUMBER: _ClassVar[int]
    BY_FIELD_NUMBER: _ClassVar[int]
    group: int
    what: str
    by: int
    def __init__(self, group: _Optional[int] = ..., what: _Optional[str] = ..., by: _Optional[int] = ...) -> None: ...

class Muted(_message.Message):
    __slots__ = ("conversation", "until")
    CONVERSATION_FIELD_NUMBER: _ClassVar[int]
    UNTIL_FIELD_NUMBER: _ClassVar[int]
    conversation: str
    until: int
    def __init__(self, conversation: _Optional[str] = ..., until: _Optional[int] = ...) -> None: ...

class Typing(_message.Message):
    __slots__ = ("user", "group", "who")
    USER_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    WHO_FIELD_NUMBER: _ClassVar[int]
    user: int
    group: int
    who: int
    def __init__(self, user: _Optional[int] = ..., group: _Optional[int] = ..., who: _Optional[int] = ...) -> None: ...

class Presence(_message.Message):
    __slots__ = ("user_id", "online")
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    ONLINE_FIELD_NUMBER: _ClassVar[int]
    user_id: int
    online: bool
    def __init__(self, user_id: _Optional[int] = ..., online: _Optional[bool] = ...) -> None: ...

class Watch(_message.Message):
    __slots__ = ("users",)
    USERS_FIELD_NUMBER: _ClassVar[int]
    users: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, users: _Optional[_Iterable[int]] = ...) -> None: ...

class Ping(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Pong(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Failure(_message.Message):
    __slots__ = ("code", "message", "client_id", "conversation", "retry_after_seconds")
    CODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    CLIENT_ID_FIELD_NUMBER: _ClassVar[int]
    CONVERSATION_FIELD_NUMBER: _ClassVar[int]
    RETRY_AFTER_SECONDS_FIELD_NUMBER: _ClassVar[int]
    code: str
    message: str
    client_id: str
    conversation: str
    retry_after_seconds: int
    def __init__(self, code: _Optional[str] = ..., message: _Optional[str] = ..., client_id: _Optional[str] = ..., conversation: _Optional[str] = ..., retry_after_seconds: _Optional[int] = ...) -> None: ...

class Goodbye(_message.Message):
    __slots__ = ("code", "message", "retry_after_seconds")
    CODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    RETRY_AFTER_SECONDS_FIELD_NUMBER: _ClassVar[int]
    code: str
    message: str
    retry_after_seconds: int
    def __init__(self, code: _Optional[str] = ..., message: _Optional[str] = ..., retry_after_seconds: _Optional[int] = ...) -> None: ...
