import { expect, test } from 'vitest'
import type { FindingInput } from './finding.ts'
import { fullSchemaFaults } from './full-schema.test-kit.ts'
import { jsonText } from './json-text.ts'
import { SarifOutput } from './output.ts'

const injection: FindingInput = {
  id: 'SQLI',
  title: 'SQL injection',
  description: 'Query built from input',
  severity: 'critical',
  location: { file: 'src/db files/a b.py', startLine: 3, endLine: 4, startColumn: 5, endColumn: 9 },
  cwe: '89',
  remediation: 'Bind parameters',
  confidence: 'high',
  metadata: { engine: 'x' },
}

function compat(findings: FindingInput[]) {
  return new SarifOutput({
    toolName: 'scanner',
    toolVersion: '1.2.3',
    findings,
    tokenUsage: [{ model: 'openai:gpt-4o', totalTokens: 5 }],
    compat: true,
  }).toSarif({ runId: 'r1', repositoryPath: '/nowhere' })
}

test('sage §21.37: a report in compatible mode is the Python SDK’s, member by member and in its order', () => {
  const bare = {
    id: 'NOTE',
    title: 'Note',
    description: '',
    severity: 'note',
    location: { file: '../x' },
  }
  const again = { ...injection, severity: 'low', title: 'Other title', cwe: '', remediation: '' }
  expect(JSON.stringify(compat([injection, bare, again]))).toBe(
    JSON.stringify({
      $schema:
        'https://raw.githubusercontent.com/oasis-tcs/sarif-spec/main/sarif-2.1/schema/sarif-schema-2.1.0.json',
      version: '2.1.0',
      runs: [
        {
          tool: {
            driver: {
              name: 'scanner',
              version: '1.2.3',
              rules: [
                {
                  id: 'SQLI',
                  name: 'SQL injection',
                  shortDescription: { text: 'SQL injection' },
                  fullDescription: { text: 'Query built from input' },
                  properties: { 'security-severity': '9.0', tags: ['CWE-89', 'security'] },
                },
                {
                  id: 'NOTE',
                  name: 'Note',
                  shortDescription: { text: 'Note' },
                  fullDescription: { text: '' },
                  properties: { 'security-severity': '0.0' },
                },
              ],
            },
          },
          results: [
            {
              ruleId: 'SQLI',
              level: 'error',
              message: { text: 'Query built from input' },
              locations: [
                {
                  physicalLocation: {
                    artifactLocation: { uri: 'src/db files/a b.py' },
                    region: { startLine: 3, endLine: 4, startColumn: 5, endColumn: 9 },
                  },
                },
              ],
              fixes: [{ description: { text: 'Bind parameters' } }],
            },
            {
              ruleId: 'NOTE',
              level: 'note',
              message: { text: '' },
              locations: [
                {
                  physicalLocation: { artifactLocation: { uri: '../x' }, region: { startLine: 1 } },
                },
              ],
            },
            {
              ruleId: 'SQLI',
              level: 'note',
              message: { text: 'Query built from input' },
              locations: [
                {
                  physicalLocation: {
                    artifactLocation: { uri: 'src/db files/a b.py' },
                    region: { startLine: 3, endLine: 4, startColumn: 5, endColumn: 9 },
                  },
                },
              ],
            },
          ],
        },
      ],
    }),
  )
})

test.each([
  ['critical', 'error', '9.0'],
  ['high', 'error', '7.0'],
  ['medium', 'warning', '4.0'],
  ['low', 'note', '1.0'],
  ['note', 'note', '0.0'],
  ['CRITICAL', 'warning', '4.0'],
  ['constructor', 'warning', '4.0'],
])('sage §21.37: severity %s becomes level %s and %s', (severity, level, score) => {
  const text = JSON.stringify(compat([{ ...injection, severity }]))
  expect(text).toContain(`"level":"${level}"`)
  expect(text).toContain(`"security-severity":"${score}"`)
})

test('sage §21.37: the text is indented by two, escaped beyond ASCII, and ends without a line end', () => {
  expect(jsonText({ a: ['ä€😀\u007f"\\\n\u0001'], b: [], c: {} })).toBe(
    '{\n  "a": [\n    "\\u00e4\\u20ac\\ud83d\\ude00\\u007f\\"\\\\\\n\\u0001"\n  ],\n  "b": [],\n  "c": {}\n}',
  )
})

test('compatible reports with remediation are not valid SARIF, which is why they are not the default', () => {
  const finding = { ...injection, location: { file: 'a.py' } }
  expect(fullSchemaFaults(compat([finding]))).toEqual([
    expect.stringContaining("should have required property 'artifactChanges'"),
  ])
})
