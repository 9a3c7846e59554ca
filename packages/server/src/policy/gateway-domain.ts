/** Domains as gateway policies name them: the host itself and everything below it. */
import { isIP } from 'node:net'
import { VestryError } from '@vestry/contract/errors'
import { parseHostPattern } from './host.ts'

/**
 * The `HostGlob` form of one entry: `Example.com.` → `.example.com`, `bücher.de:8443` →
 * `.xn--bcher-kva.de:8443`, an address stays itself.
 *
 * @throws VestryError `POLICY_INVALID`
 */
export function domainPattern(entry: string): string {
  // The pattern language knows more than a domain.
  if (entry === '' || /^[.*]|[,/*]/.test(entry)) throw notADomain()
  const { host, port } = parseHostPattern(`.${entry}`)
  const name = isIP(host) === 6 ? `[${host}]` : host
  return port === undefined ? `.${name}` : `.${name}:${port}`
}

/** The same domain whatever the port: what is blocked is blocked on every one. */
export function blockedPattern(entry: string): string {
  const pattern = domainPattern(entry)
  return /:\d+$/.test(pattern) && !pattern.endsWith(']') ? pattern : `${pattern}:*`
}

/**
 * The part of a mail address after the `@`, in the one form that is compared.
 *
 * @throws VestryError `POLICY_INVALID`
 */
export function mailDomain(entry: string): string {
  if (entry === '' || /^[.*]|[,/*:[\]@]/.test(entry)) throw notADomain()
  const { host } = parseHostPattern(`.${entry}`)
  if (isIP(host) !== 0) throw notADomain()
  return host
}

function notADomain(): VestryError {
  return new VestryError('POLICY_INVALID', 'This is not a domain', {
    hint: 'Write example.com; it covers its subdomains.',
  })
}
