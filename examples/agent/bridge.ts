/** An agent that drives another tool, one that brings its own client for models. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  type AgentResult,
  type RepositoryInput,
  runAgent,
  SageSanctumAgent,
  SubprocessError,
  startBridge,
} from '@vestry/sdk/agent'

export class ToolDriver extends SageSanctumAgent {
  static override readonly requiresGateway = false
  readonly name = 'tool-driver'
  readonly version = '1.0.0'

  override async run(repository: RepositoryInput): Promise<AgentResult> {
    const bridge = await startBridge(process.env, { key: 'random' })
    try {
      const [command = '', ...args] = JSON.parse(process.env['TOOL'] ?? '[]') as string[]
      const tool = spawn(command, args, {
        cwd: repository.path,
        env: { PATH: process.env['PATH'], ...bridge.env },
        stdio: ['ignore', 'ignore', 'inherit'],
        signal: this.signal,
      })
      const [returncode] = await once(tool, 'close')
      if (returncode !== 0) throw new SubprocessError('the tool failed', { returncode })
      return { metadata: { returncode } }
    } finally {
      await bridge.close()
    }
  }
}

if (import.meta.main) await runAgent(ToolDriver)
