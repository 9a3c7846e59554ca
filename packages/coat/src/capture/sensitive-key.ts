/**
 * Which names hold secrets. A name is split into words at humps and separators; it is sensitive when
 * all its words, or a run of them at its end, spell one of the names below.
 */

const NAMES = new Set(
  `password passwd pwd passphrase secret clientsecret token accesstoken refreshtoken idtoken authtoken
  sessiontoken bearer jwt apikey xapikey appkey accesskey accesskeyid secretaccesskey privatekey
  signingkey encryptionkey sshkey masterkey authorization proxyauthorization cookie setcookie
  credential credentials connectionstring dsn databaseurl redisurl mongouri amqpurl webhooksecret
  webhookurl kubeconfig netrc mnemonic seedphrase otp totp mfacode pin cvv cvc cardnumber creditcard
  iban ssn sas sharedaccesssignature signature`.split(/\s+/),
)

/** Nothing below such a name is judged by its key. */
const OPEN_NAMES = new Set(['publickey', 'idempotencykey', 'cachekey'])

/**
 * `secret`: the whole value goes. `counter`: a name such as `max_tokens`, under which numbers and
 * booleans are counts and limits, while anything else is a secret. `open`: keys below are not judged.
 */
export type KeyVerdict = 'plain' | 'secret' | 'counter' | 'open'

export type KeyRule = (name: string) => KeyVerdict

const MAX_NAME = 128
const MAX_REMEMBERED = 2048

/** @param extra More names; they are matched as the built-in ones are, and nothing takes a name out. */
export function createKeyRule(extra: readonly string[] = []): KeyRule {
  const more = new Set(extra.map((name) => wordsOf(name).join('')).filter((name) => name !== ''))
  const remembered = new Map<string, KeyVerdict>()
  return (name) => {
    const known = remembered.get(name)
    if (known !== undefined) return known
    // The end decides, so a longer name is judged by its end and not remembered.
    if (name.length > MAX_NAME) return judge(name.slice(-MAX_NAME), more)
    const verdict = judge(name, more)
    if (remembered.size >= MAX_REMEMBERED) remembered.clear()
    remembered.set(name, verdict)
    return verdict
  }
}

const builtIn = createKeyRule()

/** Is this a name whose value is replaced, at least when it is a text? */
export function isSensitiveKey(name: string): boolean {
  const verdict = builtIn(name)
  return verdict === 'secret' || verdict === 'counter'
}

function judge(name: string, more: ReadonlySet<string>): KeyVerdict {
  const words = wordsOf(name)
  if (ends(words, more)) return 'secret'
  if (ends(words, OPEN_NAMES)) return 'open'
  if (!ends(words, NAMES)) return 'plain'
  const last = words.at(-1) as string
  return last === 'token' || last === 'tokens' ? 'counter' : 'secret'
}

function ends(words: readonly string[], names: ReadonlySet<string>): boolean {
  let joined = ''
  for (let at = words.length - 1; at >= 0; at -= 1) {
    joined = words[at] + joined
    if (names.has(joined) || (joined.endsWith('s') && names.has(joined.slice(0, -1)))) return true
  }
  return false
}

/** What redaction has put into a name is a word that is no name. */
const MARK = /\[redacted:[\w-]*\]?/g

function wordsOf(name: string): string[] {
  return name
    .replace(MARK, ' redacted ')
    .replace(/([\p{Ll}\p{N}])(\p{Lu})/gu, '$1 $2')
    .replace(/(\p{Lu})(\p{Lu}\p{Ll})/gu, '$1 $2')
    .toLowerCase()
    .split(/[^\p{L}\p{N}]+/u)
    .filter((word) => word !== '')
}
