import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Finding } from '../../../packages/sdk/src/agent/sarif/finding.ts'
import { SarifOutput } from '../../../packages/sdk/src/agent/sarif/output.ts'
import { noPython } from '../client-process.ts'

const text = fc.oneof(
  fc.string({ maxLength: 30 }),
  fc.string({ unit: 'grapheme', maxLength: 30 }),
  fc.constantFrom('', 'ä€😀\u007f\u2028"\\/\b\f\n\r\t\u0000', 'CWE-79', '79', 'cwe-79'),
)
const line = fc.integer({ min: -1, max: 2 ** 31 })
const finding = fc.record(
  {
    id: fc.constantFrom('A', 'B', 'ü', ''),
    title: text,
    description: text,
    severity: fc.constantFrom('critical', 'high', 'medium', 'low', 'note', 'HIGH', ''),
    location: fc.record(
      { file: text, start_line: line, end_line: line, start_column: line, end_column: line },
      { requiredKeys: ['file'] },
    ),
    cwe: text,
    remediation: text,
    confidence: text,
    metadata: fc.dictionary(text, fc.jsonValue()),
  },
  { requiredKeys: ['id', 'title', 'description', 'severity', 'location'] },
)
const corpus = fc.sample(
  fc.record({ tool_name: text, tool_version: text, findings: fc.array(finding, { maxLength: 6 }) }),
  { numRuns: 300, seed: 20_261_120 },
)

describe.skipIf(noPython !== undefined)(
  `reports of Python${noPython ? `: ${noPython}` : ''}`,
  () => {
    test('sage §21.37: a compatible report is the Python SDK’s, byte for byte, for a shared corpus', async () => {
      const python = spawnSync('python3', [join(import.meta.dirname, 'py-sarif.py')], {
        input: JSON.stringify(corpus),
        encoding: 'utf8',
        maxBuffer: 64 * 1024 * 1024,
      })
      expect(python.stderr).toBe('')
      const theirs = JSON.parse(python.stdout) as string[]
      expect(theirs).toHaveLength(corpus.length)
      const folder = mkdtempSync(join(tmpdir(), 'vestry-sarif-'))
      try {
        for (const [index, given] of corpus.entries()) {
          const { tool_name: toolName, tool_version: toolVersion } = given
          const findings = given.findings.map((one) => Finding.fromObject(one))
          await new SarifOutput({ toolName, toolVersion, findings, compat: true }).write(folder)
          expect(readFileSync(join(folder, 'results.sarif'), 'utf8')).toBe(theirs[index])
        }
      } finally {
        rmSync(folder, { recursive: true, force: true })
      }
    })
  },
)
