/** `ADDRESS:PORT` as the configuration writes it. */
import { VestryError } from '@vestry/contract/errors'

export interface TcpAddress {
  readonly host: string
  readonly port: number
}

export function parseTcp(text: string): TcpAddress {
  const at = text.lastIndexOf(':')
  const host = text.slice(0, at).replace(/^\[|\]$/g, '')
  const port = Number(text.slice(at + 1))
  if (at > 0 && Number.isInteger(port) && port >= 0 && port <= 65_535) {
    return { host: host === 'localhost' ? '127.0.0.1' : host, port }
  }
  throw new VestryError('CONFIG_INVALID', `'${text}' is not ADDRESS:PORT`)
}
