/**
 * Patterns of paths to leave out, as `.gitignore` has them. The patterns come from the repository, so
 * the work for one path is bounded, whatever they are; a path that would take more is not left out.
 */
import { join } from 'node:path'
import { readRegularFile } from '../sage/regular-file.ts'

/**
 * @param path Relative to the repository.
 * @returns Whether to leave it out; undefined when no pattern says anything.
 */
export type IgnoreRules = (path: string, isDirectory: boolean) => boolean | undefined

/** Matches one character. */
type Character = (character: string) => boolean

/** One component of a pattern; `'**'` stands for any number of components, `'*'` for characters. */
type Component = '**' | readonly ('*' | Character)[]

/** Steps that may still be taken for one path. */
interface Work {
  left: number
}

interface Pattern {
  readonly components: readonly Component[]
  readonly isNegated: boolean
  readonly onlyDirectories: boolean
}

const MAX_BYTES = 256 * 1024
const MAX_PATTERNS = 5000
/** Some 20 for each pattern that is not made to be slow. */
const MAX_STEPS = 200_000

/** The rules of the files with these names in one directory; undefined without any. */
export async function ignoreRules(
  path: string,
  directory: string,
  names: readonly string[],
): Promise<IgnoreRules | undefined> {
  const patterns: Pattern[] = []
  for (const name of names) {
    // Most directories have none. A link may lead anywhere, so it is no such file either.
    const options = { maxBytes: MAX_BYTES, followLinks: false }
    const text = await readRegularFile(join(path, name), options).catch(() => '')
    patterns.push(...patternsOf(text.toString()))
  }
  if (patterns.length === 0) return undefined
  const from = directory === '' ? 0 : directory.length + 1
  patterns.reverse()
  return (file, isDirectory) => {
    const components = file.slice(from).split('/')
    const work: Work = { left: MAX_STEPS }
    const last = patterns.find(
      (pattern) => (isDirectory || !pattern.onlyDirectories) && isMatch(pattern, components, work),
    )
    return last === undefined ? undefined : !last.isNegated
  }
}

function patternsOf(text: string): Pattern[] {
  return text
    .split(/\r?\n/, MAX_PATTERNS)
    .map(patternOf)
    .filter((pattern) => pattern !== undefined)
}

function patternOf(line: string): Pattern | undefined {
  const text = line.replace(/(?<!\\) +$/, '')
  if (text === '' || text.startsWith('#')) return undefined
  const isNegated = text.startsWith('!')
  const body = isNegated ? text.slice(1) : text
  const onlyDirectories = body.endsWith('/')
  const names = body.replace(/\/$/, '').split('/')
  // A slash before the end binds the pattern to its own directory.
  const bound = names.length === 1 ? ['**', ...names] : names.filter((name) => name !== '')
  if (bound.at(-1) === undefined || bound.at(-1) === '') return undefined
  // At the end, `**` stands for what is inside, and not for the directory itself.
  const components = bound.at(-1) === '**' ? [...bound, '*'] : bound
  return { components: components.map(componentOf), isNegated, onlyDirectories }
}

function componentOf(name: string): Component {
  if (name === '**') return '**'
  const tokens = name.match(/\*+|\[[^\]]+\]|\\.|[^*]/gsu) ?? []
  return tokens.map((token) => {
    if (token.startsWith('*')) return '*'
    if (token === '?') return () => true
    if (token.startsWith('[') && token.length > 2) return classOf(token.slice(1, -1))
    const literal = token.startsWith('\\') && token.length > 1 ? token.slice(1) : token
    return (character: string) => character === literal
  })
}

/** `abc`, `a-z`, `!abc`. */
function classOf(inside: string): Character {
  const isNegated = /^[!^]/.test(inside)
  const members = [...(isNegated ? inside.slice(1) : inside)]
  const ranges: [string, string][] = []
  for (let at = 0; at < members.length; at += 1) {
    const from = members[at] ?? ''
    const to = members[at + 1] === '-' ? members[at + 2] : undefined
    ranges.push([from, to ?? from])
    if (to !== undefined) at += 2
  }
  const isIn: Character = (character) =>
    ranges.some(([from, to]) => from <= character && character <= to)
  return (character) => isIn(character) !== isNegated
}

function isMatch({ components }: Pattern, path: readonly string[], work: Work): boolean {
  return wildcard<Component, string>(work, components, path, '**', (component, name) =>
    wildcard<'*' | Character, string>(
      work,
      component as readonly ('*' | Character)[], // '**' never comes here
      [...name],
      '*',
      (one, character) => typeof one === 'function' && one(character),
    ),
  )
}

/** Matches with one kind of wildcard, going back only to the last one: quadratic at worst. */
function wildcard<P, T>(
  work: Work,
  pattern: readonly P[],
  items: readonly T[],
  star: P,
  matches: (one: P, item: T) => boolean,
): boolean {
  let at = 0
  let item = 0
  let afterStar = -1
  let consumed = 0
  while (item < items.length) {
    work.left -= 1
    if (work.left < 0) return false
    const one = pattern[at]
    if (at < pattern.length && one === star) {
      at += 1
      afterStar = at
      consumed = item
    } else if (at < pattern.length && matches(one as P, items[item] as T)) {
      at += 1
      item += 1
    } else if (afterStar !== -1) {
      consumed += 1
      item = consumed
      at = afterStar
    } else return false
  }
  return pattern.slice(at).every((one) => one === star)
}
