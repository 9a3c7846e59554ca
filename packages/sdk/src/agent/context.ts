/** What an agent is given: its run, its directories, and models by category of work. */
import { mkdir } from 'node:fs/promises'
import { type ChatModel, GatewayChatModel } from '../llm/chat-model.ts'
import type { ChatParameters } from '../llm/chat-options.ts'
import {
  DEFAULT_EMBEDDINGS_MODEL,
  type EmbeddingsModel,
  GatewayEmbeddings,
} from '../llm/embeddings.ts'
import { UsageLedger } from '../llm/usage-ledger.ts'
import { DirectProviderClient } from '../sage/direct-provider-client.ts'
import {
  type Environment,
  environmentModel,
  isDirectAllowed,
  readRun,
  variable,
} from '../sage/environment.ts'
import { ConfigurationError, OutputWriteError, SageSanctumError } from '../sage/errors.ts'
import type { GatewayClient } from '../sage/gateway-client.ts'
import { getLogger, type Logger } from '../sage/log.ts'
import { inspectHook } from '../sage/mask.ts'
import { MODEL_CATEGORIES, type ModelCategory, ModelRef } from '../sage/model-ref.ts'
import { type ModelSelection, ModelSelector, StaticModelSelector } from '../sage/model-selector.ts'
import { SpiffeGatewayClient } from '../sage/spiffe-gateway-client.ts'
import type { AgentOutput, OutputRun } from './io.ts'
import { RepositoryInput } from './repository.ts'

export interface AgentContextFields {
  runId: string
  orgId: string
  workDir: string
  outputDir: string
  /** Undefined when the agent does not speak to models through the SDK. */
  gatewayClient?: GatewayClient | undefined
  modelSelector?: ModelSelection | undefined
  logger?: Logger | undefined
  /** Where `loadInput` reads from. Default `process.env`. */
  env?: Environment | undefined
}

export interface EnvironmentOptions {
  /** Default `process.env`. */
  env?: Environment | undefined
  /** Ends the wait for the first transaction token. */
  signal?: AbortSignal | undefined
}

export interface LocalDevelopmentOptions {
  /** Default `.`. */
  workDir?: string | undefined
  /** Default `./output`. */
  outputDir?: string | undefined
  /** Default `gpt-4o`. */
  model?: string | undefined
  /** Where provider keys are read from. Default `process.env`; never changed. */
  env?: Environment | undefined
}

export interface LlmClientOptions extends Omit<ChatParameters, 'model' | 'category'> {
  /** Instead of the category's first model; must be one of its models. */
  model?: ModelRef | string | undefined
}

export interface EmbeddingsClientOptions {
  /** Default: the first model the run may use for embeddings, else `text-embedding-3-small`. */
  model?: ModelRef | string | undefined
  /** Of a `model` that is a bare name; without one, of `text-embedding-3-small`. */
  provider?: string | undefined
  batchSize?: number | undefined
  dimensions?: number | undefined
}

export class AgentContext {
  readonly runId: string
  readonly orgId: string
  readonly workDir: string
  readonly outputDir: string
  readonly gatewayClient: GatewayClient | undefined
  readonly modelSelector: ModelSelection | undefined
  readonly logger: Logger
  /** Tokens used by the clients of this context. */
  readonly usage: UsageLedger = new UsageLedger()
  readonly #env: Environment

  constructor(fields: AgentContextFields) {
    this.runId = fields.runId
    this.orgId = fields.orgId
    this.workDir = fields.workDir
    this.outputDir = fields.outputDir
    this.gatewayClient = fields.gatewayClient
    this.modelSelector = fields.modelSelector
    this.logger = fields.logger ?? getLogger('sage_sanctum')
    this.#env = fields.env ?? process.env
  }

  /**
   * Production: the run's variables, the gateway, and the models of the transaction token, which is
   * fetched here. With `SAGE_SANCTUM_ALLOW_DIRECT=1` providers are called directly instead.
   *
   * @throws ConfigurationError for a missing variable; TraTAcquisitionError, TraTExpiredError;
   *         ModelRefParseError when the token lists a model that cannot be read.
   */
  static async fromEnvironment(options: EnvironmentOptions = {}): Promise<AgentContext> {
    const { env = process.env, signal } = options
    const run = readRun(env)
    const logger = getLogger('sage_sanctum')
    if (isDirectAllowed(env)) {
      const gatewayClient = new DirectProviderClient({ env, allowDirect: true })
      const modelSelector = new StaticModelSelector(environmentModel(env))
      return new AgentContext({ ...run, gatewayClient, modelSelector, logger, env })
    }
    const gatewayClient = SpiffeGatewayClient.fromEnvironment(env)
    const first = await gatewayClient.getTrat({ signal })
    const fallback = ModelRef.parse(environmentModel(env))
    const modelSelector = new ModelSelector(
      () => (gatewayClient.currentTrat ?? first).tctx.allowedModels,
      { fallback },
    )
    if (modelSelector.isEmpty) {
      logger.warning('trat_without_models', { model_ref: fallback.toString() })
    }
    return new AgentContext({ ...run, gatewayClient, modelSelector, logger, env })
  }

