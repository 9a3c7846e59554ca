/**
 * The testing door of the SDK: mocks for unit tests of agents, and a gateway and a sidecar in the
 * test's own process for everything up to the socket.
 *
 * @module
 */
export { FakeClock, type FakeClockOptions } from './clock.ts'
export {
  FakeGateway,
  type FakeGatewayOptions,
  type GatewayAnswer,
  type GatewayReply,
  type GatewayRequest,
} from './fake-gateway.ts'
export {
  FAKE_KEYS,
  type FakeProvider,
  type FakeProviders,
  type Scripted as ScriptedProviderReply,
  type Seen as ProviderRequest,
  startFakeProviders,
} from './fake-providers.ts'
export { FakeSidecar, type FakeSidecarOptions } from './fake-sidecar.ts'
export { FakeStack, type FakeStackOptions, startFakeStack } from './fake-stack.ts'
export { MockContext, type MockContextOptions, mockContext } from './mock-context.ts'
export { MockEmbeddings, type MockEmbeddingsOptions } from './mock-embeddings.ts'
export { MockGatewayClient, type MockGatewayClientOptions } from './mock-gateway-client.ts'
export { type MockCall, MockLLM, type MockLLMOptions, type ScriptedReply } from './mock-llm.ts'
export type { ScriptedAnswer, ScriptedToolCall } from './scripted-reply.ts'
export {
  type SignedTratOptions,
  TestIssuer,
  type TestSvidOptions,
} from './tokens.ts'
export {
  MockTratClient,
  type MockTratClientOptions,
  sampleTrat,
  type TestTratOptions,
} from './trat.ts'
