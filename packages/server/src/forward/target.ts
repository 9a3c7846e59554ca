/** Where a forwarder sends what it receives: `HOST:PORT`, `http://HOST:PORT` or `https://HOST:PORT`. Pure. */
import { VestryError } from '@vestry/contract/errors'

export interface Target {
  /** A name or an address, without brackets. */
  readonly host: string
  readonly port: number
  readonly tls: boolean
}

/** @throws VestryError USAGE for anything but a host and a port: a forwarder knows no paths and no users. */
export function parseTarget(text: string): Target {
  const hasScheme = /^[a-z][a-z0-9+.-]*:\/\//i.test(text)
  const url = URL.parse(hasScheme ? text : `http://${text}`)
  if (url === null || url.hostname === '') throw wrong(text, 'expects HOST:PORT or https://HOST')
  if (url.protocol !== 'http:' && url.protocol !== 'https:') {
    throw wrong(text, 'knows http:// and https://')
  }
  if (url.username !== '' || url.password !== '') {
    throw new VestryError('USAGE', '--to holds a user or a password: a forwarder has no secrets', {
      hint: 'Give host and port alone',
    })
  }
  if (url.pathname !== '/' || url.search !== '' || url.hash !== '') {
    throw wrong(text, 'takes no path: every request keeps its own')
  }
  if (!hasScheme && !/:\d+$/.test(text)) throw wrong(text, 'expects HOST:PORT or https://HOST')
  const tls = url.protocol === 'https:'
  const port = url.port === '' ? (tls ? 443 : 80) : Number(url.port)
  if (port === 0) throw wrong(text, 'expects a port from 1 to 65535')
  return { host: url.hostname.replace(/^\[|\]$/g, ''), port, tls }
}

export function targetText({ host, port, tls }: Target): string {
  return `${tls ? 'https' : 'http'}://${host.includes(':') ? `[${host}]` : host}:${port}`
}

function wrong(text: string, expected: string): VestryError {
  return new VestryError('USAGE', `--to ${expected}, not '${text}'`, {
    hint: 'Example: --to gateway.internal:8080',
  })
}
