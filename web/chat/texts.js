/**
 * All that the page says, in English and Chinese.
 *
 * `{name}` stands for a value. Values that are texts, such as names, are isolated: one that is written from right to left
 * does not reorder the sentence around it. `key.1` is for the number 1, where English has another form.
 */

import { remember, remembered } from './memory.js';

/** @typedef {'en' | 'zh'} Language */

/** @type {Record<string, [en: string, zh: string]>} */
export const TEXTS = {
  about: ['About this person', '联系人信息'],
  accept: ['Accept', '接受'],
  actions: ['Message actions', '消息操作'],
  again: ['Try again', '重试'],
  announced: ['{n} new messages.', '{n} 条新消息。'],
  back: ['Back to the list of talks', '返回会话列表'],
  block: ['Block', '屏蔽'],
  'block.what': [
    'Somebody you block can no longer write to you or find you: to them, you do not seem to exist.',
    '屏蔽后，对方无法给你发消息，也找不到你：在对方看来，你就像不存在一样。',
  ],
  blocked: ['Blocked people', '已屏蔽的人'],
  'blocked.none': ['Nobody is blocked.', '没有屏蔽任何人。'],
  cancel: ['Cancel', '取消'],
  close: ['Close', '关闭'],
  composer: ['Write a message', '输入消息'],
  confirm: ['Are you sure?', '请确认'],
  copy: ['Copy the text', '复制文本'],
  decline: ['Decline', '拒绝'],
  devices: ['Your devices', '你的设备'],
  'device.end': ['Log out', '下线'],
  'device.end.which': ['Log out {device}', '让 {device} 下线'],
  'device.mine': ['This device', '当前设备'],
  'device.opening': ['Logged in, not connected', '已登录，未连接'],
  'device.since': ['Online since {since}', '上线时间：{since}'],
  draft: ['Draft:', '[草稿]'],
  edit: ['Edit', '编辑'],
  editing: ['You are editing a message', '正在编辑消息'],
  'editing.stop': ['Stop editing', '取消编辑'],
  everyone: ['Everyone', '所有人'],
  'everyone.about': ['Everybody here can read this', '这里的所有人都能看到'],
  expired: [
    'You have been logged out. Log in again to go on: what you have typed is still here.',
    '你已退出登录。请重新登录以继续，你输入的内容仍会保留。',
  ],
  'expired.title': ['Log in again', '重新登录'],
  forget: ['Discard', '删除'],
  forgot: ['Forgot your password?', '忘记密码？'],
  'forgot.what': [
    'Ask an operator for a reset link. Open it here within 15 minutes to set a new password.',
    '请向管理员索取重置链接，并在 15 分钟内打开它来设置新密码。',
  ],
  'push.failed': [
    'You are notified while this page is open. While it is closed you are not: the push service of your browser cannot be reached.',
    '页面打开时会通知你；页面关闭时无法通知，因为连不上浏览器的推送服务。',
  ],
  'push.new': ['New message', '有新消息'],
  'push.somebody': ['Somebody', '有人'],
  'push.where': ['{who} in {where}', '{who}（{where}）'],
  language: ['Language', '语言'],
  'last.by': ['{who}: {words}', '{who}：{words}'],
  'last.mine': ['You: {words}', '我：{words}'],
  'talk.mute': ['Mute this talk: it counts, and notifies nobody', '消息免打扰（仍会计数）'],
  'talk.muted': ['muted', '免打扰'],
  members: ['{n} members', '{n} 位成员'],
  'members.1': ['{n} member', '{n} 位成员'],
  'members.more': ['Show more members', '显示更多成员'],
  'members.show': ['Members', '群成员'],
  messages: ['Messages', '消息'],
  name: ['Name', '用户名'],
  'not-kept': [
    'This browser keeps nothing for this page (a private window?): drafts and unsent messages are lost when you close it.',
    '浏览器不为此页面保存数据（是否在无痕窗口中？）：关闭页面后，草稿和未发送的消息会丢失。',
  ],
  offline: ['Offline', '离线'],
  ok: ['OK', '确定'],
  online: ['Online', '在线'],
  operator: ['An operator', '系统管理员'],
  react: ['React', '添加回应'],
  report: ['Report', '举报'],
  'report.about': [
    'Operators get a copy of this message, and learn that you reported it. Nobody else does.',
    '管理员会收到此消息的副本，并知道是你举报的。其他人不会知道。',
  ],
  'report.why': ['Why? (optional)', '理由（可不填）'],
  'report.send': ['Report it', '提交举报'],
  'report.done': ['Operators will look at it.', '已提交，管理员会处理。'],
  'report.again': ['You had reported it before.', '你之前已举报过此消息。'],
  recall: ['Take back', '撤回'],
  'recall.sure': [
    'Take this message back? Its text disappears for everyone.',
    '要撤回这条消息吗？所有人都将看不到它的内容。',
  ],
  save: ['Save', '保存'],
  send: ['Send', '发送'],
  settings: ['Settings', '设置'],
  talks: ['Talks', '会话'],
  'talks.more': ['Show more talks', '显示更多会话'],
  'to-newest': ['Go to the newest message', '回到最新消息'],
  'to-newest.1': ['Go to the newest message: {n} is new', '回到最新消息：{n} 条新消息'],
  'to-newest.n': ['Go to the newest message: {n} are new', '回到最新消息：{n} 条新消息'],
  'too-large': [
    'This message is too long: {size} of at most {most} bytes. Shorten it, or send it in parts.',
    '消息太长：{size} 字节，上限为 {most} 字节。请缩短，或分几条发送。',
  ],
  'talk.unmute': ['Unmute this talk', '取消免打扰'],
  unblock: ['Unblock', '取消屏蔽'],
  'unblock.who': ['Unblock {who}', '取消屏蔽 {who}'],
  unread: ['{n} unread', '{n} 条未读'],
  'unread-line': ['Unread', '以下为未读消息'],
  you: ['You', '你'],

  // The connection
  'banner.connecting': ['Connecting. You have been offline since {since}.', '正在连接。已从 {since} 起离线。'],
  'banner.ended': ['You are logged out.', '你已退出登录。'],
  'banner.here': ['Use this window', '在此窗口使用'],
  'banner.next': ['Next attempt in {seconds} s', '{seconds} 秒后重试'],
  'banner.retry': ['Retry now', '立即重试'],
  'banner.waiting': [
    'Not connected since {since}. What you write is sent later.',
    '连接已于 {since} 断开。你写的消息会稍后发送。',
  ],
  'state.draining': ['The server is restarting.', '服务器正在重启。'],
  'state.logged-out': ['You have been logged out.', '你已被退出登录。'],
  'state.offline': ['This device has no network.', '此设备没有网络连接。'],
  'state.replaced': [
    'You have logged in elsewhere as this device. This window is paused.',
    '你已在别处以此设备登录，此窗口已暂停。',
  ],
  'state.rate-limited': ['There were too many attempts.', '尝试次数过多。'],
  'state.suspended': ['This account is blocked. Ask an operator why.', '此账号已被停用，请联系管理员。'],
  'state.timeout': ['The server does not answer.', '服务器没有响应。'],
  'state.unauthorized': ['Your login has expired.', '登录已过期。'],
  'state.unavailable': ['The server cannot be reached.', '无法连接服务器。'],
  'state.unreachable': ['The server cannot be reached.', '无法连接服务器。'],

  // The first page
  invitation: ['{who} invites you to {group}', '{who} 邀请你加入 {group}'],
  'invitation-code': ['Invitation code', '邀请码'],
  'invitation-code.hint': ['New accounts need one here: ask an operator.', '在此注册需要邀请码，请向管理员索取。'],
  invitations: ['Invitations', '邀请'],
  'log-in': ['Log in', '登录'],
  'log-out': ['Log out', '退出登录'],
  'log-out.unsent': [
    'Some of your messages have not been sent yet, and will be lost. Log out anyway?',
    '你还有消息尚未发送，现在退出登录会丢失它们。仍要退出吗？',
  ],
  'login.about': ['Talk to one person, to a group, or to everyone.', '与朋友、群组或所有人聊天。'],
  'login.ways': ['Log in or register', '登录或注册'],
  password: ['Password', '密码'],
  'password.change': ['Change password', '修改密码'],
  'password.changed': ['Your password is changed.', '密码已修改。'],
  'password.ends': ['This logs out all your other devices.', '修改后，你的其他设备将全部退出登录。'],
  'password.hide': ['Hide', '隐藏'],
  'password.hint': ['At least 8 characters', '至少 8 个字符'],
  'password.new': ['New password', '新密码'],
  'password.now': ['Current password', '当前密码'],
  'password.show': ['Show', '显示'],
  register: ['Register', '注册'],
  'register.key': ['New accounts are made by an operator here.', '此处的新账号由管理员创建。'],
  reset: ['Set password', '设置密码'],
  'reset.done': ['Your new password is set. Log in with it.', '新密码已设置，请用它登录。'],
  'reset.what': [
    'Choose a new password. It logs out all your devices.',
    '请设置新密码。设置后，你的所有设备都会退出登录。',
  ],

  // Finding
  find: ['Find people, talks, messages', '查找联系人、会话或消息'],
  'find.count': ['{number} found', '找到 {number} 个结果'],
  'find.everywhere': ['Search everywhere', '搜索全部会话'],
  'find.longer': [
    'People are found by the first 3 characters of their name, or by the whole name.',
    '输入用户名的前 3 个字符或完整用户名即可查找联系人。',
  ],
  'find.messages': ['Messages', '消息'],
  'find.nothing': ['Nothing found.', '没有找到结果。'],
  'find.off': ['People cannot be looked up here.', '此处不支持查找联系人。'],
  'find.people': ['People', '联系人'],
  'find.talks': ['Talks', '会话'],
  'find.whole-name': ['Type the whole name to find somebody.', '请输入完整用户名来查找联系人。'],
  'find.within': ['Searching in {title}', '在 {title} 中搜索'],
  'search.here': ['Search in this talk', '在此会话中搜索'],
  nothing: ['Who would you like to talk to?', '想和谁聊聊？'],
  'nothing.find': ['Find somebody', '查找联系人'],
  'nothing.what': [
    'Choose a talk, find somebody by name, or make a group.',
    '选择一个会话，按用户名查找联系人，或创建群组。',
  ],

  // Groups
  group: ['Group', '群组'],
  'group.gone': ['You are no longer a member of {title}.', '你已不是 {title} 的成员。'],
  'group.gone.banned': ['{by} banned you from {title}.', '{by} 禁止你加入 {title}。'],
  'group.gone.dissolved': ['{by} dissolved {title}.', '{by} 解散了 {title}。'],
  'group.gone.removed': ['{by} removed you from {title}.', '{by} 将你移出了 {title}。'],
  'group.added': ['{who} is a member now.', '{who} 已成为成员。'],
  'group.has-history': ['New members can read what was said before', '新成员可以查看以前的消息'],
  'group.history': ['New members may read what was said before they joined', '新成员可以查看加入前的消息'],
  'group.history.later': [
    'This counts for what is said from now on: what was said before stays with those who can read it.',
    '仅对此后的消息生效：之前的消息仍只有原来能看到的人可以查看。',
  ],
  'group.id': ['Group ID', '群组 ID'],
  'group.id.hint': [
    'Ask a member: it is shown in the details of the group.',
    '可向群成员询问，群组 ID 显示在群组详情中。',
  ],
  'group.invite': ['Invite', '邀请'],
  'group.invite.who': ['Invite somebody', '邀请成员'],
  'group.invited': ['{who} is invited.', '已邀请 {who}。'],
  'group.is-closed': ['By invitation only', '仅限邀请加入'],
  'group.is-open': ['Open: anyone can join', '公开：任何人都可加入'],
  'group.join': ['Join', '加入'],
  'group.join.title': ['Or join an open group', '或加入公开群组'],
  'group.leave': ['Leave the group', '退出群组'],
  'group.leave.sure': [
    'Leave {name}? You will no longer get its messages.',
    '要退出 {name} 吗？你将不再收到该群的消息。',
  ],
  'group.make': ['Make the group', '创建群组'],
  'group.name': ['Name of the group', '群组名称'],
  'group.new': ['New group', '新建群组'],
  'group.no-history': ['New members read only what is said from then on', '新成员只能查看加入后的消息'],
  'group.number': ['Group ID {id}', '群组 ID：{id}'],
  'group.open': ['Anyone may join', '任何人都可以加入'],
  'group.remove': ['Remove', '移出'],
  'group.remove.sure': ['Remove {who} from the group?', '要将 {who} 移出群组吗？'],
  'group.remove.who': ['Remove {who}', '移出 {who}'],
  'group.rename': ['Rename', '重命名'],
  moderation: ['Keep the group in order', '群组管理'],
  ban: ['Ban', '封禁'],
  'ban.sure': [
    'Ban {who}? They are removed, and cannot come back until you end the ban.',
    '要封禁 {who} 吗？对方会被移出，并且在解除封禁前无法再加入。',
  ],
  'ban.who': ['Ban {who}', '封禁 {who}'],
  'banned.by': ['banned by {by}, {when}', '由 {by} 于 {when} 封禁'],
  bans: ['Banned from the group', '已封禁的用户'],
  'bans.none': ['Nobody is banned.', '没有封禁任何人。'],
  dissolve: ['Dissolve the group', '解散群组'],
  'dissolve.sure': [
    'Dissolve {name}? Its messages are deleted for everyone, for good.',
    '要解散 {name} 吗？所有人的消息都会被永久删除。',
  ],
  'mute.0': ['Mute until I end it', '禁言，直到我解除'],
  'mute.600': ['Mute for 10 minutes', '禁言 10 分钟'],
  'mute.3600': ['Mute for an hour', '禁言 1 小时'],
  'mute.86400': ['Mute for a day', '禁言 1 天'],
  'mute.604800': ['Mute for a week', '禁言 1 周'],
  'mute.all': ['Who may write', '发言权限'],
  'mute.who': ['Whether {who} may write', '{who} 的发言权限'],
  'muted.all': ['Only admins can write here {until}.', '{until}，仅管理员可以发言。'],
  'muted.me': ['You are muted in this group {until}.', '你在此群组中被禁言，{until}。'],
  'muted.nobody': ['All members may write', '所有成员都可以发言'],
  'muted.not': ['May write', '可以发言'],
  'muted.until': ['Muted {until}', '已禁言，{until}'],
  unban: ['End the ban', '解除封禁'],
  'unban.who': ['End the ban of {who}', '解除对 {who} 的封禁'],
  unmute: ['Let write again', '解除禁言'],
  until: ['until {when}', '直到 {when}'],
  'until.ended': ['until an admin ends it', '直到管理员解除'],
  'role.admin': ['Admin', '管理员'],
  'role.member': ['Member', '成员'],
  'role.of': ['Role of {who}', '{who} 的角色'],
  'role.owner': ['Owner', '群主'],
  'change.accepted': ['{user} accepted the invitation by {by}', '{user} 接受了 {by} 的邀请'],
  'change.accepted.me': ['You accepted the invitation by {by}', '你接受了 {by} 的邀请'],
  'change.accepted.by-me': ['{user} accepted your invitation', '{user} 接受了你的邀请'],
  'change.added': ['{by} added {user}', '{by} 添加了 {user}'],
  'change.added.me': ['{by} added you', '{by} 添加了你'],
  'change.added.by-me': ['You added {user}', '你添加了 {user}'],
  'change.joined': ['{user} joined', '{user} 加入了群组'],
  'change.joined.me': ['You joined', '你加入了群组'],
  'change.left': ['{user} left', '{user} 退出了群组'],
  'change.left.me': ['You left', '你退出了群组'],
  'change.removed': ['{by} removed {user}', '{by} 移出了 {user}'],
  'change.removed.me': ['{by} removed you', '{by} 将你移出了群组'],
  'change.removed.by-me': ['You removed {user}', '你移出了 {user}'],
  'change.renamed': ['{by} named the group {text}', '{by} 将群组改名为 {text}'],
  'change.renamed.by-me': ['You named the group {text}', '你将群组改名为 {text}'],
  'change.role': ['{by} made {user} {text}', '{by} 将 {user} 设为{text}'],
  'change.role.me': ['{by} made you {text}', '{by} 将你设为{text}'],
  'change.role.by-me': ['You made {user} {text}', '你将 {user} 设为{text}'],
  'change.open.yes': ['{by} lets anyone join', '{by} 允许任何人加入'],
  'change.open.yes.by-me': ['You let anyone join', '你允许任何人加入'],
  'change.open.no': ['{by} made the group one by invitation', '{by} 将群组设为仅限邀请加入'],
  'change.open.no.by-me': ['You made the group one by invitation', '你将群组设为仅限邀请加入'],
  'change.history.yes': [
    '{by} lets new members read what is said from now on',
    '{by} 允许新成员查看此后的消息',
  ],
  'change.history.yes.by-me': [
    'You let new members read what is said from now on',
    '你允许新成员查看此后的消息',
  ],
  'change.history.no': [
    '{by} no longer lets new members read what was said before',
    '{by} 不再允许新成员查看加入前的消息',
  ],
  'change.history.no.by-me': [
    'You no longer let new members read what was said before',
    '你不再允许新成员查看加入前的消息',
  ],
  'change.muted': ['{by} muted {user} {text}', '{by} 禁言了 {user}，{text}'],
  'change.muted.me': ['{by} muted you {text}', '{by} 禁言了你，{text}'],
  'change.muted.by-me': ['You muted {user} {text}', '你禁言了 {user}，{text}'],
  'change.muted.all': ['{by} muted all but admins {text}', '{by} 禁言了除管理员外的所有人，{text}'],
  'change.muted.all.by-me': ['You muted all but admins {text}', '你禁言了除管理员外的所有人，{text}'],
  'change.unmuted': ['{by} let {user} write again', '{by} 解除了对 {user} 的禁言'],
  'change.unmuted.me': ['{by} let you write again', '{by} 解除了对你的禁言'],
  'change.unmuted.by-me': ['You let {user} write again', '你解除了对 {user} 的禁言'],
  'change.unmuted.all': ['{by} let everybody write again', '{by} 解除了全员禁言'],
  'change.unmuted.all.by-me': ['You let everybody write again', '你解除了全员禁言'],
  'change.banned': ['{by} banned {user}', '{by} 封禁了 {user}'],
  'change.banned.me': ['{by} banned you', '{by} 封禁了你'],
  'change.banned.by-me': ['You banned {user}', '你封禁了 {user}'],
  'change.unbanned': ['{by} ended the ban of {user}', '{by} 解除了对 {user} 的封禁'],
  'change.unbanned.me': ['{by} ended your ban', '{by} 解除了对你的封禁'],
  'change.unbanned.by-me': ['You ended the ban of {user}', '你解除了对 {user} 的封禁'],
  'change.dissolved': ['{by} dissolved the group', '{by} 解散了群组'],
  'change.dissolved.by-me': ['You dissolved the group', '你解散了群组'],
  'change.other': ['{by} changed something', '{by} 进行了一项变更'],
  'change.as.admin': ['an admin', '管理员'],
  'change.as.member': ['an ordinary member', '普通成员'],
  'change.as.owner': ['an owner', '群主'],
  'change.more': ['and {n} more changes', '以及另外 {n} 项变更'],
  'change.more.1': ['and {n} more change', '以及另外 {n} 项变更'],

  // Messages
  'day.today': ['Today', '今天'],
  'day.yesterday': ['Yesterday', '昨天'],
  'mark.refused': ['Not sent', '未发送'],
  'mark.read': ['Read', '已读'],
  'mark.sent': ['On its way', '发送中'],
  'mark.stored': ['Stored', '已送达服务器'],
  'mark.waiting': ['Waiting to be sent', '等待发送'],
  'message.all': ['Show all of it', '展开全文'],
  'message.by': ['{who}, {time}', '{who}，{time}'],
  'message.bytes': ['(data)', '[数据]'],
  'message.data': ['Data: {type}, {size} bytes', '数据：{type}，{size} 字节'],
  'message.edited': ['edited', '已编辑'],
  'message.recalled': ['This message was taken back', '此消息已撤回'],
  'message.removed': ['An operator deleted this message', '此消息已被管理员删除'],
  refused: ['Not sent. {why}', '未发送。{why}'],
  'refused.edit': ['Your change of a message:', '你对消息的修改：'],
  'refused.members': ['A change of the group', '群组变更'],
  'refused.reaction': ['Your reaction:', '你的回应：'],
  'refused.recall': ['You wanted to take a message back.', '你想撤回一条消息。'],
  'timeline.empty': ['Nothing has been said here yet.', '这里还没有消息。'],
  'timeline.failed': ['The messages cannot be shown. {why}', '无法显示消息。{why}'],
  'timeline.loading': ['Loading…', '正在加载…'],
  typing: ['{n} people are typing…', '{n} 人正在输入…'],
  'typing.one': ['{who} is typing…', '{who} 正在输入…'],
  'typing.two': ['{one} and {other} are typing…', '{one} 和 {other} 正在输入…'],
  picker: ['Emoji', '表情'],
  'picker.other': ['Another emoji', '其他表情'],

  // Notifications and looks
  'notification.title': ['{who} in {where}', '{who}（{where}）'],
  notifications: ['Notifications', '通知'],
  'notifications.denied': [
    'Your browser does not allow it. Allow notifications for this page in its settings, then try again.',
    '浏览器未允许通知。请在浏览器设置中允许此页面发送通知，然后重试。',
  ],
  'notifications.insecure': [
    'Notifications and copying by a button need https (or localhost). Everything else works here.',
    '通知和一键复制需要 https（或 localhost）。其他功能均可正常使用。',
  ],
  'notifications.none': ['This browser has no notifications.', '此浏览器不支持通知。'],
  'notifications.show': ['Notify me of new messages while I am elsewhere', '我不在此页面时，有新消息请通知我'],
  'person.number': ['ID {id}', 'ID：{id}'],
  theme: ['Appearance', '外观'],
  'theme.auto': ['Same as the device', '跟随系统'],
  'theme.dark': ['Dark', '深色'],
  'theme.light': ['Light', '浅色'],

  // What goes wrong
  'error.words': ['{words}', '服务器拒绝了操作：{words}'],
  'error.unknown': [
    'Something went wrong. Try again; if it stays so, tell an operator.',
    '出了点问题。请重试；如仍未解决，请联系管理员。',
  ],
  'error.conflict': [
    'This has changed in the meantime. See how it is now, then try again.',
    '期间状态已改变，请查看后重试。',
  ],
  'error.forbidden': ['You may not do this.', '你没有权限执行此操作。'],
  'error.refused': ['This is not allowed here.', '此处不允许这样做。'],
  'error.not-found': ['This does not exist, or you may not see it.', '不存在，或你无权查看。'],
  'error.not-supported': ['This browser cannot do that.', '此浏览器不支持该操作。'],
  'error.ended': ['You are logged out. Log in again first.', '你已退出登录，请先重新登录。'],
  'error.rate-limited': [
    'That was too much at once. Wait {seconds} s, then try again.',
    '操作太频繁，请等待 {seconds} 秒后重试。',
  ],
  'error.second-login': [
    'You are online on another device. Log out there first.',
    '你已在另一台设备上在线，请先在那里退出登录。',
  ],
  'error.suspended': ['This account is blocked. Ask an operator why.', '此账号已被停用，请联系管理员。'],
  'error.timeout': ['The server did not answer in time. Try again.', '服务器响应超时，请重试。'],
  'error.too-large': [
    'This is too long for one message: at most 48 KiB. Send it in parts.',
    '内容太长，一条消息最多 48 KiB，请分几条发送。',
  ],
  'error.unauthorized': ['Your login has expired. Log in again.', '登录已过期，请重新登录。'],
  'error.unavailable': [
    'The server cannot do this right now. Try again in a moment.',
    '服务器暂时无法处理，请稍后重试。',
  ],
  'error.unreachable': [
    'The server cannot be reached. Check your network, then try again.',
    '无法连接服务器，请检查网络后重试。',
  ],
  'error.invite.not-found': ['Nobody has this name. Check how it is written.', '没有这个用户，请检查用户名是否正确。'],
  'error.join.forbidden': [
    'This group can be joined by invitation only, or you are banned from it. Ask an admin of the group.',
    '该群组仅限邀请加入，或你已被封禁，请联系群管理员。',
  ],
  'error.join.not-found': [
    'There is no group with this ID. Check it with a member.',
    '没有这个 ID 的群组，请向群成员核实。',
  ],
  'error.login.unauthorized': [
    'The name or the password is wrong. Check both, then try again.',
    '用户名或密码错误，请检查后重试。',
  ],
  'error.part': [
    'This part of the page could not be loaded. Check your network, or reload the page.',
    '页面的这一部分无法加载。请检查网络，或重新加载页面。',
  ],
  'error.password.forbidden': ['The current password is wrong.', '当前密码错误。'],
  'error.register.accounts-closed': [
    'Nobody can register here. Ask an operator for an account.',
    '此处不开放注册，请向管理员申请账号。',
  ],
  'error.register.conflict': [
    'This name is taken, or looks like one that is. Choose another.',
    '该用户名已被占用，或与已有用户名过于相似，请换一个。',
  ],
  'error.register.invitation-needed': [
    'You need a valid invitation code. Check it, or ask an operator for one.',
    '需要有效的邀请码。请检查，或向管理员索取。',
  ],
  'error.reset.forbidden': [
    'This reset link is wrong, was used, or is too old. Ask an operator for a new one.',
    '重置链接无效、已使用或已过期，请向管理员索取新的链接。',
  ],
  'error.send.not-found': ['There is nobody there any more who could read it.', '对方已不存在，无法送达。'],
  'error.send.forbidden': ['You may not write here any more.', '你已无法在此发言。'],
};

