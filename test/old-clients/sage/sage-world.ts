/** A real daemon with fake providers behind it, runs registered with it, a forwarder in front, and the stand-in. */
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { dialer } from '../../../packages/server/src/egress/dial.ts'
import { Forwarder } from '../../../packages/server/src/forward/forwarder.ts'
import { startTestDaemon, type TestDaemon } from '../../harness/daemon.ts'
import { FAKE_KEYS, type FakeProviders, startFakeProviders } from '../../harness/fake-providers.ts'
import { assertNoTokens } from '../../harness/needles.ts'
import { type Call, type Outcome, SageProcess } from './sage-process.ts'

export type Environment = Readonly<Record<string, string>>

/** How an agent reaches the gateway. */
export const WAYS = ['socket', 'forwarder', 'tcp'] as const
export type Way = (typeof WAYS)[number]

export const PROVIDERS = [
  { provider: 'openai', model: 'gpt-4o', variable: 'OPENAI_BASE_URL', path: '/v1' },
  {
    provider: 'anthropic',
    model: 'claude-haiku-4-5',
    variable: 'ANTHROPIC_BASE_URL',
    path: '/anthropic',
  },
  { provider: 'google', model: 'gemini-2.5-flash', variable: 'GOOGLE_BASE_URL', path: '/google' },
] as const
export type ProviderCase = (typeof PROVIDERS)[number]

export const MODELS = {
  triage: ['openai:gpt-4o-mini'],
  analysis: PROVIDERS.map(({ provider, model }) => `${provider}:${model}`),
  reasoning: ['openai:o3'],
  embeddings: ['openai:text-embedding-3-small'],
}

export interface SageWorld extends AsyncDisposable {
  readonly vestry: TestDaemon
  readonly providers: FakeProviders
  readonly sage: SageProcess
  /** Registers a run. @returns The environment of its processes, without a repository. */
  run(registration?: object): Promise<Record<string, string>>
  /** The same environment, for another way to the gateway. */
  by(way: Way, env: Environment): Record<string, string>
  /** One call of the stand-in, with as little patience as a test has. */
  ask(env: Environment, call: string, args?: object, more?: Partial<Call>): Promise<Outcome>
  /** A directory that is gone in the end. */
  directory(): string
}

const QUICK = { timeout: 10, retry_backoff: 0.02 }

export async function startSageWorld(options: { llm?: object } = {}): Promise<SageWorld> {
  await using undo = new AsyncDisposableStack()
  const providers = undo.use(await startFakeProviders())
  const entries = PROVIDERS.map(({ provider }) => [provider, { base_url: providers[provider].url }])
  const vestry = undo.use(
    await startTestDaemon({
      config: {
        egress: { allow_cidrs: ['127.0.0.1/32'] },
        llm: { providers: Object.fromEntries(entries), ...options.llm },
      },
    }),
  )
  undo.defer(() => providers.close()) // before the daemon, which would wait for calls that hang
  for (const { provider } of PROVIDERS)
    await vestry.addCredential(`llm/${provider}`, FAKE_KEYS[provider])
  const { hostname: host, port } = new URL(vestry.daemon.ready.http)
  const forwarder = new Forwarder({
    dial: dialer({ host, port: Number(port), tls: false }, { timeoutMs: 2_000 }),
  })
  const place = undo.adopt(mkdtempSync(join(tmpdir(), 'sage-')), (dir) =>
    rmSync(dir, { recursive: true, force: true }),
  )
  const forwarded = join(place, 'fw.sock')
  await forwarder.listen(forwarded, 0o600)
  undo.defer(() => forwarder.close(0))
  const sage = undo.use(new SageProcess())
  await vestry.addAgent('scanner')
  const all = undo.move()
  return {
    vestry,
    providers,
    sage,
    directory: () => mkdtempSync(join(place, 'd-')),
    run: async (registration = {}) => {
      const { env } = await vestry.admin.call('admin.run.register', {
        agent: 'scanner',
        org_id: '90210',
        sub: 'github|org-90210',
        allowed_models: MODELS,
        ...registration,
      })
      return env as Record<string, string>
    },
    by: (way, env) => {
      if (way === 'socket') return { ...env }
      const { LLM_GATEWAY_SOCKET: _, ...rest } = env
      if (way === 'forwarder') return { ...rest, LLM_GATEWAY_SOCKET: forwarded }
      const urls = PROVIDERS.map(({ variable, path }) => [
        variable,
        `http://${host}:${port}${path}`,
      ])
      return { ...rest, ...Object.fromEntries(urls) }
    },
    ask: async (env, call, args = {}, more = {}) => {
      const outcome = await sage.send({
        call,
        args,
        env,
        ...more,
        http: { ...QUICK, ...more.http },
      })
      // Part of sage §21.39: this client repeats whole error bodies, so ours must hold nothing.
      const { raised, events } = outcome
      assertNoTokens(
        `${call} in an error or a log`,
        JSON.stringify([raised, events]),
        Object.values(FAKE_KEYS),
      )
      return outcome
    },
    [Symbol.asyncDispose]: () => all.disposeAsync(),
  }
}

export const says = (content: unknown): object[] => [{ type: 'human', content }]

/** What a call returned. @throws with what it raised instead. */
// biome-ignore lint/suspicious/noExplicitAny: tests assert on whatever a call returned
export function result({ ok, raised }: Outcome): any {
  if (raised !== undefined) throw new Error(`${raised.class}: ${raised.message}`)
  return ok
}

/** A repository of a few files, which everybody may read. */
export function repository(dir: string, files: Readonly<Record<string, string>>): string {
  for (const [name, text] of Object.entries(files)) {
    writeFileSync(join(dir, name), text)
    chmodSync(join(dir, name), 0o644)
  }
  return dir
}
