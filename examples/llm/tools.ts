/** Letting a model call a function: it asks, we run, it answers. */
import type { AgentContext } from '@vestry/sdk/agent'
import type { ChatMessage, ToolDefinition } from '@vestry/sdk/llm'

const readFile: ToolDefinition = {
  name: 'read_file',
  description: 'The text of a file of the repository',
  schema: {
    type: 'object',
    properties: { path: { type: 'string' } },
    required: ['path'],
    additionalProperties: false,
  },
}

export async function answerFromFiles(
  context: AgentContext,
  question: string,
  read: (path: string) => Promise<string>,
) {
  const model = context.createLlmClient('analysis')
  const messages: ChatMessage[] = [{ role: 'user', content: question }]
  const asked = await model.bindTools([readFile], { toolChoice: 'read_file' }).invoke(messages)
  messages.push(asked)
  for (const { id, args } of asked.toolCalls) {
    messages.push({ role: 'tool', toolCallId: id, content: await read(String(args['path'])) })
  }
  const { content } = await model.invoke(messages)
  return { files: asked.toolCalls.map(({ args }) => args['path']), content }
}
