/** The permission words of gateway tokens (wire contract gateway §6.11), seen from the tool. */

/**
 * Every word that covers a call; a token needs one of them. `write` covers reading too.
 *
 * @param permission What the action does, as the tool declares it.
 */
export function permissionWords(
  tool: string,
  action: string,
  permission: 'read' | 'write',
): string[] {
  const words = ['*', `${tool}:${action}`, `${tool}:*`, 'write']
  if (permission === 'read') words.push('read')
  // An action that happens to be called "read" must not turn a word for reading into one for itself.
  if (action !== 'read' && action !== 'write') words.push(action)
  return words
}
