/**
 * A trace as one HTML page: no script, nothing loaded from anywhere, every name from outside as text. It may be
 * opened from a disk, mailed, or kept with an incident.
 */
import { hash, randomBytes } from 'node:crypto'
import { lstat, open, rename, rm } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { VestryError } from '@vestry/contract/errors'
import { cellText, isRow, type Row, rowOf, rowsOf } from './cell.ts'
import {
  byWhom,
  callerText,
  durationText,
  eventWords,
  guessTag,
  offsetText,
  type Speakers,
  spanFacts,
  speakersBelow,
  speakersOf,
} from './span-text.ts'
import { noPaint } from './style.ts'
import { safeText } from './terminal-text.ts'
import { agentTotalsLine, totalsLine } from './trace-totals.ts'
import { factLines } from './trace-tree.ts'

/** @returns The path. @throws VestryError CONFLICT when something is there, NOT_FOUND when it cannot be written. */
export async function writeTracePage(
  path: string,
  trace: Row,
  { force }: { force: boolean },
): Promise<string> {
  const text = tracePage(trace)
  if (!force) await writeNew(path, path, text)
  else {
    await assertReplaceable(path)
    // Another file takes its place: what a link points to stays as it is, and who may read the old one may not read this.
    const draft = join(dirname(path), `.${basename(path)}.${randomBytes(6).toString('hex')}`)
    await writeNew(draft, path, text)
    await rename(draft, path).catch(async (cause: unknown) => {
      await rm(draft, { force: true })
      throw unwritable(path, cause)
    })
  }
  return path
}

async function writeNew(file: string, path: string, text: string): Promise<void> {
  const handle = await open(file, 'wx', 0o600).catch((cause: unknown) => {
    throw unwritable(path, cause)
  })
  try {
    await handle.writeFile(text)
    await handle.sync()
  } catch (cause) {
    await rm(file, { force: true })
    throw unwritable(path, cause)
  } finally {
    await handle.close()
  }
}

/** A device or a directory is not meant to be replaced by a page. */
async function assertReplaceable(path: string): Promise<void> {
  const there = await lstat(path).catch(() => undefined)
  if (there === undefined || there.isFile() || there.isSymbolicLink()) return
  throw new VestryError('CONFLICT', `${path} is no file`, { hint: 'Choose another file' })
}

function unwritable(path: string, cause: unknown): VestryError {
  const exists = cause instanceof Error && 'code' in cause && cause.code === 'EEXIST'
  return exists
    ? new VestryError('CONFLICT', `${path} exists and is not overwritten`, {
        hint: 'Choose another file, or say --force',
        cause,
      })
    : new VestryError('NOT_FOUND', `${path} cannot be written`, { cause })
}

const STYLE = `
:root{color-scheme:light dark;--line:#d7dbe0;--dim:#5f6873;--bar:#3b7dd8;--good:#1a7f37;--bad:#c02637;--guess:#9a6700}
@media (prefers-color-scheme:dark){:root{--line:#39414b;--dim:#98a2ad;--bar:#5b9bf0;--good:#4cc36a;--bad:#ff7b84;--guess:#d9a93a}}
body{font:14px/1.5 ui-monospace,Menlo,Consolas,monospace;margin:0 auto;max-width:110rem;padding:1.5rem}
h1{font-size:1.15rem;overflow-wrap:anywhere;margin:0 0 .5rem}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.1rem 1rem;margin:0 0 1rem}
dt,.dim{color:var(--dim)}dd{margin:0;overflow-wrap:anywhere}
details{border-left:2px solid var(--line);padding-left:.8rem;margin:.15rem 0}
summary{display:flex;gap:1rem;align-items:center;cursor:pointer;overflow-wrap:anywhere}
summary::before{content:"\\25B8";color:var(--dim)}details[open]>summary::before{content:"\\25BE"}
summary .what{flex:1;min-width:0}
ul{list-style:none;margin:.1rem 0 .3rem 1.4rem;padding:0}li{overflow-wrap:anywhere}
.ok{color:var(--good)}.bad{color:var(--bad)}.guess{color:var(--guess)}.op{font-weight:600}
svg{flex:none;width:18rem;height:.8rem}svg .of{fill:none;stroke:var(--line)}svg .at{fill:var(--bar)}
@media (max-width:60rem){svg{width:7rem}}
footer{border-top:1px solid var(--line);margin-top:1rem;padding-top:.5rem}
`

