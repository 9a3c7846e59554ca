/** What of a provider's error text may be shown: keys and tokens marked out, and not more than 2 KiB. */

const MARK = '[redacted]'
const MOST_BYTES = 2048

/** Each is linear: no nested repetition, so a hostile text costs no more than a long one. */
const SECRETS = [
  /\beyJ[\w-]+\.[\w-]+\.[\w-]*/g,
  /\b(?:Bearer|Basic)\s+[^\s"',;]+/gi,
  /\b(?:sk|pk|rk|sess)-[\w*.-]{6,}/g,
  /\bAIza[\w-]{10,}/g,
  /\b(?:AKIA|ASIA)[A-Z0-9]{12,}/g,
  /\bgh[pousr]_\w{10,}/g,
  /\bya29\.[\w.-]{10,}/g,
  /-----BEGIN [A-Z ]*PRIVATE KEY-----/g,
  /([?&](?:key|api_key|access_token)=)[^\s&"']+/gi,
]

export function redacted(text: string): string {
  // Cut first, generously: a megabyte of error page is not worth searching.
  let shown = text.slice(0, 4 * MOST_BYTES)
  for (const pattern of SECRETS) {
    shown = shown.replace(pattern, (_match, kept: unknown) =>
      typeof kept === 'string' ? kept + MARK : MARK,
    )
  }
  return cut(shown.replace(/\p{Cc}+/gu, ' ').trim())
}

function cut(text: string): string {
  const bytes = new TextEncoder().encode(text)
  if (bytes.length <= MOST_BYTES) return text
  let end = MOST_BYTES - 3
  // Not in the middle of a character: continuation bytes begin with 10.
  while (end > 0 && ((bytes[end] ?? 0) & 0xc0) === 0x80) end -= 1
  return `${new TextDecoder().decode(bytes.subarray(0, end))}…`
}
