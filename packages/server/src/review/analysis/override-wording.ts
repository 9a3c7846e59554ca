/** How a text takes the model's instructions away, or gives it another self. */
import { phrase, wording } from './wording.ts'

const EARLIER = 'previous|prior|earlier|preceding|above|former|foregoing'
const FIRST = 'existing|original|initial'
const OWN = 'your|all of your'
const ORDERS =
  'instructions?|prompts?|guidelines?|directives?|directions|orders|commands|system messages?'
/** What a scraper passes itself off as is no persona. */
const NO_MACHINE =
  '(?! (?:(?:an?|the|your|[a-z]{1,16}) ){0,3}(?:browser|device|phone|client|crawler|bot|user agent)\\b)'

/** The instructions the model had shall no longer hold, or it shall be somebody else. */
export const OVERRIDE = wording(
  phrase(
    'ignore|disregard|forget|override|overrule|discard|bypass|neglect',
    3,
    `${EARLIER}|${OWN}`,
    1,
    ORDERS,
  ),
  phrase('ignore|disregard|forget', 3, FIRST, 1, ORDERS),
  phrase(
    'ignore|disregard|forget',
    3,
    `${EARLIER}|${OWN}`,
    1,
    'rules|polic(?:y|ies)|training|safety|constraints|restrictions',
  ),
  phrase('ignore|disregard', 3, `${EARLIER}|${OWN}`, 1, 'context|conversation'),
  phrase(
    'bypass|override|overrule',
    1,
    OWN,
    1,
    'rules|polic(?:y|ies)|training|safety|constraints|restrictions|filters?',
  ),
  phrase(
    'ignore|disregard|forget|overrule',
    'all|any|every|all of the|all the|any of the|everything in the|any other|all other|the other|system|the system',
    ORDERS,
  ),
  phrase(
    'override|discard|bypass',
    'all|any|every|all of the|all the|any other|all other',
    'instructions?|prompts?|guidelines?|directives?|system messages?',
  ),
  phrase(
    'ignore|disregard|forget',
    'everything|anything|all|what',
    2,
    'above|before|previously|so far|until now|you were told|been told|you have been told|you know|you learned',
  ),
  phrase(
    'do not|don t|never|stop|no longer',
    'follow|following|obey|obeying|listen to|comply with|adhere to',
    2,
    `${EARLIER}|${FIRST}|your|system|other`,
    1,
    `${ORDERS}|rules|polic(?:y|ies)`,
  ),
  /\b(?:new|updated|revised|actual|real)\s{1,4}system\s{1,4}(?:prompts?|instructions?|directives?)\s{0,4}(?:[:=!]|is\b|are\b|follows?\b|begins?\b|supersedes?\b|you\b)/,
  phrase(
    'this is|here is|use this as|treat this as|following is|below is',
    1,
    'new|updated|revised|actual|real',
    'system prompts?|system instructions?|instructions',
  ),
  /\bsystem\s{1,4}(?:prompt|instructions?)\s{1,4}(?:overrides?|update|is\s{1,4}now)\s{0,4}[:!=]/,
  phrase(
    'supersedes?|takes? precedence over|overrides?|take priority over|takes priority over',
    'all|any|every|your',
    1,
    `${EARLIER}|other|your|system`,
    1,
    'instructions?|prompts?|guidelines?|directives?',
  ),
  phrase(
    'supersedes?|takes? precedence over',
    'all|any|every|your',
    1,
    `${EARLIER}|other|your|system`,
    1,
    'rules|polic(?:y|ies)|tools',
  ),
  phrase(
    'replaces?',
    'all|any|every|your',
    1,
    `${EARLIER}|your|system`,
    1,
    'instructions?|guidelines?|directives?',
  ),
  phrase(
    'from now on|from this point on|from this point forward|henceforth|from here on',
    1,
    'you|your|always|never|ignore|act|respond|answer|only',
  ),
  phrase(
    'you are now|you re now',
    'a|an|the|my|no longer|in|acting|operating|running as|free|unrestricted|jailbroken|dan|root|admin|developer',
  ),
  phrase('pretend', `to be${NO_MACHINE}|you are|you re|that you|as if you`),
  phrase(
    'act|behave|respond|roleplay|role play',
    'as|as if',
    'if you|you are|you were|an? unrestricted|an? uncensored|an? unfiltered|an? jailbroken|an? evil|dan|root|an? different ai|an? different assistant',
  ),
  phrase(
    'your new|your real|your true',
    1,
    'task|role|goal|objective|purpose|instructions?|identity|mission',
    'is|are',
  ),
  phrase(
    'enter|activate|switch to|you are in|you are now in',
    1,
    'developer|god|dan|jailbreak|unrestricted|unfiltered',
    'mode',
  ),
  phrase(
    'ignore|disregard|overrule',
    1,
    'user s|users|the user|what the user|what your user',
    2,
    'requests?|questions?|instructions?|quer(?:y|ies)|intent|wishes|said|says|asked|asks|wants|wanted',
  ),
  phrase(
    'your',
    'instructions?|guidelines|rules|directives',
    'have changed|have been updated|have been replaced|were replaced|are void|no longer apply',
  ),
  phrase(
    'ignoriere|missachte|vergiss',
    2,
    'vorherigen|bisherigen|fruheren|obigen',
    1,
    'anweisungen|befehle|regeln|instruktionen',
  ),
  phrase(
    'ignora|olvida',
    3,
    'instrucciones|ordenes|istruzioni|instrucoes',
    'anteriores|previas|precedenti',
  ),
  phrase(
    'ignore[zr]?|oublie[zr]?',
    3,
    'instructions|consignes',
    'precedentes|anterieures|ci dessus',
  ),
  /(?:игнорируй(?:те)?|забудь(?:те)?)[^а-яё]{1,4}(?:[а-яё]{1,12}[^а-яё]{1,4}){0,3}(?:инструкции|указания|команды)/,
  /(?:忽略|无视|忘记|無視)[^。]{0,8}(?:之前|以前|上面|先前|以上|所有|前の)[^。]{0,8}(?:指令|指示|提示|命令)/,
  /(?:前の|以前の|これまでの|上記の)[^。]{0,6}(?:指示|命令|プロンプト)[^。]{0,6}(?:無視|忘れ)/,
)
