/**
 * A million mutated programs: no crash, no hang, and every refusal has a place inside the source. A share of them goes
 * all the way: checked, compiled, asked for its permissions, laid out.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { VestryError } from '@vestry/contract/errors'
import { expect, test } from 'vitest'
import { compileSource } from './compile.ts'
import type { CheckedAgent } from './definition.ts'
import { format } from './format.ts'
import { parse } from './parse.ts'
import { permissionsOf } from './permissions-of.ts'

const PROGRAMS = 1_000_000
/** One in so many is a whole file, and goes all the way. */
const SHARE = 500
const MARKS = '{}[]()"\'#;:=.,|&-+*/<>!\\\n\0\u00e9\ud83d'
const EXAMPLES = new URL('../../../../examples/dsl/', import.meta.url)

test('runtime §20.23: a million mutated programs are read or refused with a place', () => {
  let state = 20_260
  const random = (below: number): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return Math.floor((state / 2 ** 32) * below)
  }
  const corpus = readdirSync(EXAMPLES).map((name) =>
    readFileSync(new URL(name, EXAMPLES), 'utf8').split(/\b/),
  )
  let refused = 0
  let compiled = 0
  for (let n = 0; n < PROGRAMS; n++) {
    const whole = corpus[n % corpus.length] ?? []
    const isShare = n % SHARE === 0
    const from = isShare || random(2) === 0 ? 0 : random(whole.length)
    const pieces = whole.slice(from, isShare ? whole.length : from + 10 + random(30))
    for (let change = random(4); change >= 0; change--) {
      const [at, other] = [random(pieces.length), random(whole.length)]
      const kind = random(6)
      if (kind === 0) pieces.splice(at, 1 + random(8))
      else if (kind === 1) pieces.splice(at, 0, whole[other] ?? '')
      else if (kind === 2) pieces[at] = String.fromCharCode(random(0x10000))
      else if (kind === 3) pieces[at] = MARKS.charAt(random(MARKS.length))
      else if (kind === 4) pieces.splice(at, 0, ...pieces.slice(at, at + random(12)))
      else if (random(50) === 0) pieces[at] = '([{'.charAt(random(3)).repeat(random(400))
    }
    const source = pieces.join('')
    const { diagnostics } = parse(source)
    let isInside = true
    for (const { span, severity } of diagnostics) {
      if (severity === 'error') refused++
      const { start, end } = span
      isInside &&= start.offset <= end.offset && end.offset <= source.length && start.line > 0
    }
    if (!isInside) expect([source, 'a place outside']).toEqual([source, ''])
    if (isShare && goesAllTheWay(source)) compiled++
  }
  expect(refused).toBeGreaterThan(PROGRAMS / 4)
  expect(compiled).toBeGreaterThan(PROGRAMS / SHARE / 20)
}, 120_000)

/** Whether it compiles; what the formatter makes of it means the same, and is laid out already. */
function goesAllTheWay(source: string): boolean {
  const { success, agents } = compileSource(source)
  const { text } = format(source)
  if (!success) return false
  const again = compileSource(text).agents
  for (const [i, agent] of agents.entries()) {
    const other = again[i]
    if (other === undefined) throw new Error(`lost an agent: ${source}`)
    const [before, after] = [asked(agent), asked(other)]
    if (before !== after) expect([source, after]).toEqual([source, before])
  }
  if (format(text).text !== text) expect([source, format(text).text]).toEqual([source, text])
  return true
}

/** Lines move; a budget that cannot be read is told the same way. */
function asked(agent: CheckedAgent): string {
  try {
    const { allows, denies, ...rest } = permissionsOf(agent)
    const plain = [...allows, ...denies].map(({ line: _, ...one }) => one)
    const notes = rest.notes.map((note) => note.replace(/^line \d+/, 'line'))
    return JSON.stringify([plain, { ...rest, notes: notes.sort() }])
  } catch (error) {
    if (error instanceof VestryError) return error.message
    throw error
  }
}
