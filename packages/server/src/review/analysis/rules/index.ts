/** All rules. Each stands in a file of its own, named by its id. */
import type { Rule } from '../rule.ts'
import { asksForSecrets } from './de-001-asks-for-secrets.ts'
import { secretPlaces } from './de-002-secret-places.ts'
import { transmitsContext } from './de-003-transmits-context.ts'
import { sideChannel } from './de-004-side-channel.ts'
import { freeDestination } from './de-005-free-destination.ts'
import { embeddedSecret } from './de-006-embedded-secret.ts'
import { arbitraryFileRead } from './de-007-arbitrary-file-read.ts'
import { rawQuery } from './de-008-raw-query.ts'
import { downloadAndRun } from './mc-001-download-and-run.ts'
import { dynamicExecution } from './mc-002-dynamic-execution.ts'
import { destructiveCommands } from './mc-003-destructive-commands.ts'
import { persistence } from './mc-004-persistence.ts'
import { scriptUrls } from './mc-005-script-urls.ts'
import { providerTrust } from './mc-006-provider-trust.ts'
import { rugPull } from './mc-007-rug-pull.ts'
import { nameShadowing } from './mc-008-name-shadowing.ts'
import { providerTyposquat } from './mc-009-provider-typosquat.ts'
import { providerKeyChanged } from './mc-010-provider-key-changed.ts'
import { freeCommand } from './pe-001-free-command.ts'
import { elevationSwitch } from './pe-002-elevation-switch.ts'
import { arbitraryPathWrite } from './pe-003-arbitrary-path-write.ts'
import { chosenPermission } from './pe-004-chosen-permission.ts'
import { actsAsAnother } from './pe-005-acts-as-another.ts'
import { platformControl } from './pe-006-platform-control.ts'
import { upwardPath } from './pe-007-upward-path.ts'
import { unboundedInput } from './ra-001-unbounded-input.ts'
import { unboundedAmount } from './ra-002-unbounded-amount.ts'
import { oversizedSchema } from './ra-003-oversized-schema.ts'
import { explodingPattern } from './ra-004-exploding-pattern.ts'
import { endlessWork } from './ra-005-endless-work.ts'
import { scheduledWork } from './ra-006-scheduled-work.ts'
import { instructionOverride } from './si-001-instruction-override.ts'
import { roleMarkup } from './si-002-role-markup.ts'
import { concealment } from './si-003-concealment.ts'
import { toolSteering } from './si-004-tool-steering.ts'
import { namesOtherTool } from './si-005-names-other-tool.ts'
import { invisibleCharacters } from './si-006-invisible-characters.ts'
import { confusableNames } from './si-007-confusable-names.ts'
import { encodedBlob } from './si-008-encoded-blob.ts'
import { hiddenMarkup } from './si-009-hidden-markup.ts'
import { descriptionLength } from './si-010-description-length.ts'
import { instructionsInSchema } from './si-011-instructions-in-schema.ts'
import { templateInterpolation } from './si-012-template-interpolation.ts'
import { outsideReference } from './si-013-outside-reference.ts'
import { dangerousPropertyNames } from './si-014-dangerous-property-names.ts'
import { openObject } from './si-015-open-object.ts'
import { unconstrainedSink } from './si-016-unconstrained-sink.ts'
import { descriptionMismatch } from './si-017-description-mismatch.ts'

/** By these a tool is compared with what it was before. */
const OTHERS: readonly Rule[] = [
  instructionOverride,
  roleMarkup,
  concealment,
  toolSteering,
  namesOtherTool,
  invisibleCharacters,
  confusableNames,
  encodedBlob,
  hiddenMarkup,
  descriptionLength,
  instructionsInSchema,
  templateInterpolation,
  outsideReference,
  dangerousPropertyNames,
  openObject,
  unconstrainedSink,
  descriptionMismatch,
  freeCommand,
  elevationSwitch,
  arbitraryPathWrite,
  chosenPermission,
  actsAsAnother,
  platformControl,
  upwardPath,
  asksForSecrets,
  secretPlaces,
  transmitsContext,
  sideChannel,
  freeDestination,
  embeddedSecret,
  arbitraryFileRead,
  rawQuery,
  downloadAndRun,
  dynamicExecution,
  destructiveCommands,
  persistence,
  scriptUrls,
  providerTrust,
  nameShadowing,
  providerTyposquat,
  providerKeyChanged,
  unboundedInput,
  unboundedAmount,
  oversizedSchema,
  explodingPattern,
  endlessWork,
  scheduledWork,
]

export const RULES: readonly Rule[] = [...OTHERS, rugPull(OTHERS)]
