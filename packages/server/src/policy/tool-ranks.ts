/**
 * In which order the reasons against a tool call are told (wire contract gateway §7.3): policy is asked
 * once, and of everything that speaks against the call the lowest rank answers.
 */

export const TOOL_RANKS = {
  tokenTools: 10,
  tokenPermissions: 11,
  /** No policy permits it. */
  unpermitted: 20,
  /** Two intents that differ; an intent that is not among the allowed ones. */
  intentMismatch: 30,
  intentRequired: 31,
  unknownTool: 40,
  params: 50,
  requestSize: 60,
  domainBlocked: 61,
  domainNotAllowed: 62,
  timeWindow: 63,
  /** Guards of one tool. */
  guard: 64,
  schedule: 70,
} as const
