// The one line to change: where your Menshen is. On a real phone it must be https, and a request domain in the console.
module.exports = {
  server: 'http://127.0.0.1:8000',
}
