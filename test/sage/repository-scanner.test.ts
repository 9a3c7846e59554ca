import { EventEmitter } from 'node:events'
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { RULES } from '../../examples/repository-scanner/rules.ts'
import { RepositoryScanner } from '../../examples/repository-scanner/scanner.ts'
import { AgentRunner } from '../../packages/sdk/src/agent/index.ts'
import { fullSchemaFaults } from '../../packages/sdk/src/agent/sarif/full-schema.test-kit.ts'
import type { GatewayReply, GatewayRequest } from '../../packages/sdk/src/testing/fake-gateway.ts'
import { type FakeStack, startFakeStack } from '../../packages/sdk/src/testing/fake-stack.ts'

const SAMPLE = resolve(import.meta.dirname, '../../examples/repository-scanner/sample')
const MANY = 100

interface Report {
  runs: {
    results: {
      ruleId: string
      locations: { physicalLocation: { artifactLocation: { uri: string }; region: object } }[]
      properties: Record<string, unknown>
    }[]
    invocations: {
      executionSuccessful: boolean
      toolExecutionNotifications?: {
        level: string
        message: { text: string }
        locations?: { physicalLocation: { artifactLocation: { uri: string } } }[]
      }[]
    }[]
    properties: Record<string, unknown>
  }[]
}

let folder = ''
let stack: FakeStack

beforeAll(async () => {
  stack = await startFakeStack()
})
afterAll(async () => {
  await stack.close()
})
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'vestry-scan-'))
  cpSync(SAMPLE, join(folder, 'repository'), { recursive: true })
  stack.gateway.requests.length = 0
  return () => rmSync(folder, { recursive: true, force: true })
})

/** Runs the scanner as its process does. */
async function scan(answer: GatewayReply, signals = new EventEmitter()) {
  stack.gateway.replies.splice(0, Number.POSITIVE_INFINITY, ...Array(MANY).fill(answer))
  const output = join(folder, 'output')
  const runner = new AgentRunner(RepositoryScanner, {
    env: {
      ...stack.environment,
      OUTPUT_PATH: output,
      REPO_PATH: join(folder, 'repository'),
    },
    signals: signals as unknown as NodeJS.Process,
    logging: { write: () => {} },
  })
  return {
    code: await runner.run(),
    report: () => {
      const report = JSON.parse(readFileSync(join(output, 'results.sarif'), 'utf8')) as Report
      expect(fullSchemaFaults(report)).toEqual([])
      return report.runs[0]!
    },
  }
}

const isTriage = ({ headers }: GatewayRequest) => headers['x-sage-category'] === 'triage'
const fileOf = ({ body }: GatewayRequest) =>
  /File: ([\w.]+)/.exec(JSON.stringify(body['messages']))?.[1] ?? ''

const weakness = {
  rule: 'code-injection',
  severity: 'high',
  confidence: 'high',
  startLine: 16,
  endLine: 16,
  description: 'Input is run as code.',
  remediation: 'Parse it.',
}

/** Finds something in one file, as a model would. */
const careful: GatewayReply = (request) => {
  const isWeak = fileOf(request) === 'report.py'
  const answer = isTriage(request)
    ? { suspicious: isWeak, reason: 'eval' }
    : { findings: [weakness] }
  const usage = { inputTokens: 10, outputTokens: 2, totalTokens: 12 }
  return { text: JSON.stringify(answer), usage }
}

