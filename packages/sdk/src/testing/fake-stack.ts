/** Gateway, sidecar and token files together, in a directory of their own: what a run finds in earnest. */
import { mkdir, mkdtemp, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { HttpClientOptions } from '../sage/http/client.ts'
import { SpiffeGatewayClient } from '../sage/spiffe-gateway-client.ts'
import { asyncDispose } from '../vault/async-dispose.ts'
import { FakeGateway, type GatewayReply } from './fake-gateway.ts'
import { FakeSidecar } from './fake-sidecar.ts'
import { type SignedTratOptions, TestIssuer, type TestSvidOptions } from './tokens.ts'

export interface FakeStackOptions {
  readonly replies?: readonly GatewayReply[]
  readonly trat?: SignedTratOptions
  readonly svid?: TestSvidOptions
}

export class FakeStack {
  readonly directory: string
  readonly issuer: TestIssuer
  readonly gateway: FakeGateway
  readonly sidecar: FakeSidecar

  constructor(directory: string, { replies = [], trat = {} }: FakeStackOptions) {
    this.directory = directory
    this.issuer = new TestIssuer()
    const { issuer } = this
    this.gateway = new FakeGateway({ socketPath: join(directory, 'llm.sock'), issuer, replies })
    this.sidecar = new FakeSidecar({ socketPath: join(directory, 'auth.sock'), issuer, trat })
  }

  /** The variables an agent is started with. */
  get environment(): Record<string, string> {
    return {
      RUN_ID: 'run_test123',
      ORG_ID: '12345',
      WORK_DIR: join(this.directory, 'work'),
      OUTPUT_PATH: join(this.directory, 'output'),
      SPIFFE_JWT_PATH: join(this.directory, 'svid.jwt'),
      AUTH_SIDECAR_SOCKET: this.sidecar.socketPath,
      LLM_GATEWAY_SOCKET: this.gateway.socketPath,
    }
  }

  /** A real gateway client for this stack. */
  client(http: HttpClientOptions = {}): SpiffeGatewayClient {
    return SpiffeGatewayClient.fromEnvironment(this.environment, http)
  }

  /** Puts another SVID where the agent reads it, whole at every moment. */
  async writeSvid(options: TestSvidOptions = {}): Promise<void> {
    const path = join(this.directory, 'svid.jwt')
    await writeFile(`${path}.new`, this.issuer.svid(options), { mode: 0o600 })
    await rename(`${path}.new`, path)
  }

  async close(): Promise<void> {
    await this.gateway.close()
    await this.sidecar.close()
    await rm(this.directory, { recursive: true, force: true })
  }

  async [asyncDispose](): Promise<void> {
    await this.close()
  }
}

/** Everything a run in gateway mode needs, started. Close it, or bind it with `await using`. */
export async function startFakeStack(options: FakeStackOptions = {}): Promise<FakeStack> {
  const stack = new FakeStack(await mkdtemp(join(tmpdir(), 'vestry-')), options)
  await mkdir(join(stack.directory, 'work'))
  await stack.writeSvid(options.svid)
  await stack.gateway.start()
  await stack.sidecar.start()
  return stack
}
