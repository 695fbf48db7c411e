// The values that cim.js passes to applications (docs/javascript.md).

/** `p:<lower id>:<higher id>`, `g:<group id>`, or `g:0` for everyone. */
export type Conversation = string;
/** A place in a conversation, `<epoch>-<n>`; compare with `comparePositions`. */
export type Position = string;

export interface User { id: number; name: string }

export type StateName = 'idle' | 'connecting' | 'online' | 'waiting' | 'ended';
export interface State {
  name: StateName;
  /** Since when, in ms since 1970. */
  since: number;
  /** While waiting: when the next attempt is made, in ms since 1970. */
  retryAt?: number;
  /** Why it waits or ended: a code such as `replaced`, `logged-out`, `unauthorized`, `draining`, `unavailable`, `unreachable`, `offline`. */
  code?: string;
  /** The reason as a sentence for people. */
  reason?: string;
}

export type Kind = 'text' | 'recall' | 'edit' | 'reaction' | 'members';

/** What happened to the members of a group (docs/protocol.md, Sending). */
export interface Change {
  what:
    | 'joined' | 'accepted' | 'added' | 'removed' | 'left' | 'role' | 'renamed'
    | 'open' | 'history' | 'muted' | 'unmuted' | 'banned' | 'unbanned' | 'dissolved';
  user: number;
  by: number;
  text: string;
}

/** A text as it stands now, or what happened in a group. */
export interface Message {
  conversation: Conversation;
  position: Position;
  previous: Position;
  sender: User;
  mine: boolean;
  /** In ms since 1970. */
  sentAt: number;
  clientId: string;
  kind: 'text' | 'members';
  text: string;
  data: Uint8Array | null;
  contentType: string;
  edited: boolean;
  /** An operator recalled it. */
  byOperator: boolean;
  recalled: boolean;
  /** Who reacted how: text of the reaction -> ids of users. */
  reactions: Record<string, number[]>;
  changes: Change[];
}

/** A message of one's own that is not stored yet, or was refused. */
export interface Outgoing {
  clientId: string;
  conversation: Conversation;
  kind: 'text' | 'recall' | 'edit' | 'reaction';
  text: string;
  data: Uint8Array | null;
  contentType: string;
  ref: Position;
  /** When it was written, in ms since 1970. */
  at: number;
  state: 'waiting' | 'sent' | 'stored' | 'refused';
  /** Why it was refused. */
  code?: string;
  reason?: string;
}

export interface Talk {
  conversation: Conversation;
  /** The other's name, the group's, or '' for everyone. */
  title: string;
  /** The other's id, or 0. */
  user: number;
  /** The group's id, or 0. */
  group: number;
  last: Message | null;
  /** Messages of others that are unread, up to 999. */
  unread: number;
  /** How far the user has read. */
  read: Position;
  /** How far the others have read: user -> position. */
  readBy: Record<number, Position>;
  role: 'owner' | 'admin' | 'member' | '';
  /**
   * Until when the user may not write in the group, and until when only its admins and owners may, in ms since 1970; 0
   * until somebody ends it, null if not. A time in the past has ended.
   */
  muted: number | null;
  groupMuted: number | null;
  /** Until when the user mutes it, in ms since 1970; 0 if it is not muted. A muted talk counts and notifies nobody. */
  mutedUntil: number;
}

export interface Page {
  /** Oldest first. */
  messages: Message[];
  /** Whether there is more before the first, and after the last. */
  before: boolean;
  after: boolean;
}

export interface Invitation { group: GroupInfo; by: User; at: number }
/** `muted` is `groupMuted` of a `Talk`. */
export interface GroupInfo { id: number; name: string; open: boolean; history: boolean; members: number; muted: number | null }
/** `muted` is that of a `Talk`. */
export interface Member { user: number; name: string; role: 'owner' | 'admin' | 'member'; muted: number | null }
/** Who may not come back into a group; `by` is null for an operator. */
export interface Ban { user: User; by: User | null; at: number }
/** What became of a user: `reason` says why one was refused. */
export interface MemberOutcome {
  user: number;
  outcome: 'added' | 'invited' | 'present' | 'removed' | 'withdrawn' | 'absent' | 'refused';
  code: string | null;
  detail: string | null;
}
export interface DeviceSession { device: string; live: boolean; since: number; server: string; mine: boolean }

