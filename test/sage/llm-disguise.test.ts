/** Whatever a model and its provider are called, nothing reaches a provider but what the run was granted. */
import fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type LlmWorld, type RunHeaders, startLlmWorld, tokens } from './llm-world.ts'

const GRANTED = {
  triage: ['openai:gpt-4o-mini'],
  analysis: ['anthropic:claude-sonnet-4-5', 'openai:gpt-4o'],
  reasoning: [],
  embeddings: ['openai:text-embedding-3-small', 'google:gemini-embedding-001'],
}
/** What a provider may see, by the route that was called. */
const CHATS = new Set([...GRANTED.triage, ...GRANTED.analysis])
const EMBEDDINGS = new Set(GRANTED.embeddings)

let world: LlmWorld
let run: RunHeaders
beforeAll(async () => {
  world = await startLlmWorld({ dev: true }) // no limits on how often
})
afterAll(() => world[Symbol.asyncDispose]())

/** The plain one as often as all the others together, so that much of what is tried is permitted. */
const mostly = <T>(plain: T, ...others: T[]) =>
  fc.oneof(fc.constant(plain), fc.constantFrom(...others))

const name = fc.constantFrom(
  ...['gpt-4o', 'gpt-4o-mini', 'gpt-4.1', 'o3', 'claude-sonnet-4-5', 'claude-opus-4-1'],
  ...['gemini-2.5-flash', 'text-embedding-3-small', 'gemini-embedding-001'],
)
const prefix = mostly(
  '',
  ...['openai:', 'anthropic:', 'google:', 'OpenAI:', ' openai :', 'openai/', 'anthropic/'],
  ...['google/', 'gemini/', 'models/', 'models/openai/', 'openai/models/', 'openai:openai:', './'],
)
const disguise = mostly(
  (text: string) => text,
  ...[
    (text: string) => text.toUpperCase(),
    (text: string) => `${text} `,
    (text: string) => `${text}\u0000`,
    (text: string) => `${text}?x=1`,
    (text: string) => `${text}:generateContent`,
    (text: string) => `../${text}`,
    (text: string) => encodeURIComponent(text),
    (text: string) => text.replace('o', '\u043e'),
    (text: string) => text.replace('k', '\u212a'),
    (text: string) => text.normalize('NFD').replace('4', '\uff14'),
  ],
)
const provider = mostly<string | undefined>(
  undefined,
  ...['openai', 'anthropic', 'google', 'OPENAI', ' Anthropic ', 'openai,anthropic'],
)
const category = mostly<string | undefined>(
  undefined,
  'triage',
  'analysis',
  'reasoning',
  'embeddings',
)
const route = fc.constantFrom('/v1/chat/completions', '/v1/embeddings', '/v1/messages')

/** Provider and model of everything that was sent on since the last time, as its provider reads it. */
function seen(): string[] {
  const { openai, anthropic, google } = world.fakes
  const found = [
    ...openai.requests.map(({ body }) => `openai:${String(body['model'])}`),
    ...anthropic.requests.map(({ body }) => `anthropic:${String(body['model'])}`),
    ...google.requests.map(({ path }) => `google:${/models\/([^:]+):/.exec(path)?.[1]}`),
  ]
  for (const fake of [openai, anthropic, google]) fake.requests.length = 0
  return found
}

test('sage §21.19: no disguise of a provider or a model, on no route and in no category, opens anything', async () => {
  const answers = { allowed: 0, refused: 0, slowed: 0 }
  const attempt = fc.record({ name, prefix, disguise, provider, category, route })
  await fc.assert(
    fc.asyncProperty(attempt, async (one) => {
      // A run that is refused too often is slowed down, and would prove nothing.
      if ((answers.refused + answers.allowed) % 50 === 0)
        run = await world.run({ allowed_models: GRANTED })
      const model = one.disguise(one.prefix + one.name)
      const body =
        one.route === '/v1/embeddings'
          ? { model, input: ['x'] }
          : { model, max_tokens: 9, messages: [{ role: 'user', content: 'x' }] }
      const { status } = await world.post(one.route, body, {
        ...tokens(run),
        ...(one.provider !== undefined && { 'X-Provider': one.provider }),
        ...(one.category !== undefined && { 'X-Sage-Category': one.category }),
      })
      const reached = seen()
      if (status !== 200) {
        answers.refused += 1
        if (status === 429) answers.slowed += 1
        expect(reached).toEqual([])
        return
      }
      answers.allowed += 1
      expect(reached).toHaveLength(1)
      const granted = one.route === '/v1/embeddings' ? EMBEDDINGS : CHATS
      expect(granted).toContain(reached[0])
      if (one.provider !== undefined)
        expect(reached[0]?.startsWith(`${one.provider.trim().toLowerCase()}:`)).toBe(true)
      if (one.route === '/v1/messages') expect(reached[0]).toMatch(/^anthropic:/)
      if (one.category !== undefined && one.route !== '/v1/embeddings')
        expect(GRANTED[one.category as keyof typeof GRANTED]).toContain(reached[0])
    }),
    { numRuns: 600, seed: 20_261_120 },
  )
  expect(answers.slowed).toBe(0)
  expect(answers.allowed).toBeGreaterThan(10)
  expect(answers.refused).toBeGreaterThan(300)
})
