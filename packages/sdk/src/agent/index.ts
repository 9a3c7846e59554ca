/**
 * The agent door of the SDK: agents that run under a run's identity, read a repository, ask models
 * through the gateway and leave a report. Loading it opens nothing and loads no network module.
 *
 * @module
 */
export { VERSION } from '@vestry/contract/version'
export { type Clock, systemClock } from '../sage/clock.ts'
export { GatewayCredentials } from '../sage/credentials.ts'
export {
  DirectProviderClient,
  type DirectProviderClientOptions,
} from '../sage/direct-provider-client.ts'
export type { Environment } from '../sage/environment.ts'
export {
  AuthError,
  ConfigurationError,
  ExternalToolError,
  ForbiddenError,
  GatewayError,
  type GatewayErrorOptions,
  GatewayUnavailableError,
  InputValidationError,
  ModelError,
  ModelNotAuthorizedError,
  ModelNotAvailableError,
  ModelRefParseError,
  OutputError,
  OutputParseError,
  OutputWriteError,
  PathTraversalError,
  RateLimitError,
  type SageErrorOptions,
  SageSanctumError,
  SarifValidationError,
  ScopeNotAuthorizedError,
  SpiffeAuthError,
  SubprocessError,
  type SubprocessErrorOptions,
  SubprocessTimeoutError,
  TraTAcquisitionError,
  TraTExpiredError,
  ValidationError,
} from '../sage/errors.ts'
export type { GatewayCallOptions, GatewayClient } from '../sage/gateway-client.ts'
export type { HttpTarget } from '../sage/http/address.ts'
export {
  GatewayHttpClient,
  type HeaderSupply,
  type HttpCallOptions,
  type HttpClientOptions,
} from '../sage/http/client.ts'
export type { GatewayResponse, GatewayStream, ResponseHeaders } from '../sage/http/response.ts'
export {
  configureLogging,
  getLogger,
  type LogFields,
  type LogFormat,
  type Logger,
  type LoggingOptions,
  type LogLevel,
} from '../sage/log.ts'
export { ModelCategory, ModelRef } from '../sage/model-ref.ts'
export {
  type AllowedModels,
  type ModelSelection,
  ModelSelector,
  type ModelSelectorOptions,
  StaticModelSelector,
} from '../sage/model-selector.ts'
export { JWTSource, type JWTSourceOptions } from '../sage/spiffe.ts'
export {
  SpiffeGatewayClient,
  type SpiffeGatewayClientOptions,
  type SvidSource,
  type TratSource,
} from '../sage/spiffe-gateway-client.ts'
export {
  type RequesterContext,
  type TransactionClaims,
  type TransactionContext,
  TransactionToken,
} from '../sage/transaction-token.ts'
export { TransactionTokenClient, type TransactionTokenClientOptions } from '../sage/trat.ts'
export { type AgentClass, AgentShutdown, SageSanctumAgent } from './agent.ts'
export { type Bridge, type BridgeOptions, startBridge } from './bridge.ts'
export {
  AgentContext,
  type AgentContextFields,
  type EmbeddingsClientOptions,
  type EnvironmentOptions,
  type LlmClientOptions,
  type LocalDevelopmentOptions,
} from './context.ts'
export type { AgentInput, AgentOutput, AgentResult, OutputRun } from './io.ts'
export type { ListOptions } from './list-files.ts'
export { type ReadOptions, type RepositoryFields, RepositoryInput } from './repository.ts'
export { runAgent } from './run-agent.ts'
export { AgentRunner, type AgentRunnerOptions } from './runner.ts'
export {
  Finding,
  type FindingInput,
  Location,
  type LocationInput,
  TokenUsage,
  type TokenUsageInput,
} from './sarif/finding.ts'
export { SarifOutput, type SarifOutputOptions } from './sarif/output.ts'
export type { Notification, ReportRun } from './sarif/report.ts'
export type { Confidence, Severity } from './sarif/severity.ts'
export { validateSarif } from './sarif/validate.ts'
export type { Signals } from './shutdown.ts'