export interface Events {
  state: State;
  /** A talk is new or changed (title, last, unread, marks). */
  talk: Talk;
  /**
   * A talk is gone: left, or removed from it. Who is online when it happens is told what (`removed`, `banned`, `left`,
   * `dissolved`), and by whom; 0 is an operator, or nobody.
   */
  gone: { conversation: Conversation; what?: string; by?: number };
  /**
   * A new text or what happened in a group, in the order of its conversation, stored already. After a crash or in a new
   * leading tab what came in the last second comes again: show it by its position, once.
   */
  message: Message;
  /** A message that was shown before was edited, recalled or reacted to. */
  changed: Message;
  /** One's own message was written, stored (its `message` comes too), or refused. */
  outgoing: Outgoing;
  typing: { conversation: Conversation; user: number };
  presence: { user: number; online: boolean };
  invited: Invitation;
  /** A user has read up to here; the user itself on another device, too. */
  read: { conversation: Conversation; user: number; position: Position };
  /** History of a conversation was lost or replaced: read pages anew. */
  reset: { conversation: Conversation };
  /** Whether what is stored outlasts the page; if not, `reason` says why, as a sentence for people. */
  storage: { kept: boolean; reason: string };
}

/** What a promise of a `Client` is rejected with; `message` is a sentence for people. */
export interface CIMError extends Error {
  /** A code of docs/http-api.md or docs/protocol.md, or `unreachable`, `ended`, `not-supported`. */
  code: string;
  /** The HTTP status, or 0. */
  status: number;
  /** In seconds; 0 if it was not said. */
  retryAfter: number;
  /** The field that is invalid, or ''. */
  field: string;
}

/** What `GET /` says of the system. */
export interface About {
  name: string;
  version: string;
  accounts: 'open' | 'invited' | 'key';
  directory: 'prefix' | 'exact' | 'off';
  [more: string]: unknown;
}

/** One user at one system, made by `createClient(ports)` of client.js; all promises are rejected with a CIMError. */
export interface Client {
  readonly state: State;
  readonly me: User | null;
  /** The newest first; only after `logIn` or `resume`. */
  readonly talks: readonly Talk[];
  /** True in the one tab that holds the connection. */
  readonly leads: boolean;
  /** False while what is stored does not outlast the page (a private window, or no space). */
  readonly kept: boolean;
  on<E extends keyof Events>(event: E, listener: (value: Events[E]) => void): () => void;

  /** What the system says of itself, without a login. */
  about(): Promise<About>;
  register(account: { name: string; password: string; invitation?: string }): Promise<User>;
  /** Without credentials where `ports.token` gives tokens: as whoever these are of. */
  logIn(credentials?: { name: string; password: string }): Promise<User>;
  /** Go on as the user of the cookie or of the stored token; null if there is none. Works without a network for what is stored. */
  resume(): Promise<User | null>;
  /** A reset code of an operator gives a new password. */
  resetPassword(code: string, password: string): Promise<void>;
  changePassword(before: string, after: string): Promise<void>;
  /** Ends the cookie and the session, and deletes what is stored of the user here. */
  logOut(): Promise<void>;
  /** Try now instead of at `state.retryAt`. */
  retry(): void;
  /** Go offline, for good; what is stored stays. */
  close(): Promise<void>;

