/** What a `pattern` leaves open, read from its text. The pattern itself is never run: it may be made to hang. */

/** A longer text is not looked at; nobody reviews such a pattern. */
const MAX_PATTERN = 2_048
const MAX_LENGTH = 4_096

export interface PatternWidth {
  /** Both ends are held, in every alternative. */
  readonly anchored: boolean
  /** Any text passes, or any behind a scheme such as `https://`. */
  readonly arbitrary: boolean
  /** No text longer than 4 096 characters passes. */
  readonly bounded: boolean
}

const OPEN: PatternWidth = { anchored: false, arbitrary: true, bounded: false }

export function patternWidth(pattern: string): PatternWidth {
  if (pattern.length > MAX_PATTERN) return OPEN
  const atoms = atomsOf(pattern)
  if (atoms === undefined) return OPEN
  const first = atoms[0]
  const last = atoms.at(-1)
  const split = atoms.some(({ kind, level }) => kind === 'or' && level === 0)
  const anchored = first?.kind === 'start' && last?.kind === 'end' && atoms.length > 2 && !split
  const open = atoms.filter(({ kind, most }) => kind === 'any' && most > 64)
  return {
    anchored,
    arbitrary: open.length > 0 && literalPrefix(atoms) < 3,
    bounded: atoms.reduce((all, { most }) => all * Math.max(1, most), 1) <= MAX_LENGTH,
  }
}

interface Atom {
  readonly kind: 'start' | 'end' | 'or' | 'literal' | 'class' | 'any' | 'group'
  /** Groups around it. */
  readonly level: number
  /** How often at most. */
  most: number
}

/** How many letters are fixed at the beginning, not counting the scheme of a URL. */
function literalPrefix(atoms: readonly Atom[]): number {
  let count = 0
  for (const { kind, most } of atoms.slice(1)) {
    if (kind !== 'literal' || most !== 1) break
    count += 1
  }
  return count
}

/** `undefined` for what is no regular expression. */
function atomsOf(pattern: string): Atom[] | undefined {
  const text = pattern.replace(/^(\^)\(?(?:\?:)?https?\??\)?:(?:\\?\/){2}/, '$1')
  const atoms: Atom[] = []
  const open: { at: number; look: boolean }[] = []
  let at = 0
  while (at < text.length) {
    const letter = text.charAt(at)
    const level = open.length
    const add = (kind: Atom['kind']) => atoms.push({ kind, level, most: 1 })
    if (letter === '\\') {
      const next = text.charAt(at + 1)
      add(/[SWD]/.test(next) ? 'any' : /[swdpPbB]/.test(next) ? 'class' : 'literal')
      at += 2
    } else if (letter === '[') {
      const end = classEnd(text, at)
      if (end === undefined) return undefined
      add(isWideClass(text.slice(at + 1, end)) ? 'any' : 'class')
      at = end + 1
    } else if (letter === '(') {
      const look = /^\(\?<?[=!]/.test(text.slice(at, at + 4))
      open.push({ at: atoms.length, look })
      at +=
        /^\((?:\?(?:<?[=!]|:|<[A-Za-z_$][\w$]{0,31}>))?/.exec(text.slice(at, at + 40))?.[0]
          .length ?? 1
    } else if (letter === ')') {
      const group = open.pop()
      if (group === undefined) return undefined
      // Looking ahead narrows; it takes no text.
      if (group.look) atoms.length = group.at
      else atoms.push({ kind: 'group', level: open.length, most: 1 })
      at += 1
    } else if (letter === '*' || letter === '+' || letter === '?' || letter === '{') {
      const quantifier = /^(?:[*+?]|\{(\d{1,6})(,(\d{1,6})?)?\})\??/.exec(text.slice(at, at + 18))
      const target = atoms.at(-1)
      if (quantifier === null || target === undefined) {
        add('literal')
        at += 1
        continue
      }
      target.most = mostOf(quantifier)
      at += quantifier[0].length
    } else {
      add(
        letter === '.'
          ? 'any'
          : letter === '^'
            ? 'start'
            : letter === '$'
              ? 'end'
              : letter === '|'
                ? 'or'
                : 'literal',
      )
      at += 1
    }
  }
  return open.length === 0 ? atoms : undefined
}

function mostOf([whole, least, comma, most]: RegExpExecArray): number {
  if (whole.startsWith('?')) return 1
  if (least === undefined) return Number.POSITIVE_INFINITY
  if (comma === undefined) return Number(least)
  return most === undefined ? Number.POSITIVE_INFINITY : Number(most)
}

function classEnd(text: string, start: number): number | undefined {
  for (let at = start + 1; at < text.length; at += 1) {
    if (text.charAt(at) === '\\') at += 1
    else if (text.charAt(at) === ']') return at
  }
  return undefined
}

/** Everything but a few characters, or a kind together with its opposite. */
function isWideClass(content: string): boolean {
  return content.startsWith('^') || /\\[SWD]/.test(content)
}
