/** A small scanner as a program of its own: reads, asks, embeds, streams, reports. */
import { SageSanctumAgent } from './agent.ts'
import type { AgentResult } from './io.ts'
import type { RepositoryInput } from './repository.ts'
import { runAgent } from './run-agent.ts'
import { SarifOutput } from './sarif/output.ts'

class Scanner extends SageSanctumAgent {
  readonly name = 'small-scanner'
  readonly version = '1.0.0'

  async run(input: RepositoryInput): Promise<AgentResult> {
    const { context, signal } = this
    if (!(await context.checkGatewayHealth())) throw new Error('the gateway is not there')
    const findings = []
    for (const file of await input.listFiles({ extensions: ['.py'] })) {
      const question = await input.readFile(file)
      const answer = await context.createLlmClient('triage').invoke(question, { signal })
      findings.push({
        id: 'R1',
        title: 'eval',
        description: answer.content,
        severity: 'high',
        location: { file, startLine: 1 },
      })
    }
    await context.createEmbeddingsClient().embedQuery('x', { signal })
    const tokenUsage = context.usage.entries()
    const output = new SarifOutput({
      toolName: this.name,
      toolVersion: this.version,
      findings,
      tokenUsage,
    })
    return { output, metadata: { files: findings.length } }
  }
}

await runAgent(Scanner, { summary: true })
