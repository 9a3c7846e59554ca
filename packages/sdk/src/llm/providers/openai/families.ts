/** Models of OpenAI that reason before they answer and refuse the settings that would steer sampling. */

const REASONING_PREFIXES: readonly string[] = ['o1', 'o3', 'o4', 'gpt-5']

/** Also true for fine-tuned models of the families, named `ft:<base>:…`. */
export function isReasoning(model: string): boolean {
  const name = model.toLowerCase().replace(/^ft:/, '')
  return REASONING_PREFIXES.some((prefix) => name.startsWith(prefix))
}
