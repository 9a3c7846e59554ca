import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { SarifValidationError } from '../../sage/errors.ts'
import type { FindingInput } from './finding.ts'
import { fullSchemaFaults } from './full-schema.test-kit.ts'
import { SarifOutput, type SarifOutputOptions } from './output.ts'
import type { ReportRun } from './report.ts'
import { validateSarif } from './validate.ts'

let root = ''
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), 'vestry-sarif-'))
  mkdirSync(join(root, 'src/a b'), { recursive: true })
  writeFileSync(join(root, 'src/a b/ü.py'), 'import os\r\n\r\n\tos.system(cmd)\r\n')
  symlinkSync('/etc/passwd', join(root, 'outside.py'))
})
afterAll(() => rmSync(root, { recursive: true, force: true }))

const base: FindingInput = {
  id: 'CMD',
  title: 'Command injection',
  description: 'A command is built from input.',
  severity: 'high',
  location: { file: 'src/a b/ü.py', startLine: 3 },
}

interface Result {
  level: string
  message: { text: string }
  locations: {
    physicalLocation: { artifactLocation: { uri: string }; region: Record<string, number> }
  }[]
  partialFingerprints: Record<string, string>
  properties: Record<string, unknown>
}

interface Rule {
  id: string
  name: string
  shortDescription: { text: string }
  help: { text: string; markdown: string }
  properties: Record<string, unknown>
}

interface Run {
  tool: { driver: { rules: Rule[] } }
  automationDetails?: { id: string }
  invocations: Record<string, unknown>[]
  results: Result[]
  properties: Record<string, unknown>
}

interface Sarif {
  runs: Run[]
}

function report(
  findings: FindingInput[],
  options: Partial<SarifOutputOptions> = {},
  run: ReportRun = {},
) {
  const output = new SarifOutput({ toolName: 'scanner', toolVersion: '1.0', findings, ...options })
  return output.toSarif({ runId: 'r1', repositoryPath: root, ...run }) as Sarif
}

function only(findings: FindingInput[], run: ReportRun = {}) {
  const [first] = report(findings, {}, run).runs
  return { run: first!, rule: first!.tool.driver.rules[0]!, result: first!.results[0]! }
}

test('sage §21.37: a finding gets a whole region, an encoded URI and the fingerprints of its line', () => {
  const { result } = only([base])
  expect(result.locations[0]!.physicalLocation).toEqual({
    artifactLocation: { uri: 'src/a%20b/%C3%BC.py' },
    region: { startLine: 3, startColumn: 1, endLine: 3, endColumn: 16 },
  })
  expect(result.partialFingerprints).toEqual({
    primaryLocationLineHash: '4ac41e078a0c3213:1',
    'sageFinding/v1': expect.stringMatching(/^[0-9a-f]{64}$/),
  })
})

test('without the file a region is still whole, and only the finding’s own fingerprint is there', () => {
  const { result } = only([{ ...base, location: { file: 'gone.py', startLine: 7, endLine: 2 } }])
  expect(result.locations[0]!.physicalLocation.region).toEqual({
    startLine: 7,
    startColumn: 1,
    endLine: 7,
    endColumn: 2,
  })
  expect(Object.keys(result.partialFingerprints)).toEqual(['sageFinding/v1'])
})

test('lines and columns the file does not have are pulled back to it', () => {
  const location = {
    file: 'src/a b/ü.py',
    startLine: 1,
    endLine: 90,
    startColumn: 99,
    endColumn: 99,
  }
  const { result } = only([{ ...base, location }])
  expect(result.locations[0]!.physicalLocation.region).toEqual({
    startLine: 1,
    startColumn: 10,
    endLine: 4,
    endColumn: 1,
  })
})

test('a link out of the repository is not read', () => {
  const { result } = only([{ ...base, location: { file: 'outside.py', startLine: 1 } }])
  expect(Object.keys(result.partialFingerprints)).toEqual(['sageFinding/v1'])
})

test.each([
  ['src/../src/./a b/ü.py', 'src/a%20b/%C3%BC.py'],
  ['src\\main.c', 'src/main.c'],
  ['a:b?c#d%e.py', 'a%3Ab%3Fc%23d%25e.py'],
  ['..foo/x.py', '..foo/x.py'],
])('the path %j becomes the URI %s', (file, uri) => {
  const { result } = only([{ ...base, location: { file } }])
  expect(result.locations[0]!.physicalLocation.artifactLocation.uri).toBe(uri)
})

test('absolute paths inside of the repository become relative', () => {
  for (const file of [join(root, 'x/y.py'), `file://${root}/x/y.py`]) {
    const { result } = only([{ ...base, location: { file } }])
    expect(result.locations[0]!.physicalLocation.artifactLocation.uri).toBe('x/y.py')
  }
})

