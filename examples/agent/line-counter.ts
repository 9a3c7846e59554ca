/** The smallest agent that does something: it reports files that are too long. It asks no model. */
import { type RepositoryInput, runAgent, SageSanctumAgent, SarifOutput } from '@vestry/sdk/agent'

export class LineCounter extends SageSanctumAgent {
  readonly name = 'line-counter'
  readonly version = '1.0.0'

  override async run(repository: RepositoryInput) {
    const findings = []
    for (const file of await repository.listFiles({ extensions: ['.py', '.ts'] })) {
      const lines = (await repository.readFile(file)).split('\n').length
      if (lines <= 300) continue
      findings.push({
        id: 'long-file',
        title: 'File too long',
        description: `${lines} lines`,
        severity: 'note',
        location: { file, startLine: 301 },
      })
    }
    const output = new SarifOutput({ toolName: this.name, toolVersion: this.version, findings })
    return { output, metadata: { findings: findings.length } }
  }
}

if (import.meta.main) await runAgent(LineCounter)
