import { expect, test } from 'vitest'
import { readYaml, YamlProblem } from './yaml.ts'

test('a document becomes a plain value; JSON is YAML, too', () => {
  expect(readYaml('a: [1, x]')).toEqual({ a: [1, 'x'] })
  expect(readYaml('{"a": {"b": null}}')).toEqual({ a: { b: null } })
  expect(readYaml('')).toBeNull()
  expect(readYaml('a: &x 1\nb: *x')).toEqual({ a: 1, b: 1 })
})

test('what is no YAML says where on one line', () => {
  expect(() => readYaml('a: [1')).toThrow(YamlProblem)
  expect(() => readYaml('a: [1')).toThrow(/^[^\n]*line 1[^\n]*$/)
})

test('aliases that multiply without end are refused', () => {
  const rows = Array.from({ length: 12 }, (_, n) => {
    const before = n === 0 ? '"x"' : `*a${n - 1}`
    return `a${n}: &a${n} [${Array.from({ length: 10 }, () => before).join(', ')}]`
  })
  expect(() => readYaml(rows.join('\n'))).toThrow(/without end/)
})
