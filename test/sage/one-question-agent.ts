/** An agent of ours for tests: every kind of question once, answered into one report. */
import { runAgent, SageSanctumAgent, SarifOutput } from '@vestry/sdk/agent'

class OneQuestionAgent extends SageSanctumAgent {
  readonly name = 'one-question'
  readonly version = '1.0.0'

  override async run() {
    const model = this.context.createLlmClient('analysis')
    const answer = await model.invoke([{ role: 'user', content: 'Is it safe?' }])
    let streamed = ''
    for await (const chunk of model.stream([{ role: 'user', content: 'Sure?' }])) {
      streamed += chunk.content
    }
    const embeddings = await this.context.createEmbeddingsClient()
    const vector = await embeddings.embedQuery('safe')
    const description = `${answer.content} ${streamed} ${vector.length}`
    const findings = [
      {
        id: 'answer',
        title: 'Answer',
        description,
        severity: 'note' as const,
        location: { file: 'app.py', startLine: 1 },
      },
    ]
    return { output: new SarifOutput({ toolName: this.name, toolVersion: '1.0.0', findings }) }
  }
}

await runAgent(OneQuestionAgent)