/** The whole document. Pure. */
export function tracePage(trace: Row): string {
  const id = escaped(cellText(trace['id']))
  const startedMs = Date.parse(String(trace['started_at']))
  const who = speakersOf(trace)
  const whole: Whole = { who, startedMs, totalMs: Math.max(1, Number(trace['duration_ms'])) }
  const style = hash('sha256', STYLE, 'base64')
  // Nothing may be loaded or run, even if a name were to escape its place as text.
  const policy = `default-src 'none'; style-src 'sha256-${style}'; base-uri 'none'; form-action 'none'`
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<title>trace ${id}</title>
<style>${STYLE}</style>
</head>
<body>
<header>
<h1>trace ${id}</h1>
<dl>
${facts(trace)}
</dl>
</header>
<main>
${eventList(rowsOf(trace, 'events'), who)}${rowsOf(trace, 'spans')
  .map((item) => node(item, whole))
  .join('\n')}
</main>
<footer>
${trace['truncated'] === true ? '<p>Only the newest are shown.</p>\n' : ''}<p>${escaped(totals(trace))}</p>
</footer>
</body>
</html>
`
}

interface Whole {
  readonly who: Speakers
  readonly startedMs: number
  readonly totalMs: number
}

function facts(trace: Row): string {
  const listed = (name: string): string | undefined => {
    const value = trace[name]
    return Array.isArray(value) && value.length > 0 ? cellText(value) : undefined
  }
  const callers = rowsOf(trace, 'callers').map(callerText)
  const pairs: [string, string | undefined][] = [
    ['caller', callers.length === 0 ? undefined : callers.join(', ')],
    ['actors', listed('actors')],
    ['runs', listed('run_ids')],
    ['sessions', listed('session_ids')],
    ['transactions', listed('txns')],
    ['traces', listed('trace_ids')],
    ['started', cellText(trace['started_at'])],
    ['lasted', durationText(trace['duration_ms'])],
  ]
  return pairs
    .filter((pair): pair is [string, string] => pair[1] !== undefined)
    .map(([label, value]) => `<dt>${label}</dt><dd>${escaped(value)}</dd>`)
    .join('\n')
}

function totals(trace: Row): string {
  const all = rowOf(trace, 'totals')
  const { agents } = trace
  return isRow(agents) ? agentTotalsLine(agents, all, noPaint) : totalsLine(all, noPaint)
}

function node(item: Row, whole: Whole): string {
  const isSpan = item['type'] === 'span'
  const atMs = Date.parse(String(item['at'])) - whole.startedMs
  const duration = isSpan ? item['duration_ms'] : rowOf(item, 'outcome')['duration_ms']
  const isOpen = isSpan && item['status'] === 'open'
  const lines = isSpan ? [] : factLines(item, noPaint)
  const below = { ...whole, who: speakersBelow(whole.who, item) }
  return `<details open>
<summary><span class="what">${isSpan ? spanTitle(item) : callTitle(item)} <span class="dim">${escaped(
    [offsetText(atMs), durationText(duration)].join(' ').trim(),
  )}</span>${doubts(item, whole.who)}</span>${bar(atMs, duration, isOpen, whole)}</summary>
${lines.length === 0 ? '' : `<ul>\n${lines.map((line) => `<li>${escaped(line)}</li>`).join('\n')}\n</ul>\n`}${eventList(
  rowsOf(item, 'events'),
  below.who,
)}${rowsOf(item, 'children')
  .map((child) => node(child, below))
  .join('\n')}
</details>`
}

function spanTitle(span: Row): string {
  const { op, name, status } = span
  const style = status === 'ok' ? 'ok' : status === 'error' ? 'bad' : 'dim'
  const told = spanFacts(span).join(' ')
  return `<span class="op">${escaped(cellText(op))}</span> ${escaped(cellText(name))} <span class="${style}">${escaped(
    cellText(status),
  )}</span> ${escaped(told)} <span class="dim">${escaped(cellText(span['span_id']))}</span>`
}

function callTitle(call: Row): string {
  const { code } = rowOf(call, 'outcome')
  const style = code === 'OK' || code === undefined ? '' : ' class="bad"'
  return `<span class="op">${escaped(cellText(call['action']))}</span> <span${style}>${escaped(cellText(call['detail']))}</span>`
}

function eventList(events: readonly Row[], who: Speakers): string {
  if (events.length === 0) return ''
  const lines = events.map((event) => {
    const when = `<span class="dim">${escaped(offsetText(event['offset_ms']))}</span>`
    return `<li>· ${escaped(eventWords(event).join('  '))} ${when}${doubts(event, who)}</li>`
  })
  return `<ul>\n${lines.join('\n')}\n</ul>\n`
}

/** Who else it was, and whether it is sure at all. */
function doubts(item: Row, who: Speakers): string {
  const told = [byWhom(who, item), guessTag(item)].filter((one) => one !== undefined)
  return told.map((one) => ` <span class="guess">${escaped(one)}</span>`).join('')
}

/** Drawn with attributes of its own: inline styles would be refused. */
function bar(atMs: number, duration: unknown, isOpen: boolean, { totalMs }: Whole): string {
  if (typeof duration !== 'number' && !isOpen) return ''
  const share = (ms: number): number =>
    Math.min(1_000, Math.max(0, Math.round((ms / totalMs) * 1_000)))
  const from = Math.min(996, share(atMs))
  const lasted = typeof duration === 'number' ? duration : totalMs - atMs
  const width = Math.max(4, Math.min(1_000 - from, share(lasted)))
  const label = isOpen ? 'still open' : durationText(duration)
  return `<svg viewBox="0 0 1000 10" preserveAspectRatio="none" role="img" aria-label="${escaped(
    label,
  )}"><rect class="of" width="1000" height="10"></rect><rect class="at" x="${from}" y="1" width="${width}" height="8"></rect></svg>`
}

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
}

/** Text anywhere in the page, in attributes too; what could turn its direction around is an escape. */
function escaped(text: string): string {
  return safeText(text).replace(/[&<>"']/g, (character) => ENTITIES[character] ?? character)
}
