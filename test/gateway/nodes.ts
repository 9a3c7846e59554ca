/** The same gateway once on SQLite, and as two nodes of one PostgreSQL: what they share must hold for both. */
import { describe } from 'vitest'
import { postgresOffer, postgresUrl } from '../../packages/server/src/store/test-store.ts'
import { temporaryHome } from '../harness/boot.ts'
import { type Providers, startProviders } from '../old-clients/gateway/fake-providers.ts'
import { type GatewayNode, type NodeOptions, siblingHome, startNode } from './world.ts'

export interface Nodes extends AsyncDisposable {
  /** One, or two that share a database. */
  readonly all: readonly GatewayNode[]
  readonly first: GatewayNode
  /** The other one, where there are two. */
  readonly last: GatewayNode
  readonly providers: Providers
  /** All of them stopped and started again. */
  restart(): Promise<void>
  /** The provider's calls that were for this subject or query. */
  asked(text: string): number
}

/** Declares `name` for both; where PostgreSQL cannot run, the second is reported as skipped. */
export function eachCluster(name: string, body: (start: () => Promise<Nodes>) => void): void {
  describe(`${name} (SQLite)`, () => body(() => startNodes(1)))
  if ('skip' in postgresOffer) {
    describe.skip(`${name} (two nodes on PostgreSQL: ${postgresOffer.skip})`, () =>
      body(() => startNodes(2)))
  } else {
    describe(`${name} (two nodes on PostgreSQL)`, () => body(() => startNodes(2)))
  }
}

async function startNodes(count: 1 | 2): Promise<Nodes> {
  await using undo = new AsyncDisposableStack()
  const providers = undo.use(await startProviders())
  const home = undo.use(temporaryHome())
  const storeUrl = count === 1 ? undefined : await postgresUrl()
  const options: NodeOptions = {
    providers,
    production: true,
    ...(storeUrl !== undefined && { storeUrl }),
    gateway: {
      rate_limit_points: 100_000,
      cb_bulkhead_concurrency: 100,
      retry_max_retries: 0,
      cb_fail_threshold: 1_000,
    },
  }
  const nodes: GatewayNode[] = []
  const homes = [home]
  const start = async () => {
    for (const each of homes) nodes.push(await startNode(each, options))
  }
  const stop = async () => {
    for (const node of nodes.splice(0)) await node[Symbol.asyncDispose]()
  }
  undo.defer(stop)
  await start()
  if (count === 2) {
    const second = undo.use(siblingHome(home))
    homes.push(second)
    nodes.push(await startNode(second, options))
  }
  undo.use(providers) // before the nodes, which would wait for calls that hang
  const at = (index: number): GatewayNode => {
    const node = nodes.at(index)
    if (node === undefined) throw new Error('the nodes are stopped')
    return node
  }
  const all = undo.move()
  return {
    get all() {
      return nodes
    },
    get first() {
      return at(0)
    },
    get last() {
      return at(-1)
    },
    providers,
    restart: async () => {
      await stop()
      await start()
    },
    asked: (text) =>
      [...providers.requests('serpapi'), ...providers.requests('gmail_send')].filter(
        ({ query, body }) => query.get('q') === text || letterIn(body).includes(text),
      ).length,
    [Symbol.asyncDispose]: () => all.disposeAsync(),
  }
}

/** The message as the mail service got it. */
function letterIn(body: string): string {
  if (body === '') return ''
  const { raw = '' } = JSON.parse(body) as { raw?: string }
  return Buffer.from(raw, 'base64url').toString('utf8')
}