test.each(['../x.py', 'a/../../x.py', '..\\x.py', '/etc/passwd', 'C:\\x.py', '', '.', 'a\0b'])(
  'the path %j is refused with exit code 52',
  (file) => {
    expect(() => only([{ ...base, location: { file } }])).toThrow(SarifValidationError)
    expect(() => only([{ ...base, location: { file } }])).toThrow(
      expect.objectContaining({ exitCode: 52 }),
    )
  },
)

test('a repository that goes by two names is known by both', () => {
  const alias = `${root}-alias`
  symlinkSync(root, alias)
  try {
    for (const file of [join(root, 'x.py'), join(alias, 'x.py')]) {
      const { result } = only([{ ...base, location: { file } }], { repositoryPath: alias })
      expect(result.locations[0]!.physicalLocation.artifactLocation.uri).toBe('x.py')
    }
  } finally {
    rmSync(alias)
  }
})

test('a rule is as severe as its worst finding and as precise as its least certain one', () => {
  const findings: FindingInput[] = [
    { ...base, severity: 'low', confidence: 'high', cwe: 'CWE-78' },
    {
      ...base,
      severity: 'critical',
      confidence: 'low',
      cwe: '20',
      title: 'Worst',
      location: { file: 'b' },
    },
    { ...base, severity: 'note', id: 'FYI', location: { file: 'c' } },
  ]
  const [worst, note] = report(findings).runs[0]!.tool.driver.rules.toSorted((one) =>
    one.id === 'CMD' ? -1 : 1,
  )
  expect(worst).toMatchObject({
    name: 'Worst',
    properties: {
      'security-severity': '9.0',
      tags: ['security', 'external/cwe/cwe-020', 'CWE-20', 'external/cwe/cwe-078', 'CWE-78'],
      precision: 'low',
    },
  })
  expect(note!.properties).toEqual({ tags: ['security'], precision: 'medium' })
})

test('remediation is in the help of the rule and in the result, and there is no fix', () => {
  const { rule, result } = only([{ ...base, remediation: 'Use a list of arguments.' }])
  expect(rule.help.text).toBe('A command is built from input.\n\nUse a list of arguments.')
  expect(rule.help.markdown).toContain('## Remediation\n\nUse a list of arguments.')
  expect(result.properties['remediation']).toBe('Use a list of arguments.')
  expect(result).not.toHaveProperty('fixes')
})

test('confidence, metadata, token usage and the run are kept', () => {
  const [run] = report(
    [{ ...base, confidence: 'high', metadata: { z: 1, a: { tags: 'not a list' } } }],
    {
      tokenUsage: [
        { model: 'openai:gpt-4o', promptTokens: 2, completionTokens: 3, totalTokens: 5 },
      ],
    },
    { agentName: 'agent', exitCode: 0 },
  ).runs
  expect(run!.results[0]!.properties).toEqual({
    confidence: 'high',
    metadata: { a: { tags: 'not a list' }, z: 1 },
  })
  expect(run!.properties).toEqual({
    tokenUsage: [{ model: 'openai:gpt-4o', promptTokens: 2, completionTokens: 3, totalTokens: 5 }],
  })
  expect(run!.automationDetails).toEqual({ id: 'agent/r1' })
  expect(run!.invocations).toEqual([{ executionSuccessful: true, exitCode: 0 }])
})

test('a stopped or failed run says so, and what the tool could not do is told', () => {
  expect(only([], { partial: true }).run).toMatchObject({
    invocations: [{ executionSuccessful: false }],
    properties: { partial: true },
  })
  expect(only([], { exitCode: 3 }).run.invocations).toMatchObject([{ executionSuccessful: false }])
  const notifications = [{ level: 'error', message: 'no answer', file: 'x y.py' }] as const
  expect(report([], { notifications }).runs[0]!.invocations).toMatchObject([
    {
      toolExecutionNotifications: [
        {
          message: { text: 'no answer' },
          locations: [{ physicalLocation: { artifactLocation: { uri: 'x%20y.py' } } }],
        },
      ],
    },
  ])
})

test('what looks like a credential is not repeated', () => {
  const key = 'sk-abcdefghijklmnopqrstuvwx'
  const finding = { ...base, description: `key ${key}`, metadata: { line: `x = "${key}"` } }
  expect(JSON.stringify(report([finding]))).not.toContain(key)
})

