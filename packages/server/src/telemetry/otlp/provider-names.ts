/** What the two vocabularies call a provider of models: they differ for most of them. */

export interface ProviderNames {
  /** `llm.system`: whose model it is. Absent where OpenInference has no name. */
  readonly system?: string
  /** `llm.provider`: who runs it. */
  readonly provider: string
  /** `gen_ai.provider.name` */
  readonly genAi: string
}

const TABLE: readonly (ProviderNames & { readonly known: readonly string[] })[] = [
  { known: ['anthropic'], system: 'anthropic', provider: 'anthropic', genAi: 'anthropic' },
  { known: ['openai'], system: 'openai', provider: 'openai', genAi: 'openai' },
  {
    known: ['azure', 'azure_openai', 'azure.openai', 'azure.ai.openai', 'openai_azure'],
    system: 'openai',
    provider: 'azure',
    genAi: 'azure.ai.openai',
  },
  {
    known: ['bedrock', 'aws', 'amazon', 'aws.bedrock', 'aws_bedrock', 'amazon_bedrock'],
    system: 'amazon',
    provider: 'aws',
    genAi: 'aws.bedrock',
  },
  {
    known: [
      'gemini',
      'google',
      'google.generative_ai',
      'google_genai',
      'google_generative_ai',
      'gcp.gemini',
    ],
    system: 'vertexai',
    provider: 'google',
    genAi: 'gcp.gemini',
  },
  {
    known: ['vertex', 'vertexai', 'vertex_ai', 'google.vertex', 'google_vertexai', 'gcp.vertex_ai'],
    system: 'vertexai',
    provider: 'google',
    genAi: 'gcp.vertex_ai',
  },
  {
    known: ['mistral', 'mistralai', 'mistral_ai'],
    system: 'mistralai',
    provider: 'mistralai',
    genAi: 'mistral_ai',
  },
  { known: ['xai', 'x_ai'], system: 'xai', provider: 'xai', genAi: 'x_ai' },
  {
    known: ['moonshot', 'moonshotai', 'moonshot_ai', 'kimi'],
    provider: 'moonshot',
    genAi: 'moonshot_ai',
  },
  { known: ['cohere'], system: 'cohere', provider: 'cohere', genAi: 'cohere' },
  { known: ['deepseek'], system: 'deepseek', provider: 'deepseek', genAi: 'deepseek' },
  { known: ['groq'], system: 'groq', provider: 'groq', genAi: 'groq' },
  { known: ['perplexity'], system: 'perplexity', provider: 'perplexity', genAi: 'perplexity' },
  { known: ['ollama'], provider: 'ollama', genAi: 'ollama' },
]

const BY_NAME = new Map(TABLE.flatMap((row) => row.known.map((name) => [name, row] as const)))

/**
 * @param provider As the envelope has it, e.g. `openai`, `amazon-bedrock` or `anthropic.messages`.
 * @returns The lower-case name itself for one that neither vocabulary knows.
 */
export function providerNames(provider: string): ProviderNames {
  const name = provider
    .trim()
    .toLowerCase()
    .replaceAll(/[\s-]+/g, '_')
  // Some libraries say which of the provider's APIs was used, after a dot; some providers have dots themselves.
  for (
    let known = name;
    known !== '';
    known = known.slice(0, Math.max(0, known.lastIndexOf('.')))
  ) {
    const row = BY_NAME.get(known)
    if (row !== undefined) return row
  }
  return { provider: name, genAi: name }
}
