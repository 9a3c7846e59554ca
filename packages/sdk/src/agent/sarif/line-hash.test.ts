import { expect, test } from 'vitest'
import { lineHashes } from './line-hash.ts'

const VECTORS: readonly [string, readonly string[]][] = [
  ['', ['c129715d7a2bc9a3:1']],
  ['a\nb\n', ['81b8d8db678b2bbe:1', 'ade70578248be16f:1', 'c129715d7a2bc9a3:1']],
  [
    ' a\nb\n  \t\tc\n d',
    ['271789c17abda88f:1', '54703d4cd895b18:1', '180aee12dab6264:1', 'a23a3dc5e078b07b:1'],
  ],
  [
    'import os\r\n\r\n\tos.system(cmd)\r\n',
    ['14c2a977e248f3ec:1', '7e5932458e15f779:1', '4ac41e078a0c3213:1', 'c129715d7a2bc9a3:1'],
  ],
]

test.each(VECTORS)(
  'sage §21.37: the lines of %j have the fingerprints of the standard algorithm',
  (text, hashes) => {
    expect(lineHashes(text)).toEqual(hashes)
  },
)

test('sage §21.37: lines that look alike have different fingerprints where what follows differs', () => {
  expect(lineHashes('x = 1\nx = 1\nx = 1\n').slice(0, 3)).toEqual([
    'b06211268476d237:1',
    '87c133c3324ef59b:1',
    '8e00d41f0ebba6bf:1',
  ])
})

test('lines that look alike and are followed by the same are counted', () => {
  const block = `${'same line of code\n'.repeat(40)}`
  const hashes = lineHashes(block)
  expect(new Set(hashes).size).toBe(hashes.length)
  expect(hashes[1]).toBe(`${hashes[0]?.split(':')[0]}:2`)
})

test('indentation and kinds of line ends change no fingerprint', () => {
  expect(lineHashes('if x:\r\n\treturn 1\r\n')).toEqual(lineHashes('if x:\n    return 1\n'))
  expect(lineHashes('if x:\rreturn 1\r')).toEqual(lineHashes('if x:\nreturn 1\n'))
})

test('a change in a far line leaves a fingerprint as it was', () => {
  const far = 'y'.repeat(120)
  expect(lineHashes(`first\n${far}\nold`)[0]).toBe(lineHashes(`first\n${far}\nnew`)[0])
})