/** @type {Language} */
let spoken = 'en';

/** @returns {Language} */
export function language() {
  return spoken;
}

/** Speak the language that was set here, or else the browser's. */
export function chooseLanguage() {
  speak(remembered('language') || (navigator.language.toLowerCase().startsWith('zh') ? 'zh' : 'en'));
}

/** @param {string} name */
export function setLanguage(name) {
  remember('language', name);
  speak(name);
}

/** @param {string} name */
function speak(name) {
  spoken = name === 'zh' ? 'zh' : 'en';
  document.documentElement.lang = spoken === 'zh' ? 'zh-CN' : 'en';
}

/** @param {string} key */
export function has(key) {
  return Object.hasOwn(TEXTS, key);
}

/**
 * What is said under `key`.
 * @param {string} key
 * @param {Record<string, string | number>} [values]
 * @returns {string}
 */
export function t(key, values = {}) {
  return fillIn(has(key) ? TEXTS[key][spoken === 'zh' ? 1 : 0] : key, values);
}

/**
 * The same for a number of things, which is `{n}`.
 * @param {string} key
 * @param {number} n
 * @param {Record<string, string | number>} [values]
 * @returns {string}
 */
export function count(key, n, values = {}) {
  const form = n === 1 && has(`${key}.1`) ? `${key}.1` : has(`${key}.n`) ? `${key}.n` : key;
  return t(form, { n: number(n), ...values });
}

const NUMBERS = { en: new Intl.NumberFormat('en'), zh: new Intl.NumberFormat('zh-CN') };

/** A number as people write it. @param {number} value */
export const number = (value) => NUMBERS[spoken].format(value);

/** @param {string} text @param {Record<string, string | number>} values */
function fillIn(text, values) {
  return text.replace(/\{([a-z]+)\}/g, (whole, name) => {
    const value = values[name];
    if (value === undefined) return whole;
    return RIGHT_TO_LEFT.test(String(value)) ? `\u2068${value}\u2069` : String(value);
  });
}

/** Letters that are written from right to left. Other values need no isolation, and so can be searched and copied. */
const RIGHT_TO_LEFT = /[\u0590-\u08FF\uFB1D-\uFDFF\uFE70-\uFEFC\u{10800}-\u{10FFF}\u{1E800}-\u{1EFFF}]/u;