  /**
   * A developer's machine: providers are called directly, with the keys of the environment.
   *
   * @throws ConfigurationError in a gateway environment that does not permit direct mode.
   */
  static forLocalDevelopment(options: LocalDevelopmentOptions = {}): AgentContext {
    const { env = process.env } = options
    const production = ['SPIFFE_JWT_PATH', 'LLM_GATEWAY_SOCKET'].find(
      (name) => variable(env, name) !== undefined,
    )
    if (production !== undefined && !isDirectAllowed(env)) {
      throw new ConfigurationError(
        `${production} is set, so this is no developer machine: use AgentContext.fromEnvironment()`,
      )
    }
    return new AgentContext({
      runId: 'local',
      orgId: 'local',
      workDir: options.workDir ?? '.',
      outputDir: options.outputDir ?? './output',
      gatewayClient: new DirectProviderClient({ env, allowDirect: true }),
      modelSelector: new StaticModelSelector(options.model ?? 'gpt-4o'),
      env,
    })
  }

  /**
   * For an agent that drives a tool with its own way to a model: input, output and life cycle only.
   *
   * @throws ConfigurationError for a missing RUN_ID or ORG_ID.
   */
  static forExternalLlm(options: { env?: Environment | undefined } = {}): AgentContext {
    const { env = process.env } = options
    return new AgentContext({ ...readRun(env), env })
  }

  /**
   * A chat model for a category of work, with temperature 0 unless told otherwise.
   *
   * @throws ConfigurationError without a way to models, or, in direct mode, without the provider's key;
   *         ModelNotAvailableError, ModelNotAuthorizedError, ModelRefParseError.
   */
  createLlmClient(category: ModelCategory, options: LlmClientOptions = {}): ChatModel {
    const { gatewayClient: client, modelSelector: selector } = this
    if (client === undefined || selector === undefined) {
      throw new ConfigurationError('This agent runs without a gateway: it has no model client')
    }
    if (!MODEL_CATEGORIES.includes(category)) {
      throw new ConfigurationError(`"${category}" is no category: ${MODEL_CATEGORIES.join(', ')}`)
    }
    const { model: named, ...parameters } = options
    const model = this.#chosen(named, category) ?? selector.select(category)
    client.getApiKey?.(model.provider)
    this.logger.debug('creating_llm_client', { category, model_ref: model.toString() })
    return new GatewayChatModel({ ...parameters, client, model, category, ledger: this.usage })
  }

  /**
   * An embeddings client.
   *
   * @throws ConfigurationError without a way to models, or, in direct mode, without the provider's key;
   *         ModelNotAvailableError, ModelNotAuthorizedError, ModelRefParseError.
   */
  createEmbeddingsClient(options: EmbeddingsClientOptions = {}): EmbeddingsModel {
    const { gatewayClient: client } = this
    if (client === undefined) {
      throw new ConfigurationError('This agent runs without a gateway: it has no embeddings client')
    }
    const { provider, batchSize, dimensions } = options
    const named = options.model ?? (provider ? DEFAULT_EMBEDDINGS_MODEL.model : undefined)
    const wanted = provider && typeof named === 'string' ? new ModelRef(provider, named) : named
    const model = this.#chosen(wanted, 'embeddings') ?? this.#usualEmbeddingsModel()
    client.getApiKey?.(model.provider)
    this.logger.debug('creating_embeddings_client', {
      model: model.model,
      provider: model.provider,
    })
    return new GatewayEmbeddings({ client, model, batchSize, dimensions, ledger: this.usage })
  }

  /** Whether the gateway answers; one attempt of at most 2 s. False without a gateway. */
  async checkGatewayHealth(
    options: { timeoutMs?: number | undefined; signal?: AbortSignal | undefined } = {},
  ): Promise<boolean> {
    const { gatewayClient: client } = this
    if (client === undefined || !client.isGatewayMode) return false
    return (await client.checkHealth?.(options)) ?? false
  }

  /**
   * The repository that `REPO_PATH` names, validated.
   *
   * @throws InputValidationError, PathTraversalError
   */
  async loadInput(): Promise<RepositoryInput> {
    const input = RepositoryInput.fromEnvironment(this.#env)
    await input.validate()
    return input
  }

  /**
   * Writes an output into the output directory.
   *
   * @returns The names of the files.
   * @throws SarifValidationError; OutputWriteError for everything else that fails.
   */
  async writeOutput(output: AgentOutput, run: OutputRun = {}): Promise<string[]> {
    try {
      await mkdir(this.outputDir, { recursive: true })
      const known = { runId: this.runId, tokenUsage: this.usage.entries() }
      return await output.write(this.outputDir, { ...known, ...run })
    } catch (cause) {
      if (cause instanceof SageSanctumError) throw cause
      const why = cause instanceof Error ? cause.message : String(cause)
      throw new OutputWriteError(`The output could not be written: ${why}`, { cause })
    }
  }

  [inspectHook](): string {
    return `AgentContext(run ${this.runId} of ${this.orgId})`
  }

  /** A model somebody named, if the run may use it. */
  #chosen(named: ModelRef | string | undefined, category: ModelCategory): ModelRef | undefined {
    if (named === undefined) return undefined
    const model = typeof named === 'string' ? ModelRef.parse(named) : named
    this.modelSelector?.validateModel(model, category)
    return model
  }

  #usualEmbeddingsModel(): ModelRef {
    const { modelSelector: selector } = this
    // A static selector names one chat model for everything.
    const isListed = selector instanceof ModelSelector && !selector.isEmpty
    return isListed ? selector.select('embeddings') : DEFAULT_EMBEDDINGS_MODEL
  }
}
