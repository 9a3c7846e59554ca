/** The page of a trace in a real browser: what is hostile in it stays text, and it reads without a network or a script. */
import { existsSync, mkdtempDisposableSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { type Browser, chromium } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { writeTracePage } from '../../packages/server/src/cli/trace-html.ts'

const CHROMIUM = process.env['CHROMIUM'] ?? '/usr/bin/chromium'
const HOSTILE = `<img src=x onerror="document.title='owned'"><script>document.title='owned'</script>`

const span = (n: number, name: string, children: readonly object[]) => ({
  ...{ type: 'span', trace_id: 'tr_1', span_id: `sp_${n}`, op: 'run', name, status: 'ok' },
  ...{
    at: '2026-05-02T09:14:07.730Z',
    offset_ms: 250,
    duration_ms: 500,
    facts: { model: HOSTILE },
  },
  events: [{ type: 'tie', name: HOSTILE, data: HOSTILE, offset_ms: 260, seqs: [n] }],
  children,
})

const trace = {
  id: HOSTILE,
  callers: [{ claim_kind: 'anonymous', fingerprint: HOSTILE }],
  ...{ actors: [HOSTILE], txns: [], trace_ids: ['tr_1'], run_ids: [HOSTILE], session_ids: [] },
  ...{ started_at: '2026-05-02T09:14:07.480Z', duration_ms: 1_000 },
  totals: { calls: { model: 0, tool: 0, credential: 0 }, denied: 0, failed: 0 },
  agents: { spans: 2, open: 0, input_tokens: 0, output_tokens: 0, cost_micros: 0 },
  events: [],
  spans: [span(1, HOSTILE, [span(2, 'inner', [])])],
}

describe.skipIf(!existsSync(CHROMIUM))('in Chromium', () => {
  let browser: Browser
  beforeAll(async () => {
    browser = await chromium.launch({ executablePath: CHROMIUM, args: ['--no-sandbox'] })
  }, 60_000)
  afterAll(() => browser?.close())

  test('names of spans, agents and events are text: nothing of them runs, nothing is loaded', async () => {
    using dir = mkdtempDisposableSync(join(tmpdir(), 'vestry-page-'))
    const file = await writeTracePage(join(dir.path, 'trace.html'), trace, { force: false })
    const page = await browser.newPage()
    const asked: string[] = []
    const complaints: string[] = []
    page.on('request', (request) => asked.push(request.url()))
    page.on('console', (message) => complaints.push(message.text()))
    page.on('pageerror', (error) => complaints.push(error.message))
    const url = pathToFileURL(file).href
    await page.goto(url)
    expect(asked).toEqual([url])
    // Its own policy refuses nothing that it needs.
    expect(complaints).toEqual([])
    expect(await page.title()).toBe(`trace ${HOSTILE}`)
    expect(await page.locator('img, script, iframe, object').count()).toBe(0)
    expect(await page.locator('summary').first().innerText()).toContain(HOSTILE)
    await page.close()
  })

  test('it reads without scripts, folds, follows the colours of the system, and fits a narrow window', async () => {
    using dir = mkdtempDisposableSync(join(tmpdir(), 'vestry-page-'))
    const file = await writeTracePage(join(dir.path, 'trace.html'), trace, { force: false })
    const context = await browser.newContext({
      javaScriptEnabled: false,
      colorScheme: 'dark',
      viewport: { width: 480, height: 800 },
    })
    const page = await context.newPage()
    await page.goto(pathToFileURL(file).href)
    const inner = page.getByText('inner', { exact: false }).first()
    expect(await inner.isVisible()).toBe(true)
    await page
      .locator('summary')
      .first()
      .click({ position: { x: 3, y: 8 } })
    expect(await inner.isVisible()).toBe(false)
    const bar = page.locator('summary').first().locator('rect.at')
    const [whole, part] = [
      await page.locator('summary svg').first().boundingBox(),
      await bar.boundingBox(),
    ]
    expect((part?.width ?? 0) / (whole?.width ?? 1)).toBeCloseTo(0.5, 1)
    await context.close()
    const shown = await backgrounds(file)
    expect(shown.dark).not.toBe(shown.light)
  })

  async function backgrounds(file: string): Promise<{ light: string; dark: string }> {
    const colourIn = async (colorScheme: 'light' | 'dark'): Promise<string> => {
      const context = await browser.newContext({ colorScheme })
      const page = await context.newPage()
      await page.goto(pathToFileURL(file).href)
      const colour = await page.evaluate("getComputedStyle(document.querySelector('h1')).color")
      await context.close()
      return String(colour)
    }
    return { light: await colourIn('light'), dark: await colourIn('dark') }
  }
})
