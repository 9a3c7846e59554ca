/** A million mutated programs: no crash, no hang, and every refusal has a place inside the source. */
import { readdirSync, readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { parse } from './parse.ts'

const PROGRAMS = 1_000_000
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
  for (let n = 0; n < PROGRAMS; n++) {
    const whole = corpus[n % corpus.length] ?? []
    const from = random(2) === 0 ? 0 : random(whole.length)
    const pieces = whole.slice(from, from + 10 + random(60))
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
  }
  expect(refused).toBeGreaterThan(PROGRAMS / 4)
}, 120_000)
