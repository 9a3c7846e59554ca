import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { fullSchemaFaults } from '../../packages/sdk/src/agent/sarif/full-schema.test-kit.ts'
import { shellBlocks, typeCommands } from '../harness/typed-commands.ts'

test('every command of the models’ quick start works as written, without key or network', async () => {
  const [start = '', commands = ''] = shellBlocks('docs/llm.md', 'Quick start')
  await typeCommands({ start, commands }, ({ code, stdout, stderr }) => {
    expect(stderr).not.toMatch(/error/i)
    expect(code).toBe(0)
    expect(stdout).toMatch(/^Line 1: Input may be run as code|^Mock answer/m)
    expect(stdout).toContain('\nmodel_not_allowed\n')
    expect(stdout).toMatch(/openai/)
    expect(stdout).toContain('INTACT')
  })
}, 60_000)

test('the scanner runs as its README says, through the socket of a daemon, and finds the known weaknesses', async () => {
  const [start = '', commands = ''] = shellBlocks('examples/repository-scanner/README.md')
  await typeCommands({ start, commands }, ({ code, stdout, stderr }) => {
    expect(stderr).not.toMatch(/\[error/)
    expect(code).toBe(0)
    expect(stdout).toContain('INTACT')
    const [path = ''] = /^\/.*results\.sarif$/m.exec(stdout) ?? []
    const report = JSON.parse(readFileSync(path, 'utf8')) as Report
    expect(fullSchemaFaults(report)).toEqual([])
    const found = report.runs[0]?.results.map(
      ({ ruleId, locations: [place] }) =>
        `${place?.physicalLocation.artifactLocation.uri}:${place?.physicalLocation.region.startLine} ${ruleId}`,
    )
    expect(found).toEqual([
      'mailer.py:5 hard-coded-secret',
      'mailer.py:9 tls-not-verified',
      'report.py:8 command-injection',
      'report.py:12 sql-injection',
      'report.py:16 code-injection',
    ])
  })
}, 60_000)

interface Report {
  runs: {
    results: {
      ruleId: string
      locations: {
        physicalLocation: { artifactLocation: { uri: string }; region: { startLine: number } }
      }[]
    }[]
  }[]
}
