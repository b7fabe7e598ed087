// The only page: who am I, where am I logged in, end one of these sessions, log out and in again.
/** @type {any} */
const app = getApp()

const REFUSED = {
  40226: '微信暂不允许此账号登录',
  403003: '你的账号已被停用',
  403004: '暂不接受新用户',
  403005: '登录的设备太多了，请先在别的设备上退出',
}

/** What to tell a person about a request that failed. */
function sentence(failure) {
  if (REFUSED[failure.errcode]) return REFUSED[failure.errcode]
  if (failure.retry === 'backoff' && failure.status) return '服务器忙，请稍后再试'
  if (failure.retry === 'backoff') return '网络不通，请稍后再试'
  return '操作没有成功' + (failure.requestId ? '（编号 ' + failure.requestId + '）' : '')
}

function twoDigits(number) {
  return (number < 10 ? '0' : '') + number
}

/** Epoch seconds as the phone's own month, day and time. */
function shortTime(seconds) {
  const date = new Date(1000 * seconds)
  const day = date.getMonth() + 1 + '月' + date.getDate() + '日 '
  return day + twoDigits(date.getHours()) + ':' + twoDigits(date.getMinutes())
}

/** A session as the page shows it. */
function shown(session) {
  return {
    id: session.id,
    current: session.current,
    where: session.platform || '未知设备',
    seen: shortTime(session.last_seen_at),
  }
}

Page({
  data: { me: null, sessions: [], loggedOut: false, busy: false, message: '' },

  onLoad() {
    return this.refresh()
  },

  onPullDownRefresh() {
    return this.refresh().then(() => wx.stopPullDownRefresh())
  },

  refresh() {
    return this.during(() =>
      Promise.all([
        app.menshen.request({ url: '/api/me' }),
        app.menshen.request({ url: '/api/me/sessions' }),
      ]).then(([me, { sessions }]) => this.setData({ me, sessions: sessions.map(shown), loggedOut: false })),
    )
  },

  login() {
    return this.during(() => app.menshen.login()).then((done) => (done ? this.refresh() : false))
  },

  logout() {
    return this.during(() =>
      app.menshen.logout().then(() => this.setData({ me: null, sessions: [], loggedOut: true })),
    )
  },

  revoke(event) {
    const url = '/api/me/sessions/' + event.currentTarget.dataset.id + '/revoke'
    return this.during(() => app.menshen.request({ url, method: 'POST' })).then((done) => (done ? this.refresh() : false))
  },

  /** Does something while the buttons rest, and says what went wrong; gives whether it was done. */
  during(deed) {
    this.setData({ busy: true, message: '' })
    return deed().then(
      () => {
        this.setData({ busy: false })
        return true
      },
      (failure) => {
        const loggedOut = failure.retry === 'login'
        this.setData(loggedOut ? { busy: false, loggedOut, me: null } : { busy: false, message: sentence(failure) })
        return false
      },
    )
  },
})