test('the scanner asks a cheap model about each file, a better one about those that look suspicious', async () => {
  const { code, report } = await scan(careful)
  expect(code).toBe(0)
  const asked = stack.gateway.requests.map((request) => [fileOf(request), isTriage(request)])
  expect(asked.toSorted()).toEqual([
    ['mailer.py', true],
    ['money.py', true],
    ['report.py', false],
    ['report.py', true],
  ])
  const { results, invocations, properties } = report()
  expect(results).toMatchObject([
    {
      ruleId: 'code-injection',
      locations: [
        {
          physicalLocation: {
            artifactLocation: { uri: 'report.py' },
            region: { startLine: 16, startColumn: 1, endLine: 16 },
          },
        },
      ],
      partialFingerprints: { primaryLocationLineHash: expect.stringMatching(/^[0-9a-f]+:1$/) },
    },
  ])
  expect(invocations).toEqual([{ executionSuccessful: true, exitCode: 0 }])
  expect(properties['tokenUsage']).toContainEqual(
    expect.objectContaining({ model: 'openai:gpt-4o-mini', totalTokens: 36 }),
  )
})

test('a file whose answer cannot be used is reported, and the others are scanned', async () => {
  const { code, report } = await scan((request) =>
    fileOf(request) === 'mailer.py' ? 'I would rather not say.' : careful,
  )
  expect(code).toBe(60)
  const { results, invocations } = report()
  expect(results).toHaveLength(1)
  expect(invocations[0]).toMatchObject({
    executionSuccessful: false,
    toolExecutionNotifications: [
      {
        level: 'error',
        message: { text: expect.stringContaining('not scanned') },
        locations: [{ physicalLocation: { artifactLocation: { uri: 'mailer.py' } } }],
      },
    ],
  })
})

test('a file that may not leave is reported, and the others are scanned', async () => {
  const { code, report } = await scan((request) =>
    fileOf(request) === 'mailer.py' ? { error: { status: 403, code: 'dlp_blocked' } } : careful,
  )
  expect(code).toBe(20)
  expect(report().results).toHaveLength(1)
})

test('an error that concerns every file ends the scan, and what was found is kept', async () => {
  let answered = 0
  const { code, report } = await scan(() => {
    answered += 1
    return answered > 3 ? { error: { status: 403, code: 'run_closed' } } : careful
  })
  expect(code).toBe(20)
  const notices = report().invocations[0]?.toolExecutionNotifications ?? []
  expect(notices.at(-1)?.message.text).toBe('the scan ended before its end')
})

test('stopped by a signal, the scanner writes what it has and says that it is partial', async () => {
  const signals = new EventEmitter()
  const { code, report } = await scan((request) => {
    if (fileOf(request) === 'report.py') return careful
    if (fileOf(request) === 'mailer.py') setTimeout(() => signals.emit('SIGTERM'), 100)
    return { text: '{}', delayMs: 5_000 }
  }, signals)
  expect(code).toBe(130)
  expect(report()).toMatchObject({
    results: [{ ruleId: 'code-injection' }],
    invocations: [{ executionSuccessful: false }],
    properties: { partial: true },
  })
})

test('a line the file does not have is not believed', async () => {
  const { code, report } = await scan((request) => {
    const findings = [{ ...weakness, startLine: 4000, endLine: 4001 }]
    return JSON.stringify(isTriage(request) ? { suspicious: true, reason: '' } : { findings })
  })
  expect(code).toBe(0)
  expect(report().results[0]).toMatchObject({
    locations: [{ physicalLocation: { region: { startLine: 1 } } }],
    properties: { confidence: 'low', metadata: { claimedLine: 4000 } },
  })
})

test('binary and large files are named, not sent', async () => {
  writeFileSync(join(folder, 'repository/blob.py'), Buffer.from([80, 0, 81]))
  writeFileSync(join(folder, 'repository/large.py'), 'x = 1\n'.repeat(20_000))
  const { code, report } = await scan(careful)
  expect(code).toBe(0)
  expect(stack.gateway.requests.map(fileOf)).not.toContain('blob.py')
  const notices = report().invocations[0]?.toolExecutionNotifications ?? []
  expect(notices.map(({ level, message }) => `${level} ${message.text}`).sort()).toEqual([
    'note not scanned: binary',
    'note not scanned: larger than 96 KiB',
  ])
})

test('every rule has a title', () => {
  for (const { title } of Object.values(RULES)) expect(title).not.toBe('')
})
