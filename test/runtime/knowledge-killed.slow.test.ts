/** Knowledge of a daemon that is killed while it is added to, and of one whose embedder changes between two starts. */
import { writeFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { stringify } from 'yaml'
import { temporaryHome } from '../harness/boot.ts'
import { DaemonProcess } from '../harness/daemon-process.ts'
import { RuntimeNode } from './node.ts'

const TOPICS = [
  'harbour',
  'orchard',
  'furnace',
  'glacier',
  'library',
  'railway',
  'vineyard',
  'quarry',
]
/** A word of its own, so that a search for it finds this and nothing else. */
const word = (n: number) => `zq${n.toString(36).padStart(4, '0')}xv`
const textOf = (n: number) =>
  `Note ${word(n)} tells of the ${TOPICS[n % TOPICS.length]} in its ${n}th year.`

const item = (id: string, content: string) => ({
  id,
  content,
  metadata: { source: `${id}.md`, source_type: 'document', timestamp: '2031-04-05' },
})

function configure(file: string, embedder: string): void {
  writeFileSync(file, stringify({ runtime: { knowledge_embedder: embedder } }), { mode: 0o600 })
}

interface Hit {
  readonly item: { readonly id: string; readonly content: string }
}

async function found(node: RuntimeNode, query: string, limit = 50): Promise<readonly Hit[]> {
  const body = { query, limit, similarity_threshold: 0 }
  const { json, text } = await node.ask('POST', 'knowledge/search', { body })
  expect(json?.results, text).toBeDefined()
  return json.results
}

/** Adds until the daemon is gone. @returns what was acknowledged. */
async function addUntilGone(node: RuntimeNode, first: number, step: number, onAdded: () => void) {
  const added: number[] = []
  for (let n = first; ; n += step) {
    const told = await node
      .ask('POST', 'knowledge', { body: item(`kb-${n}`, textOf(n)) })
      .catch(() => undefined)
    if (told === undefined) return added
    expect(told.status, told.text).toBeLessThan(300)
    added.push(n)
    onAdded()
  }
}

test('runtime §10: after a kill while items and documents are added, what was acknowledged is found, once', async () => {
  await using undo = new AsyncDisposableStack()
  const home = undo.use(temporaryHome())
  configure(home.config, 'hashing')
  let next = 0
  const acknowledged: number[] = []
  const documents: string[] = []
  for (let round = 0; round < 3; round += 1) {
    const daemon = undo.use(await DaemonProcess.start(home.dir))
    const node = new RuntimeNode(daemon.ready)
    let count = 0
    const enough = Promise.withResolvers<void>()
    const onAdded = () => {
      count += 1
      if (count === 20 + round * 7) enough.resolve()
    }
    const writers = [0, 1, 2].map((n) => addUntilGone(node, next + n, 3, onAdded))
    const id = `doc-${round}`
    const long = Array.from(
      { length: 400 },
      (_, n) => `${word(9_000 + round * 1_000 + n)} stands in paragraph ${n}.`,
    )
    const whole = node
      .ask('POST', 'knowledge', { body: item(id, long.join('\n\n')) })
      .then(({ status }) => status < 300 && documents.push(id))
      .catch(() => undefined)
    await enough.promise
    await daemon.kill()
    acknowledged.push(...(await Promise.all(writers)).flat())
    await whole
    next = Math.max(...acknowledged) + 10
  }
  const node = new RuntimeNode(undo.use(await DaemonProcess.start(home.dir)).ready)
  expect(acknowledged.length).toBeGreaterThanOrEqual(60)
  for (const n of acknowledged) {
    const hits = (await found(node, word(n))).filter(
      ({ item: { content } }) => content === textOf(n),
    )
    expect(
      hits.map((hit) => hit.item.id),
      textOf(n),
    ).toEqual([`kb-${n}`])
  }
  // Of a document all or nothing: there is no passage of one that is not there, and no passage twice.
  for (let round = 0; round < 3; round += 1) {
    const id = `doc-${round}`
    const { status } = await node.ask('GET', `knowledge/${id}`)
    if (documents.includes(id)) expect(status).toBe(200)
    for (const n of [0, 200, 399]) {
      const own = word(9_000 + round * 1_000 + n)
      const hits = (await found(node, own)).filter(({ item: { content } }) => content.includes(own))
      if (status === 200) expect(hits.length).toBeGreaterThan(0)
      else expect(hits).toEqual([])
      expect(new Set(hits.map((hit) => JSON.stringify(hit))).size).toBe(hits.length)
    }
  }
}, 60_000)

test('runtime §10.4: when the embedder changes, everything is found throughout and embedded again', async () => {
  await using undo = new AsyncDisposableStack()
  const home = undo.use(temporaryHome())
  configure(home.config, 'hashing')
  const before = await DaemonProcess.start(home.dir)
  undo.use(before)
  let node = new RuntimeNode(before.ready)
  const numbers = Array.from({ length: 24 }, (_, n) => n)
  /** Of the vector that is kept. */
  const dimensionOf = async (n: number): Promise<number | undefined> => {
    const body = { query: word(n), limit: 1, similarity_threshold: 0 }
    const { json } = await node.ask('POST', 'knowledge/search?include_embedding=true', { body })
    expect(json.results[0]?.item.id).toBe(`kb-${n}`)
    return json.results[0].item.embedding?.length
  }
  for (const n of numbers) {
    const { status, json } = await node.ask('POST', 'knowledge', {
      body: item(`kb-${n}`, textOf(n)),
    })
    expect(status).toBe(201)
    expect(json.dimension).toBe(768)
  }
  expect(await dimensionOf(0)).toBe(768)
  await before.stop()
  configure(home.config, 'offline')
  node = new RuntimeNode(undo.use(await DaemonProcess.start(home.dir)).ready)
  // Each look is a search that has to find it, whether its vector is there or not.
  const dimensions = async () => [...new Set(await Promise.all(numbers.map(dimensionOf)))]
  await expect.poll(dimensions, { timeout: 40_000, interval: 200 }).toEqual([1024])
}, 60_000)
