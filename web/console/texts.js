/** All texts of the console, in English and Chinese: one table, one row each. `{x}` stands for a value. */

/** @type {Record<string, [string, string]>} */
const TEXTS = {
  'title': ['CIM console', 'CIM 控制台'],
  'skip': ['Skip to the content', '跳到内容'],
  'parts': ['Sections', '栏目'],
  'language': ['中文', 'English'],
  'theme': ['Light or dark', '浅色或深色'],
  'log-out': ['Log out', '退出'],
  'key-named': ['key {name}', '密钥 {name}'],
  'key-unnamed': ['a key without a name', '未命名的密钥'],
  'cancel': ['Cancel', '取消'],
  'close': ['Close', '关闭'],
  'more': ['More', '更多'],
  'loading': ['One moment …', '请稍候……'],
  'again': ['Try again', '重试'],
  'actions': ['Actions', '操作'],
  'none': ['none', '无'],
  'yes': ['yes', '是'],
  'no': ['no', '否'],

  'login.about': [
    'For operators. Log in with an API key that has the scope “admin”: cim-admin key makes one.',
    '供运维人员使用。请用带有 “admin” 权限的 API 密钥登录，可用 cim-admin key 生成。',
  ],
  'login.key': ['API key', 'API 密钥'],
  'login.enter': ['Log in', '登录'],
  'login.ended': [
    'You were logged out: the session has expired, or its key was removed.',
    '您已退出：会话已过期，或密钥已被移除。',
  ],
  'login.wrong': ['This key is wrong.', '密钥错误。'],
  'login.wait': ['Too many wrong keys. Try again in {seconds} s.', '错误的密钥过多，请在 {seconds} 秒后重试。'],

  'error.offline': ['The console cannot be reached.', '无法连接控制台。'],
  'error.scope': ['This key lacks the scope “{scope}”.', '此密钥缺少 “{scope}” 权限。'],
  'error.not-there': ['It is not there, or not any more.', '不存在，或已被删除。'],
  'error.unknown': ['It failed: {detail}', '操作失败：{detail}'],
  'error.no-such-page': ['There is no such page.', '没有此页面。'],

  'nav.overview': ['Overview', '概览'],
  'nav.sessions': ['Sessions', '会话'],
  'nav.users': ['Users', '用户'],
  'nav.groups': ['Groups', '群组'],
  'nav.reports': ['Reports', '举报'],

  'health.ok': ['All parts are well', '各部分运行正常'],
  'health.failing': ['Something is wrong', '有故障'],
  'health.as-known': [
    'As the route {route} knows it, {version}. Others may know it otherwise.',
    '以上为路由 {route}（{version}）所知，其他路由所知可能不同。',
  ],
  'health.stale': [
    'Not reached since {time}. What stands here is from then.',
    '自 {time} 起无法连接，以下为当时的数据。',
  ],
  'servers': ['Servers', '服务器'],
  'routes': ['Routes', '路由'],
  'clocks': ['Clocks', '时钟'],
  'clocks.ahead': ['This machine is ahead of it by', '本机比其快'],
  'clocks.seconds': ['{value} s', '{value} 秒'],
  'facts': ['Store and other facts', '存储及其他'],
  'name': ['Name', '名称'],
  'version': ['Version', '版本'],
  'state': ['State', '状态'],
  'linked': ['linked', '已连接'],
  'not-linked': ['not linked', '未连接'],
  'listed': ['listed', '已登记'],
  'not-listed': ['not listed', '未登记'],
  'this-route': ['answers here', '当前路由'],
  'sessions': ['Sessions', '会话'],
  'unknown': ['unknown', '未知'],
  'fact.acknowledged': ['“acknowledged” means', '“已确认” 的含义'],
  'fact.store': ['store', '存储'],
  'fact.schema': ['schema', '数据结构版本'],
  'fact.online': ['online', '在线'],

  'figures': ['Live figures', '实时数据'],
  'figures.of': [
    'Of this process ({daemon}), every {seconds} s, for the last {minutes} minutes. Sessions are of all linked servers.',
    '本进程（{daemon}）的数据，每 {seconds} 秒更新，显示最近 {minutes} 分钟。会话数为所有已连接服务器之和。',
  ],
  'figures.route': [
    'Deliveries are counted by servers: see /metrics of each.',
    '投递由各服务器统计，请查看各自的 /metrics。',
  ],
  'chart.sessions': ['Sessions', '会话'],
  'chart.logins': ['Logins', '登录'],
  'chart.messages': ['Messages accepted', '已接收消息'],
  'chart.deliveries': ['Deliveries', '投递'],
  'chart.refusals': ['Refusals', '拒绝'],
  'chart.store': ['Store latency', '存储延迟'],
  'chart.delivery': ['From sending to delivery', '从发送到投递'],
  'chart.a-second': ['/s', '/秒'],
  'chart.failed': ['{value} refused', '{value} 被拒绝'],
  'chart.p99': ['p99 {value}', 'p99 {value}'],
  'chart.reading': ['{title}: now {now}, at most {most}', '{title}：当前 {now}，最高 {most}'],
  'chart.most': ['max {value}', '最高 {value}'],
  'chart.waiting': ['waiting for figures', '等待数据'],
  'refusals': ['Refusals by kind, since the start of the process', '进程启动以来按类型统计的拒绝'],
  'kind': ['Kind', '类型'],
  'count.lately': ['In the last {minutes} minutes, while this page was open', '本页打开期间最近 {minutes} 分钟'],
  'count': ['Count', '次数'],

  'users.search': ['Name begins with', '名称开头'],
  'users.find': ['Find', '查找'],
  'users.empty': ['Nobody.', '无用户。'],
  'users.search-on': ['Nobody so far: the search goes on with “More”.', '尚未找到，点击“更多”继续查找。'],
  'user': ['User', '用户'],
  'id': ['Id', '编号'],
  'account': ['Account', '账号'],
  'account.password': ['password', '有密码'],
  'account.guest': ['guest', '访客'],
  'account.suspended': ['blocked', '已封禁'],
  'online': ['Online', '在线'],
  'device': ['Device', '设备'],
  'server': ['Server', '服务器'],
  'since': ['Since', '开始时间'],
  'live': ['connected', '已连接'],
  'reserved': ['logged in, not connected', '已登录，未连接'],
  'end-session': ['End', '结束'],
  'no-sessions': ['No sessions.', '无会话。'],
  'kick': ['Log out everywhere', '强制下线'],
  'kick.ask': [
    'Log {name} out on all devices? All tokens become void.',
    '让 {name} 在所有设备上退出？所有令牌将失效。',
  ],
  'kick.done': ['{name} is logged out.', '{name} 已下线。'],
  'end-session.ask': ['End the session of {name} on {device}?', '结束 {name} 在 {device} 上的会话？'],
  'password': ['New password', '设置新密码'],
  'password.about': [
    'Whoever knew the old one is logged out everywhere. Tell {name} the new one on a safe way.',
    '旧密码的所有登录都会失效。请通过安全途径告知 {name} 新密码。',
  ],
  'password.set': ['Set', '设置'],
  'password.done': ['{name} has a new password.', '{name} 已有新密码。'],
  'reset-code': ['Reset code', '重置码'],
  'reset-code.about': [
    'With this code {name} sets a new password: once, until {time}. It is shown only here.',
    '{name} 可用此重置码设置新密码：仅一次，{time} 前有效，仅在此显示。',
  ],
  'suspend': ['Block', '封禁'],
  'suspend.ask': [
    'Block {name}? The account is logged out everywhere and cannot log in until it is let in again.',
    '封禁 {name}？该账号将在所有设备上退出，解封前无法登录。',
  ],
  'suspend.done': ['{name} is blocked.', '{name} 已被封禁。'],
  'account.muted': ['muted', '已禁言'],
  'banned': ['Banned', '封禁'],
  'muted': ['Muted', '禁言'],
  'until': ['until {time}', '至 {time}'],
  'for-good': ['for good', '永久'],
  'for-how-long': ['For how long', '时长'],
  'time.hour': ['an hour', '一小时'],
  'time.day': ['a day', '一天'],
  'time.week': ['a week', '一周'],
  'time.month': ['30 days', '30 天'],
  'time.good': ['for good', '永久'],
  'reason.told': ['Why (the user is told)', '原因（将告知用户）'],
  'ban': ['Ban', '封禁'],
  'ban.ask': [
    'Ban {name}? The account is logged out everywhere and cannot log in until the ban ends.',
    '封禁 {name}？该账号将在所有设备上退出，封禁结束前无法登录。',
  ],
  'ban.done': ['{name} is banned.', '{name} 已被封禁。'],
  'unban': ['End the ban', '解除封禁'],
  'unban.done': ['{name} may log in again.', '{name} 可以再次登录。'],
  'mute': ['Mute', '禁言'],
  'mute.ask': [
    'Mute {name}? Nothing that the user says is taken until the mute ends; reading goes on.',
    '禁言 {name}？禁言结束前该用户无法发言，但仍可阅读。',
  ],
  'mute.done': ['{name} is muted.', '{name} 已被禁言。'],
  'unmute': ['End the mute', '解除禁言'],
  'unmute.done': ['{name} may speak again.', '{name} 可以再次发言。'],

  'report': ['Report', '举报'],
  'reports.open': ['open', '待处理'],
  'reports.closed': ['closed', '已处理'],
  'reports.empty': ['No reports.', '无举报。'],
  'reported-by': ['Reported by', '举报人'],
  'said-by': ['Said by', '发送者'],
  'said': ['What was said then', '当时的内容'],
  'reason': ['Reason', '理由'],
  'no-text': ['no text', '无文本'],
  'data': ['Data', '附件'],
  'note': ['Note', '备注'],
  'note.about': ['Note for operators', '给运维人员的备注'],
  'close-report': ['Close the report', '结案'],
  'close-report.done': ['The report is closed.', '举报已结案。'],
  'delete-message': ['Delete the message', '删除消息'],
  'delete-message.ask': [
    'Delete what {name} said for all who can read it? They see that an operator did it.',
    '为所有人删除 {name} 的这条消息？他们会看到是管理员删除的。',
  ],
  'delete-message.done': ['The message is deleted.', '消息已删除。'],

  'broadcast': ['Say as the system', '以系统身份发言'],
  'broadcast.all': ['Everyone', '所有人'],
  'broadcast.send': ['Say it', '发送'],
  'broadcast.user': ['Say to {name} as the system user:', '以系统用户身份对 {name} 说：'],
  'broadcast.group': ['Say to all members of {group} as the system user:', '以系统用户身份对 {group} 的所有成员说：'],
  'broadcast.everyone': ['Say to everyone as the system user:', '以系统用户身份对所有人说：'],
  'broadcast.done': ['It is said.', '已发送。'],

  'resume': ['Let in again', '解封'],
  'resume.done': ['{name} may log in again.', '{name} 可以再次登录。'],
  'delete': ['Delete', '删除'],
  'delete.ask': [
    'Delete the account of {name} with its name, password and memberships? This cannot be undone.',
    '删除 {name} 的账号、名称、密码及群组成员身份？此操作无法撤销。',
  ],
  'delete.erase': ['Also recall everything that {name} said', '同时撤回 {name} 说过的所有内容'],
  'delete.erasing': ['Recalled so far: {count}', '已撤回：{count}'],
  'delete.done': ['{name} is deleted.', '{name} 已删除。'],
  'member-of': ['Groups', '群组'],
  'role': ['Role', '角色'],
  'role.member': ['member', '成员'],
  'role.admin': ['admin', '管理员'],
  'role.owner': ['owner', '群主'],
  'invited-to': ['Invited to', '收到的邀请'],
  'blocks': ['Blocks', '屏蔽的用户'],
  'talks': ['Conversations', '会话记录'],
  'talks.find': ['Look for conversations', '查找会话记录'],
  'talks.empty': ['No conversations.', '无会话记录。'],

  'groups.search': ['Name contains', '名称包含'],
  'groups.empty': ['No groups.', '无群组。'],
  'groups.search-on': ['None so far: the search goes on with “More”.', '尚未找到，点击“更多”继续查找。'],
  'group': ['Group', '群组'],
  'members': ['Members', '成员'],
  'entry': ['Entry', '加入方式'],
  'entry.open': ['anyone', '任何人'],
  'entry.invitation': ['by invitation', '需邀请'],
  'history': ['History', '历史记录'],
  'history.all': ['from the beginning', '从头可见'],
  'history.since': ['from joining on', '加入后可见'],
  'member.remove': ['Remove', '移除'],
  'member.remove.ask': ['Remove {name} from {group}?', '将 {name} 移出 {group}？'],
  'dissolve': ['Dissolve', '解散'],
  'dissolve.ask': [
    'Dissolve {group}? All members leave it, and its messages are gone. This cannot be undone.',
    '解散 {group}？所有成员都会离开，消息将被删除。此操作无法撤销。',
  ],
  'dissolve.going': ['Members left: {count}', '剩余成员：{count}'],
  'dissolve.done': ['{group} is dissolved.', '{group} 已解散。'],

  'talk': ['Conversation', '会话'],
  'talk.between': ['Between', '参与者'],
  'talk.oldest': ['Oldest message kept', '保留的最早消息'],
  'talk.newest': ['Newest message', '最新消息'],
  'talk.nothing': ['no messages', '无消息'],
  'talk.by': ['{time}, by {id}', '{time}，发送者 {id}'],
  'talk.cluster': ['the cluster itself', '系统'],
  'talk.read': ['Read as {name} may (goes into the log)', '按 {name} 的权限阅读（将记入日志）'],
  'talk.not-read': [
    'This console does not show what people say (--console-reads-messages).',
    '此控制台不显示消息内容（--console-reads-messages）。',
  ],
  'time': ['Time', '时间'],
  'text': ['Text', '内容'],
};

const KEPT = 'cim-console-language';
/** @type {'en' | 'zh'} */
let present = globalThis.navigator?.language.startsWith('zh') ? 'zh' : 'en';
try {
  const kept = localStorage.getItem(KEPT);
  if (kept === 'en' || kept === 'zh') present = kept;
} catch {
  // No storage: the browser's language it is.
}

/** The language of the page. */
export const language = () => present;

/** Use the other language from now on. */
export function switchLanguage() {
  present = present === 'en' ? 'zh' : 'en';
  try {
    localStorage.setItem(KEPT, present);
  } catch {
    // It lasts as long as the page.
  }
}

/**
 * A text in the language of the page.
 * @param {string} key
 * @param {Record<string, string | number>} [values]
 * @returns {string}
 */
export function t(key, values = {}) {
  const text = TEXTS[key]?.[present === 'zh' ? 1 : 0] ?? key;
  return text.replace(/\{(\w+)\}/g, (whole, name) => (name in values ? String(values[name]) : whole));
}

/** All keys, for a test. */
export const keys = () => Object.entries(TEXTS);
