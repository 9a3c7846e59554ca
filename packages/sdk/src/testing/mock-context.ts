/** An agent's context whose models answer from a script, in directories of its own. */
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { AgentContext } from '../agent/context.ts'
import type { ChatModel } from '../llm/chat-model.ts'
import type { EmbeddingsModel } from '../llm/embeddings.ts'
import type { Environment } from '../sage/environment.ts'
import type { Logger } from '../sage/log.ts'
import { StaticModelSelector } from '../sage/model-selector.ts'
import { asyncDispose } from '../vault/async-dispose.ts'
import { MockEmbeddings } from './mock-embeddings.ts'
import { MockGatewayClient } from './mock-gateway-client.ts'
import { MockLLM, type ScriptedReply } from './mock-llm.ts'

export interface MockContextOptions {
  /** What the models answer, in order, over all clients of the context. */
  readonly replies?: readonly ScriptedReply[]
  /** Default `test-run-123`. */
  readonly runId?: string
  /** Default `test-org`. */
  readonly orgId?: string
  /** Where `loadInput` reads from. Default: nothing is set. */
  readonly env?: Environment
  readonly logger?: Logger
}

export class MockContext extends AgentContext {
  /** Every client that `createLlmClient` gave out has this script and records here. */
  readonly llm: MockLLM
  readonly embeddings: MockEmbeddings = new MockEmbeddings()
  readonly #directory: string

  constructor(directory: string, options: MockContextOptions = {}) {
    super({
      runId: options.runId ?? 'test-run-123',
      orgId: options.orgId ?? 'test-org',
      workDir: join(directory, 'work'),
      outputDir: join(directory, 'output'),
      gatewayClient: new MockGatewayClient(),
      modelSelector: new StaticModelSelector('gpt-4o'),
      env: options.env ?? {},
      logger: options.logger,
    })
    this.#directory = directory
    this.llm = new MockLLM(options.replies, { model: 'openai:gpt-4o', ledger: this.usage })
  }

  override createLlmClient(
    ...[category, parameters]: Parameters<AgentContext['createLlmClient']>
  ): ChatModel {
    return this.llm.bind({ ...parameters, category })
  }

  override createEmbeddingsClient(): EmbeddingsModel {
    return this.embeddings
  }

  /** Removes the directories. */
  async close(): Promise<void> {
    await rm(this.#directory, { recursive: true, force: true })
  }

  async [asyncDispose](): Promise<void> {
    await this.close()
  }
}

/** A context for a test, with a temporary `work` and `output` directory. Close it afterwards. */
export async function mockContext(options: MockContextOptions = {}): Promise<MockContext> {
  const directory = await mkdtemp(join(tmpdir(), 'vestry-'))
  const context = new MockContext(directory, options)
  await mkdir(context.workDir)
  await mkdir(context.outputDir)
  return context
}
