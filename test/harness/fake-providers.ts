/** The fakes that the SDK's testing door hands out, where the tests of this repository look for them. */
export {
  FAKE_KEYS,
  FakeProvider,
  type FakeProviders,
  type Scripted,
  type Seen,
  startFakeProviders,
  vectorOf,
} from '../../packages/sdk/src/testing/fake-providers.ts'