  /**
   * Put a text into the outbox; resolves when it is in the outbox, which survives a reload. What has the `clientId` of
   * an earlier message to the same conversation is that message, and is stored once: a bot makes it from what it answers.
   */
  send(
    to: Conversation,
    text: string,
    more?: { data?: Uint8Array; contentType?: string; clientId?: string },
  ): Promise<Outgoing>;
  edit(message: Message, text: string): Promise<Outgoing>;
  recall(message: Message): Promise<Outgoing>;
  /** An empty text takes one's reaction back. */
  react(message: Message, text: string): Promise<Outgoing>;
  /** What is not stored yet, or was refused, in a conversation or everywhere. */
  outgoing(conversation?: Conversation): Promise<Outgoing[]>;
  /** Send a refused message again (under a new id), or forget it. */
  again(clientId: string): Promise<Outgoing>;
  forget(clientId: string): Promise<void>;

  /** The last messages, those before or after a position, or those around it. */
  page(conversation: Conversation, where?: { before?: Position; after?: Position; around?: Position; limit?: number }): Promise<Page>;
  search(text: string, where?: { conversation?: Conversation; before?: { sentAt: number }; limit?: number }): Promise<Message[]>;
  markRead(conversation: Conversation, position?: Position): Promise<void>;
  typing(conversation: Conversation): void;
  /** Hear of the coming and going of these users, at most 200, in place of those before. */
  watch(users: number[]): void;
  isOnline(user: number): boolean;
  draft(conversation: Conversation): Promise<string>;
  setDraft(conversation: Conversation, text: string): Promise<void>;

  findUsers(prefix: string): Promise<User[]>;
  /** By id; who is gone is called `user <id>`. */
  user(id: number): Promise<User>;
  userNamed(name: string): Promise<User>;
  conversationWith(user: number): Conversation;
  sessions(): Promise<DeviceSession[]>;
  endSession(device: string): Promise<void>;
  blocks(): Promise<User[]>;
  /** Report a message of somebody else to the operators; false if that was done before. */
  report(message: Message, reason?: string): Promise<boolean>;
  block(user: number): Promise<void>;
  unblock(user: number): Promise<void>;

  /** Have this device notified of what no session took (docs/push.md); doing it again renews it. */
  registerPush(push: { kind: string; address: string; keys?: Record<string, string> }): Promise<{ id: string; device: string }>;
  /** Where the user is notified. */
  pushes(): Promise<{ id: string; kind: string; device: string; at: number }[]>;
  unregisterPush(id: string): Promise<void>;
  /** Mute a talk on all devices, until a time in ms since 1970, or for good. */
  muteTalk(conversation: Conversation, until?: number): Promise<void>;
  unmuteTalk(conversation: Conversation): Promise<void>;

  makeGroup(group: { name: string; open?: boolean; history?: boolean }): Promise<GroupInfo>;
  group(id: number): Promise<GroupInfo>;
  groups(): Promise<{ group: GroupInfo; role: string; muted: number | null }[]>;
  members(group: number): Promise<Member[]>;
  invitations(): Promise<Invitation[]>;
  /** Invite a user, or add one where that is allowed; 'invited' or the role. */
  invite(group: number, user: number): Promise<string>;
  /** Join an open group, or accept an invitation. */
  join(group: number): Promise<void>;
  decline(group: number): Promise<void>;
  leave(group: number): Promise<void>;
  remove(group: number, user: number): Promise<void>;
  setRole(group: number, user: number, role: string): Promise<void>;
  rename(group: number, name: string): Promise<GroupInfo>;
  /** Who joins once `history` is allowed reads what is said from then on, and nothing that was said before. */
  editGroup(group: number, change: { name?: string; open?: boolean; history?: boolean }): Promise<GroupInfo>;
  /** Let a user, or with 0 all but admins and owners, write nothing; without `seconds`, until somebody ends it. */
  mute(group: number, user: number, seconds?: number): Promise<void>;
  unmute(group: number, user: number): Promise<void>;
  /** Remove a user, and let nobody bring it back. */
  ban(group: number, user: number): Promise<void>;
  unban(group: number, user: number): Promise<void>;
  bans(group: number): Promise<Ban[]>;
  /** Add, or invite, and remove up to 1,000 users at once. */
  changeMembers(group: number, change: { add?: number[]; remove?: number[] }): Promise<MemberOutcome[]>;
  /** End a group that the user owns, with its messages. */
  dissolve(group: number): Promise<void>;
}
