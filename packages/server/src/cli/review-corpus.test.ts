import { expect, test } from 'vitest'
import { fakeTerminal } from './fake-terminal.test-kit.ts'
import { runProgram } from './program.ts'

const never = new AbortController().signal

async function corpus(...argv: string[]) {
  const terminal = fakeTerminal({})
  const exitCode = await runProgram(['review', 'corpus', ...argv], terminal, never)
  return { exitCode, out: terminal.out(), err: terminal.err() }
}

test('runtime §20.10: the command prints the confusion table and ends with 0 while the bar is reached', async () => {
  const { exitCode, out, err } = await corpus()
  expect(out).toMatch(
    /^TOOLS +BELOW MEDIUM +MEDIUM OR WORSE\nbenign +\d{2,} +0\nmalicious +0 +\d{2,}\n/,
  )
  expect(out).toMatch(/^SI-001 +\d+ +\d+ +0$/m)
  expect(out).toMatch(/^shell-and-containers\/run_command +critical +80 +PE-001/m)
  expect(out).toMatch(/\nok: /)
  expect({ exitCode, err }).toEqual({ exitCode: 0, err: '' })
})

test('with --json it is one document', async () => {
  const { exitCode, out } = await corpus('--json')
  const report = JSON.parse(out)
  expect(report.bar).toEqual({ reached: true, tools_of_each_kind: 60 })
  expect(report.confusion.malicious.medium_or_worse).toBe(report.malicious.length)
  expect(exitCode).toBe(0)
})

test('one tool is shown with what is hidden in it made visible', async () => {
  const { out } = await corpus('--show', 'hidden/tag-characters')
  expect(out).toMatch(/^id +malicious\/hidden\/tag-characters$/m)
  expect(out).toContain('⟨U+E0072⟩')
  expect(out).toMatch(/^critical SI-006 /m)
  expect(out).not.toMatch(/[\u{e0000}-\u{e007f}]/u)
})

test('an id that no corpus has is told', async () => {
  const { exitCode, err } = await corpus('--show', 'nothing')
  expect(err).toMatch(/^NOT_FOUND: the corpus has no tool "nothing" → /)
  expect(exitCode).toBe(1)
})
