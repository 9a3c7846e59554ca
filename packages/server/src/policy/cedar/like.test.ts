import { expect, test } from 'vitest'
import { likeMatcher } from './like.ts'
import { permitWhen } from './oracle.test-kit.ts'
import { loadCedar } from './parse.ts'
import { Random } from './random.test-kit.ts'

const LETTERS = ['a', 'b', '*', 'é', '😀']

test('`like` agrees with Cedar on 25 000 pairs of pattern and text over five letters', () => {
  const random = new Random(7)
  const words = (count: number, most: number, from: readonly string[]) =>
    Array.from({ length: count }, () => random.list(most, () => random.pick(from)))
  const patterns = words(250, 6, [...LETTERS, 'wild', 'wild'])
  const texts = words(100, 7, LETTERS).map((letters) => letters.join(''))
  const staticPolicies = Object.fromEntries(
    patterns.map((letters, index) => {
      const written = letters.map((one) => (one === 'wild' ? '*' : one === '*' ? '\\*' : one))
      return [`p${index}`, permitWhen(`context.text like "${written.join('')}"`)]
    }),
  )
  const cedar = loadCedar()
  expect(cedar.preparsePolicySet('like', { staticPolicies }).type).toBe('success')
  const matchers = patterns.map((letters) => {
    const segments = ['']
    for (const one of letters) {
      if (one === 'wild') segments.push('')
      else segments.push(`${segments.pop()}${one}`)
    }
    return likeMatcher(segments)
  })
  let pairs = 0
  for (const text of texts) {
    const answer = cedar.statefulIsAuthorized({
      principal: { type: 'A', id: '' },
      action: { type: 'Action', id: '' },
      resource: { type: 'A', id: '' },
      context: { text },
      entities: [],
      preparsedPolicySetId: 'like',
    })
    if (answer.type === 'failure') throw new Error(JSON.stringify(answer.errors))
    const theirs = new Set(answer.response.diagnostics.reason)
    matchers.forEach((matches, index) => {
      pairs++
      if (matches(text) !== theirs.has(`p${index}`)) {
        expect.fail(`pattern ${JSON.stringify(patterns[index])} on ${JSON.stringify(text)}`)
      }
    })
  }
  expect(pairs).toBe(25_000)
})

test('a wildcard crosses slashes and line ends', () => {
  const matches = likeMatcher(['a', 'b'])
  expect(matches('a/x/y\nb')).toBe(true)
  expect(matches('ab')).toBe(true)
  expect(matches('a')).toBe(false)
})

test('the parts before and after a wildcard never share characters', () => {
  expect(likeMatcher(['ab', 'ba'])('aba')).toBe(false)
  expect(likeMatcher(['ab', 'b', 'ba'])('abba')).toBe(false)
  expect(likeMatcher(['ab', 'b', 'ba'])('abbba')).toBe(true)
})
