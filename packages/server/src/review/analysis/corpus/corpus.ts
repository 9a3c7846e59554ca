/** The three corpora by which the rules are measured. */
import { DATA } from './benign/data.ts'
import { FILES } from './benign/files.ts'
import { OPERATIONS } from './benign/operations.ts'
import { WORK } from './benign/work.ts'
import { WORLD } from './benign/world.ts'
import { type AttackTool, type CorpusTool, corpusOf } from './entry.ts'
import { ABUSE } from './malicious/abuse.ts'
import { EXECUTION } from './malicious/execution.ts'
import { EXFILTRATION } from './malicious/exfiltration.ts'
import { HIDDEN } from './malicious/hidden.ts'
import { IMPOSTORS } from './malicious/impostors.ts'
import { INSTRUCTIONS } from './malicious/instructions.ts'
import { PUBLISHED } from './published/published.ts'

/** Ordinary tools with the bounds a careful author gives them. Nothing in them may be found medium or worse. */
export const BENIGN: readonly CorpusTool[] = corpusOf([
  ...FILES,
  ...WORK,
  ...DATA,
  ...WORLD,
  ...OPERATIONS,
])

/** Attacks. Each must be found by the rules it names. */
export const MALICIOUS: readonly AttackTool[] = [
  ...INSTRUCTIONS,
  ...HIDDEN,
  ...EXFILTRATION,
  ...EXECUTION,
  ...IMPOSTORS,
  ...ABUSE,
]

export { PUBLISHED }