test('sage §21.37: the same findings in another order, or some of them twice, give the same bytes', () => {
  const findings: FindingInput[] = [
    base,
    { ...base, severity: 'low', metadata: { b: 1, a: 2 } },
    { ...base, location: { file: 'z.py' } },
    { ...base, id: 'OTHER', location: { file: 'src/a b/ü.py', startLine: 3 } },
  ]
  const text = JSON.stringify(report(findings))
  expect(JSON.stringify(report([...findings].reverse()))).toBe(text)
  expect(JSON.stringify(report([...findings, ...findings]))).toBe(text)
  expect(report(findings).runs[0]!.results).toHaveLength(3)
})

test('empty words are replaced by those that are there, long ones are cut', () => {
  const { rule, result } = only([{ ...base, title: '', description: ' ' }])
  expect(rule).toMatchObject({ name: 'CMD', fullDescription: { text: 'CMD' } })
  expect(result.message.text).toBe('CMD')
  const long = only([{ ...base, title: 'x'.repeat(3000), description: '😀'.repeat(2000) }]).rule
  expect(long.name).toHaveLength(255)
  expect(long.shortDescription.text).toHaveLength(1024)
  expect(long.help.text).toBe('😀'.repeat(2000))
})

test.each([
  ['a rule without an id', [{ ...base, id: '' }], {}],
  ['a tool without a name', [], { toolName: '' }],
])('%s is refused with exit code 52', (_, findings, options) => {
  expect(() => report(findings, options)).toThrow(expect.objectContaining({ exitCode: 52 }))
})

const words = fc.string({ unit: 'binary', maxLength: 40 })
const path = fc
  .array(fc.string({ unit: 'binary', minLength: 1, maxLength: 8 }), { minLength: 1, maxLength: 4 })
  .map((segments) => segments.join('/'))
const anyFinding = fc.record({
  id: words.filter((id) => id !== ''),
  title: words,
  description: words,
  severity: fc.oneof(fc.constantFrom('critical', 'high', 'medium', 'low', 'note'), words),
  location: fc.record({
    file: fc.oneof(path, fc.constant('src/a b/ü.py')),
    startLine: fc.integer({ min: -2, max: 9 }),
    endLine: fc.integer({ min: -2, max: 9 }),
    startColumn: fc.integer({ min: -2, max: 30 }),
    endColumn: fc.integer({ min: -2, max: 30 }),
  }),
  cwe: fc.oneof(words, fc.nat(9999).map(String)),
  remediation: words,
  confidence: fc.oneof(fc.constantFrom('high', 'medium', 'low'), words),
  metadata: fc.dictionary(words, fc.jsonValue()),
})

test('sage §21.37: whatever an agent finds, the report is valid by the published schema, or refused', () => {
  void fc.assert(
    fc.property(fc.array(anyFinding, { maxLength: 8 }), (findings) => {
      let document: unknown
      try {
        document = report(findings)
      } catch (error) {
        expect(error).toBeInstanceOf(SarifValidationError)
        return
      }
      expect(fullSchemaFaults(document)).toEqual([])
      const shuffled = report([...findings].reverse())
      expect(JSON.stringify(shuffled)).toBe(JSON.stringify(document))
    }),
    { numRuns: 300 },
  )
})

test('our own rules find what the published schema finds, and empty text besides', () => {
  const valid = report([base])
  expect(validateSarif(valid)).toEqual([])
  const broken = (change: (run: Run) => void) => {
    const copy = structuredClone(valid)
    change(copy.runs[0]!)
    return copy
  }
  const region = (run: Run) => run.results[0]!.locations[0]!.physicalLocation.region
  for (const [change, alsoTheirs] of [
    [(run) => Object.assign(run.results[0]!, { message: null }), true],
    [(run) => Object.assign(region(run), { startLine: 0 }), true],
    [(run) => Object.assign(run.results[0]!, { level: 'bad' }), true],
    [(run) => Object.assign(run.results[0]!, { fixes: [{}] }), true],
    [(run) => Object.assign(run.tool.driver, { name: 1 }), true],
    [(run) => Object.assign(run, { surprise: 1 }), true],
    [(run) => Object.assign(run.results[0]!.properties, { tags: [1] }), true],
    [(run) => Object.assign(region(run), { endLine: 1 }), false],
    [(run) => Object.assign(run.results[0]!.message, { text: '' }), false],
    [(run) => run.results[0]!.locations.pop(), false],
  ] as [(run: Run) => void, boolean][]) {
    const document = broken(change)
    expect(validateSarif(document), String(change)).not.toEqual([])
    expect(fullSchemaFaults(document).length > 0, String(change)).toBe(alsoTheirs)
  }
  for (const nothing of [null, 1, [], {}, { runs: null }]) {
    expect(validateSarif(nothing)).not.toEqual([])
  }
})
