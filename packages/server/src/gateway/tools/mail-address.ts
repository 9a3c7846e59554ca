/**
 * One e-mail address as a person writes it: `a@b.org` or `Name <a@b.org>` (RFC 5322 §3.4). Stricter than the RFC:
 * what two programs could read as two different addresses is no address here.
 */
import { domainToASCII } from 'node:url'

export interface Mailbox {
  /** Undefined or not empty. */
  readonly name: string | undefined
  /** ASCII; the domain in lower case and punycode. */
  readonly address: string
  readonly domain: string
}

const MAX_MAILBOX = 400
const MAX_NAME = 128
/** RFC 5321 §4.5.3.1 */
const MAX_LOCAL = 64
const MAX_ADDRESS = 254

/** RFC 5322 dot-atom, ASCII. Quoted local parts are left out: they may hold an `@`. */
const LOCAL = /^[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*$/
const LABEL = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/
/** Before mapping to ASCII, which would undo percent encodings and turn other dots into dots. */
const DOMAIN = /^[\p{L}\p{M}\p{N}-]+(?:\.[\p{L}\p{M}\p{N}-]+)+$/u

const QUOTED = /^ *"([^"\\<>@]*)" *<([^<>]*)> *$/
const PLAIN = /^ *([^"\\<>@,;:()[\]]*?) *<([^<>]*)> *$/
/** Invisible, or changing the direction of what follows: the name would not be what is read. */
const HIDDEN = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u

/** @returns undefined for anything that is not exactly one address. */
export function parseMailbox(text: string): Mailbox | undefined {
  // The patterns below take time in proportion to the square of the length.
  if (text.length > MAX_MAILBOX || HIDDEN.test(text)) return undefined
  const named = QUOTED.exec(text) ?? PLAIN.exec(text)
  const [name, spec] =
    named === null ? ['', text.replaceAll(/^ +| +$/g, '')] : [named[1] ?? '', named[2] ?? '']
  if (name.length > MAX_NAME) return undefined
  const at = spec.lastIndexOf('@')
  const local = spec.slice(0, Math.max(0, at))
  const domain = asciiDomain(spec.slice(at + 1))
  if (!LOCAL.test(local) || local.length > MAX_LOCAL || domain === undefined) return undefined
  const address = `${local}@${domain}`
  if (address.length > MAX_ADDRESS) return undefined
  return { name: name.trim() === '' ? undefined : name, address, domain }
}

function asciiDomain(text: string): string | undefined {
  if (!DOMAIN.test(text)) return undefined
  const domain = domainToASCII(text)
  const labels = domain.split('.')
  // A last label of digits makes it an IP address.
  const named = labels.length >= 2 && !/^\d+$/.test(labels.at(-1) ?? '')
  return named && labels.every((label) => LABEL.test(label)) ? domain : undefined
}
