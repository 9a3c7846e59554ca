import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { Finding, TokenUsage } from './finding.ts'
import { SarifOutput } from './output.ts'

let dir = ''
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'vestry-sarif-'))
})
afterAll(() => rmSync(dir, { recursive: true, force: true }))

const finding = {
  id: 'A',
  title: 'a',
  description: 'ä',
  severity: 'low',
  location: { file: 'a.py', startLine: 1 },
}
const options = { toolName: 'scanner', toolVersion: '1', findings: [finding] }

test('sage §21.37: the report is one file in a directory that is made, and again byte for byte the same', async () => {
  const out = join(dir, 'deep/er')
  const output = new SarifOutput(options)
  expect(output.ioType).toBe('sarif')
  expect(await output.write(out, { runId: 'r' })).toEqual(['results.sarif'])
  const first = readFileSync(join(out, 'results.sarif'))
  expect(first.toString()).toMatch(/^\{\n {2}"\$schema"[\s\S]*\\u00e4[\s\S]*\}$/)
  await new SarifOutput(options).write(out, { runId: 'r' })
  expect(readFileSync(join(out, 'results.sarif'))).toEqual(first)
  expect(readdirSync(out)).toEqual(['results.sarif'])
})

test('a directory that cannot be made is exit code 51', async () => {
  writeFileSync(join(dir, 'file'), '')
  const write = new SarifOutput(options).write(join(dir, 'file/below'))
  await expect(write).rejects.toMatchObject({ name: 'OutputWriteError', exitCode: 51 })
})

test('a report that cannot replace the old one leaves it and no draft', async () => {
  const out = join(dir, 'taken')
  await new SarifOutput(options).write(join(out, 'results.sarif'))
  const write = new SarifOutput(options).write(out)
  await expect(write).rejects.toMatchObject({ exitCode: 51 })
  expect(readdirSync(out)).toEqual(['results.sarif'])
})

test('an invalid report is not written at all', async () => {
  const out = join(dir, 'invalid')
  const findings = [{ ...finding, location: { file: '../../etc/passwd' } }]
  const write = new SarifOutput({ ...options, findings }).write(out)
  await expect(write).rejects.toMatchObject({ name: 'SarifValidationError', exitCode: 52 })
  expect(readdirSync(dir)).not.toContain('invalid')
})

test('findings and usage can be given in the spelling of Python', () => {
  const made = Finding.fromObject({
    ...finding,
    location: { file: 'a.py', start_line: 2, end_line: 3, start_column: 4, end_column: 5 },
    cwe: null,
    metadata: { snake_case: { stays_so: 1 } },
  })
  expect(made).toMatchObject({
    location: { file: 'a.py', startLine: 2, endLine: 3, startColumn: 4, endColumn: 5 },
    cwe: '',
    remediation: '',
    confidence: 'medium',
    metadata: { snake_case: { stays_so: 1 } },
  })
  expect(
    Finding.fromObject({ ...finding, location: { file: 'a.py', startLine: 2 } }).location,
  ).toEqual({ file: 'a.py', startLine: 2, endLine: 0, startColumn: 0, endColumn: 0 })
  expect(TokenUsage.fromObject({ model: 'm', prompt_tokens: 1, total_tokens: 1 })).toEqual({
    model: 'm',
    promptTokens: 1,
    completionTokens: 0,
    totalTokens: 1,
  })
})

test.each([
  [{ ...finding, title: undefined }, 'finding.title must be text'],
  [{ ...finding, location: 'a.py' }, 'location must be an object'],
  [
    { ...finding, location: { file: 'a', start_line: 1.5 } },
    'location.startLine must be an integer',
  ],
  [{ ...finding, metadata: [] }, 'finding.metadata must be an object'],
  ['text', 'finding must be an object'],
])('a malformed finding is refused by name', (value, message) => {
  expect(() => Finding.fromObject(value)).toThrow(
    expect.objectContaining({ name: 'ValidationError', exitCode: 40, message }),
  )
})

test.skipIf(process.getuid?.() === 0)(
  'a directory that may not be written is exit code 51',
  async () => {
    const out = mkdtempSync(join(dir, 'closed-'))
    chmodSync(out, 0o500)
    await expect(new SarifOutput(options).write(out)).rejects.toMatchObject({ exitCode: 51 })
  },
)
