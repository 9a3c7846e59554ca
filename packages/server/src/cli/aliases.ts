/** Spellings that operators of the older command line know. They work; help and suggestions show ours. Pure. */

/** Their words → ours, as a command line begins with them. */
const ALIASES: Readonly<Record<string, readonly string[]>> = {
  unlock: ['unseal'],
  lock: ['seal'],
  store: ['cred', 'add'],
  list: ['cred', 'list'],
  delete: ['cred', 'rm'],
  'migrate-env': ['cred', 'import', '--format', 'env'],
  start: ['up'],
  'daemon start': ['up'],
  'daemon stop': ['stop'],
  'daemon status': ['status'],
  'agent register': ['agent', 'add'],
  'agent remove': ['agent', 'revoke'],
  'lease status': ['lease', 'list'],
  'audit list': ['audit', 'query'],
  'audit log': ['audit', 'tail'],
}

const TAKES_VALUE = new Set(['--home', '--socket', '--operator', '--operator-key'])

/** The same command line in our words. Options that stand before the command stay there. */
export function inOurWords(argv: readonly string[]): string[] {
  const at = firstWord(argv)
  for (const length of [2, 1]) {
    const words = argv.slice(at, at + length).join(' ')
    const ours = Object.hasOwn(ALIASES, words) ? ALIASES[words] : undefined
    if (ours !== undefined) return [...argv.slice(0, at), ...ours, ...argv.slice(at + length)]
  }
  return [...argv]
}

function firstWord(argv: readonly string[]): number {
  let at = 0
  while (at < argv.length) {
    const word = argv[at] ?? ''
    if (!word.startsWith('-') || word === '--') return at
    at += TAKES_VALUE.has(word) ? 2 : 1
  }
  return at
}
