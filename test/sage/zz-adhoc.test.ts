import { connect } from 'node:net'
import { expect, test } from 'vitest'
import { startLlmWorld, tokens } from './llm-world.ts'
import { rawRequest, requestBytes } from './raw-http.ts'
const CHAT = '/v1/chat/completions'
const HELLO = { model: 'gpt-4o', messages: [{ role: 'user', content: 'hi' }] }
async function until(world: any, what: (received: string) => unknown, run: any, at: any) {
  const bytes = requestBytes('POST', CHAT, tokens(run), { ...HELLO, stream: true })
  return new Promise<string>((resolve) => {
    const socket = connect(at, () => socket.write(bytes))
    let received = '', done = false
    socket.on('data', async (c) => { received += c; if (!done && received.includes('word')) { done = true; await what(received) } })
    socket.on('error', (e) => resolve(received + 'ERR' + e)).once('end', () => resolve(received))
  })
}
test('seal mid stream', async () => {
  const world = await startLlmWorld({ dev: true })
  const run = await world.run()
  world.fakes.openai.script({ text: 'word '.repeat(400), pauseMs: 5 })
  const got = await until(world, () => world.part.close(), run, { path: world.socket })
  console.log(got.slice(-300)); console.log(JSON.stringify((await world.audit()).at(-1)))
  await world[Symbol.asyncDispose]()
})
test('agent disabled mid stream', async () => {
  const world = await startLlmWorld({ dev: true })
  const run = await world.run()
  world.fakes.openai.script({ text: 'word '.repeat(100), pauseMs: 2 })
  const agents: any = world.parts.agents
  const got = await until(world, () => agents.setStatus ? agents.setStatus('scanner', 'disabled') : console.log(Object.getOwnPropertyNames(Object.getPrototypeOf(agents))), run, { path: world.socket })
  console.log(got.slice(-200)); console.log((await world.post(CHAT, HELLO, tokens(run))).body)
  await world[Symbol.asyncDispose]()
})
test('embeddings memory', async () => {
  const world = await startLlmWorld({ dev: true })
  const run = await world.run()
  const vec = Array.from({ length: 3072 }, () => Math.random() - 0.5)
  const make = (n: number) => ({ status: 200, body: { data: Array.from({ length: n }, (_, index) => ({ index, embedding: vec })), usage: { prompt_tokens: n, total_tokens: n } } })
  world.fakes.openai.script(make(2048), make(2048), make(2048), make(2048), make(1808))
  const before = process.memoryUsage().rss
  const r = await rawRequest({ path: world.socket }, requestBytes('POST', '/v1/embeddings', tokens(run), { model: 'text-embedding-3-small', input: Array(10000).fill('a') }), { timeoutMs: 60000 })
  console.log(r.status, r.body.slice(0, 300), r.body.length, (process.memoryUsage().rss - before) / 1e6)
  console.log(world.warnings, (await world.audit()).at(-1)?.outcome)
  await world[Symbol.asyncDispose]()
}, 60000)
test('audit gone mid stream', async () => {
  const world = await startLlmWorld({ dev: true })
  const run = await world.run()
  world.fakes.openai.script({ text: 'word '.repeat(100), pauseMs: 2 })
  const got = await until(world, () => (world.parts as any).vault.stations.audit.close(), run, { path: world.socket })
  console.log(got.slice(-300)); console.log((await world.post(CHAT, HELLO, tokens(run))).body)
  console.log(world.warnings)
})
test('bad path', async () => {
  const world = await startLlmWorld({ dev: true })
  for (const at of [{ path: world.socket }, world.tcp]) for (const p of ['/v1/%zz', '/v1/chat/completions?%zz', '/v1//chat/completions', '/v1/chat/completions#a', '/V1/chat/completions', 'http://x/v1/models', '/v1', '/v1/']) {
    const r = await rawRequest(at as any, requestBytes('POST', p, tokens(await world.run()), HELLO)).catch((e) => ({ status: 0, body: String(e), headers: {} }))
    console.log(p, r.status, r.body.slice(0, 200), r.headers['connection'])
  }
  await world[Symbol.asyncDispose]()
})
