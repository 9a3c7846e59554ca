import { expect, test } from 'vitest'
import { providerNames } from './provider-names.ts'

test.each([
  ['anthropic', 'anthropic', 'anthropic', 'anthropic'],
  ['OpenAI', 'openai', 'openai', 'openai'],
  ['openai.responses', 'openai', 'openai', 'openai'],
  ['azure-openai', 'openai', 'azure', 'azure.ai.openai'],
  ['amazon-bedrock', 'amazon', 'aws', 'aws.bedrock'],
  ['gemini', 'vertexai', 'google', 'gcp.gemini'],
  ['google.vertex', 'vertexai', 'google', 'gcp.vertex_ai'],
  ['google.vertex.chat', 'vertexai', 'google', 'gcp.vertex_ai'],
  ['google.generative-ai', 'vertexai', 'google', 'gcp.gemini'],
  ['vertex.anthropic.messages', 'vertexai', 'google', 'gcp.vertex_ai'],
  ['a.b.c', undefined, 'a.b.c', 'a.b.c'],
  ['mistral', 'mistralai', 'mistralai', 'mistral_ai'],
  ['xai', 'xai', 'xai', 'x_ai'],
  ['moonshot', undefined, 'moonshot', 'moonshot_ai'],
  ['cohere', 'cohere', 'cohere', 'cohere'],
  ['ollama', undefined, 'ollama', 'ollama'],
  ['My Own', undefined, 'my_own', 'my_own'],
])('%s', (name, system, provider, genAi) => {
  const found = providerNames(name)
  expect([found.system, found.provider, found.genAi]).toEqual([system, provider, genAi])
})
