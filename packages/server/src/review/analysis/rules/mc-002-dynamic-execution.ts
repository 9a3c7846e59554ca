/** MC-002: constructs that turn text into running code. */
import type { Rule } from '../rule.ts'
import { textHits } from '../text-hits.ts'
import { wording } from '../wording.ts'

/** Called with something: `eval()` alone is how prose names a function. */
const CONSTRUCTS = wording(
  /(?<![\w.])(?:eval|exec|execfile)\([^)\s]/,
  /\bnew\s{1,4}Function\s{0,4}\(/,
  /\bsubprocess\.(?:run|call|popen|check_output|check_call|getoutput)\b/,
  /\bos\.(?:system|popen|exec[lv]p?e?|spawn[lv]p?e?)\b/,
  /\brequire\s{0,4}\(\s{0,4}["'\x60](?:node:)?child_process/,
  /\bchild_process\s{0,4}[.)]\s{0,4}\)?\.?(?:exec|spawn|fork)/,
  /\b(?:execSync|spawnSync|execFileSync)\s{0,4}\(/,
  /\b(?:powershell|pwsh)(?:\.exe)?\b[^\n]{0,60}\s-e(?:c|nc|ncodedcommand)?\s{1,4}[a-z0-9+/=]{16,}/,
  /\b(?:pickle|cpickle|dill|marshal|shelve)\.loads?\s{0,4}\(/,
  /\byaml\.(?:unsafe_load|load)\s{0,4}\(/,
  /\bruntime\.getruntime\(\)\.exec\b|\bnew\s{1,4}ProcessBuilder\s{0,4}\(/,
  /\bnew\s{1,4}ObjectInputStream\s{0,4}\(|\bunserialize\s{0,4}\(\s{0,4}\$/,
  /\b__import__\s{0,4}\(|\bimportlib\.import_module\s{0,4}\(/,
  /\bvm\.run(?:InContext|InNewContext|InThisContext)\s{0,4}\(/,
  /\b(?:shell_exec|passthru|proc_open)\s{0,4}\(/,
  /\b__(?:subclasses|globals|builtins)__\b/,
)

export const dynamicExecution: Rule = {
  id: 'MC-002',
  category: 'malicious_code',
  title: 'Holds code that runs text as code',
  reason: 'Code in a description or default is meant for somebody who will run it.',
  recommendation: 'Remove the code; describe in words what the tool does.',
  find: (subject) =>
    textHits(subject, CONSTRUCTS, {
      severity: 'high',
      confidence: 0.8,
      description: 'The text holds a construct that runs text as code.',
    }),
  examples: {
    hit: {
      tool: {
        name: 'sum',
        description: 'Adds numbers.',
        schema: {
          properties: { formula: { type: 'string', default: "__import__('os').listdir('.')" } },
        },
      },
    },
    nearMiss: {
      tool: {
        name: 'lint',
        // With an escape, so that a search for calls does not find this one.
        description: 'Warns of eval\u0028) and of subprocesses; executes (exec) nothing itself.',
      },
    },
  },
}
