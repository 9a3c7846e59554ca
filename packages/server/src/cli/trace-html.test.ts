import {
  lstatSync,
  mkdirSync,
  mkdtempDisposableSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { tracePage, writeTracePage } from './trace-html.ts'

const HOSTILE = `<img src=x onerror="document.title='owned'">'&"\u202egnp`

const trace = {
  id: 'tr_1',
  callers: [{ claim_kind: 'claimed', agent: HOSTILE, claim_id: 'jti_1' }],
  actors: [],
  txns: [],
  trace_ids: ['tr_1'],
  run_ids: [],
  session_ids: [],
  started_at: '2026-05-02T09:14:07.480Z',
  duration_ms: 1_000,
  totals: { calls: { model: 1, tool: 0, credential: 0 }, denied: 0, failed: 0 },
  agents: { spans: 1, open: 0, input_tokens: 9, output_tokens: 6, cost_micros: 117 },
  events: [],
  spans: [
    {
      type: 'span',
      trace_id: 'tr_1',
      span_id: 'sp_1',
      op: 'run',
      name: HOSTILE,
      at: '2026-05-02T09:14:07.730Z',
      offset_ms: 250,
      duration_ms: 500,
      status: 'ok',
      facts: { model: HOSTILE },
      events: [
        { type: 'tie', name: HOSTILE, data: '</script><script>1', offset_ms: 260, seqs: [2] },
      ],
      children: [
        {
          at: '2026-05-02T09:14:07.800Z',
          action: 'llm.chat',
          detail: HOSTILE,
          decision: { id: 'dec_1', allow: true, policies: [], reason: HOSTILE },
          lease: null,
          data: {},
          outcome: { code: 'OK', duration_ms: 10 },
          attribution: { method: 'heuristic', candidates: [] },
          children: [],
        },
      ],
    },
  ],
}

test('the page holds every name as text and asks for nothing from anywhere', () => {
  const page = tracePage(trace)
  expect(page).not.toContain('<img')
  expect(page).not.toContain('<script')
  expect(page).not.toContain('\u202e')
  expect(page.match(/&lt;img src=x onerror=&quot;/g)?.length).toBeGreaterThanOrEqual(6)
  expect(page).not.toMatch(/(?:src|href|action|style)\s*=\s*["']/)
  expect(page).not.toMatch(/url\(|@import|https?:/)
  expect(page).toMatch(
    /content="default-src 'none'; style-src 'sha256-[A-Za-z0-9+/=]{44}'; base-uri/,
  )
})

test('bars lie where and as long as things ran, and guesses are marked', () => {
  const page = tracePage(trace)
  expect(page).toContain('<rect class="at" x="250" y="1" width="500" height="8">')
  expect(page).toContain('<span class="guess">[heuristic]</span>')
  expect(page).toContain('9 in + 6 out tokens  $0.000117')
})

test('a page is written once, for its owner alone; over a file that is there only by force', async () => {
  using dir = mkdtempDisposableSync(join(tmpdir(), 'vestry-page-'))
  const file = join(dir.path, 'trace.html')
  expect(await writeTracePage(file, trace, { force: false })).toBe(file)
  writeFileSync(file, 'mine')
  await expect(writeTracePage(file, trace, { force: false })).rejects.toMatchObject({
    code: 'CONFLICT',
    message: expect.stringContaining('is not overwritten'),
  })
  expect(readFileSync(file, 'utf8')).toBe('mine')
  await writeTracePage(file, trace, { force: true })
  expect(readFileSync(file, 'utf8')).toBe(tracePage(trace))
  const nowhere = writeTracePage(join(dir.path, 'no', 'x.html'), trace, { force: false })
  await expect(nowhere).rejects.toMatchObject({ code: 'NOT_FOUND' })
})

test('by force a page takes the place of a file, never of what a link points to, and is for its owner alone', async () => {
  using dir = mkdtempDisposableSync(join(tmpdir(), 'vestry-page-'))
  const [victim, link] = [join(dir.path, 'victim'), join(dir.path, 'page.html')]
  writeFileSync(victim, 'mine', { mode: 0o644 })
  symlinkSync(victim, link)
  await writeTracePage(link, trace, { force: true })
  expect(readFileSync(victim, 'utf8')).toBe('mine')
  expect(lstatSync(link).isFile()).toBe(true)
  await writeTracePage(victim, trace, { force: true })
  expect(statSync(victim).mode & 0o777).toBe(0o600)
  mkdirSync(join(dir.path, 'folder'))
  const folder = writeTracePage(join(dir.path, 'folder'), trace, { force: true })
  await expect(folder).rejects.toMatchObject({ code: 'CONFLICT' })
  expect(readdirSync(dir.path).sort()).toEqual(['folder', 'page.html', 'victim'])
})

test('of a trace with several callers the page says whose a span, a tie and a call are', () => {
  const forger = { claim_kind: 'anonymous', fingerprint: 'anon_pid666', pid: 666 }
  const [span] = trace.spans
  const forged = { ...span, caller: 1, events: [], children: [] }
  const own = {
    ...span,
    caller: 0,
    events: [{ type: 'tie', name: 'lie', caller: 1, offset_ms: 1, seqs: [3] }],
    children: [forged, { action: 'llm.chat', actor: 'agent:mallory', children: [] }],
  }
  const page = tracePage({
    ...trace,
    callers: [{ ...trace.callers[0], agent: 'auditor' }, forger],
    spans: [own],
  })
  expect(page.match(/by anonymous anon_pid666/g)).toHaveLength(2)
  expect(page.match(/by agent auditor \(jti_1\)/g)).toHaveLength(1)
  expect(page).toContain('by agent:mallory')
})
