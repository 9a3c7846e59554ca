/** Every shape a secret may be read in: what must not be found in anything a test collected. */

/** Distinct texts, longest parts of base64 at each of its three alignments included. */
export function shapesOf(secret: string): string[] {
  const bytes = Buffer.from(secret)
  const percent = [...bytes].map((byte) => `%${byte.toString(16).padStart(2, '0')}`).join('')
  const json = [...secret].map((char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`)
  const html = [...secret].map((char) => `&#${char.charCodeAt(0)};`)
  const shapes = [
    secret,
    secret.toLowerCase(),
    secret.toUpperCase(),
    encodeURIComponent(secret),
    percent,
    percent.toUpperCase(),
    json.join(''),
    html.join(''),
    bytes.toString('hex'),
    bytes.toString('hex').toUpperCase(),
  ]
  for (let offset = 0; offset < 3; offset += 1) {
    const text = Buffer.concat([Buffer.alloc(offset), bytes])
      .toString('base64')
      .replace(/=+$/, '')
    // The characters at either end also hold bits of the neighbours.
    const inner = text.slice(offset === 0 ? 0 : offset + 1, -1)
    shapes.push(inner, inner.replaceAll('+', '-').replaceAll('/', '_'))
  }
  return [...new Set(shapes)]
}

/** The shapes that occur in `text`: none, or the test has found a leak. */
export function leaksIn(text: string, secret: string): string[] {
  return shapesOf(secret).filter((shape) => text.includes(shape))
}

/** What may be a compact JWT, or the beginning of one beyond what its masked form may show. */
const TOKEN = /eyJ[\w-]{6,}/g
/** `{"` and a name: what the same letters in a signature or a hash, which are random, do not decode to. */
const MEMBER = /^\{"[a-z_]{3}/

function tellsToken(text: string): boolean {
  return [...text.matchAll(TOKEN)].some(([found]) =>
    MEMBER.test(Buffer.from(found.slice(0, 12), 'base64url').toString('latin1')),
  )
}

/**
 * For what every test leaves behind, whatever it was about: logs, records, errors.
 * @throws Error that names the place and repeats nothing.
 */
export function assertNoTokens(place: string, text: string, keys: Iterable<string> = []): void {
  if (tellsToken(text)) throw new Error(`${place} tells a token`)
  for (const key of keys) if (text.includes(key)) throw new Error(`${place} tells a key`)
}
