// The mini program: one client for all pages, and one place that says why a session ended.
const { create } = require('./menshen.js')
const { server } = require('./config.js')

const ENDED = {
  expired: '登录已过期，已为你重新登录',
  revoked: '你的登录已被收回',
  replaced: '你已在别处登录',
  blocked: '你的账号已被停用',
  logged_out: '你已退出登录',
}

App({
  /** @type {any} */
  menshen: null,

  onLaunch() {
    this.menshen = create({ server })
    this.menshen.onEnded((reason) => {
      wx.showToast({ title: ENDED[reason] || '请重新登录', icon: 'none' })
      // Two phones with one session would put each other out by logging in silently, so here the person decides.
      return reason !== 'replaced'
    })
  },
})
