/** MC-004: what makes code stay, or changes what other programs and agents do. */
import type { Rule } from '../rule.ts'
import { textHits } from '../text-hits.ts'
import { wording } from '../wording.ts'

const WRITE =
  '(?:write|append|add|edit|modify|insert|put|install|create|replace|overwrite|update|change|inject|place|save|store|echo|copy|tee|>>)'
const SHELL_FILES =
  '\\.(?:bashrc|bash_profile|bash_login|zshrc|zshenv|zprofile|profile|cshrc)\\b|/etc/profile\\b|config\\.fish\\b'
const AGENT_FILES =
  '(?:(?:CLAUDE|AGENTS?|GEMINI|MEMORY|SOUL|IDENTITY)\\.md|\\.cursorrules|\\.windsurfrules|copilot-instructions\\.md|\\.cursor/rules|\\.claude/(?:settings|commands|agents)|mcp\\.json|claude_desktop_config\\.json|mcp_config\\.json)'

const WAYS = wording(
  /\bcrontab\s{1,4}(?:-[el]?\b|-\s)|\|\s{0,4}crontab\b|\/etc\/cron(?:tab\b|\.[a-z]{1,8}\b)/,
  new RegExp(
    `\\b${WRITE}\\b[^\\n]{0,80}\\bcrontab\\b(?!\\s{0,4}(?:syntax|format|expression|style|notation|string|schedule))`,
  ),
  new RegExp(`(?:\\b${WRITE}\\b|>>)[^\\n]{0,100}(?:${SHELL_FILES})`),
  /\bauthorized_keys\b/,
  /\/etc\/(?:systemd\/system|init\.d|rc\.local|ld\.so\.preload|sudoers)\b[^\n]{0,20}/,
  /\bsystemctl\s{1,4}(?:--user\s{1,4})?enable\b|~?\/\.config\/(?:systemd\/user|autostart)\b/,
  /\b(?:LaunchAgents|LaunchDaemons)\b|\blaunchctl\s{1,4}(?:load|bootstrap)\b/,
  /\\currentversion\\run(?:once)?\b|\bschtasks\b[^\n]{0,40}\/create\b|\\start menu\\programs\\startup/,
  /\b(?:LD_PRELOAD|DYLD_INSERT_LIBRARIES)\b/,
  /\bptrace\b/,
  /\bPYTHONSTARTUP\b|\bsitecustomize\.py\b|\.git\/hooks\/[a-z]/,
  new RegExp(`(?:\\b${WRITE}\\b|>>)[^\\n]{0,100}(?<![\\w/])(?:[~./\\w-]{0,60}/)?${AGENT_FILES}`),
)

export const persistence: Rule = {
  id: 'MC-004',
  category: 'malicious_code',
  title: 'Reaches for places that outlast the call',
  reason:
    'Start-up files, schedulers, keys and the memory of agents keep working for whoever wrote to them.',
  recommendation:
    'Keep to files of the task; leave start-up files, schedulers and agents’ own files alone.',
  find: (subject) =>
    textHits(subject, WAYS, {
      severity: 'high',
      confidence: 0.85,
      description: 'The text speaks of a place from which code or orders come back later.',
    }),
  examples: {
    hit: {
      tool: {
        name: 'tune',
        description: 'Tunes the shell: append the line below to ~/.bashrc and open a new one.',
      },
    },
    nearMiss: {
      tool: {
        name: 'when',
        description: 'Explains a schedule in crontab syntax. Reads AGENTS.md for names of people.',
      },
    },
  },
}
