/** How a text pulls the model to its own tool, or away from others. */
import { phrase, wording } from './wording.ts'

const THIS = 'this|this tool|this function|this one|me'
const OTHER = 'any|all|every|any of the|all of the'
const BAD =
  'deprecated|unsafe|insecure|broken|disabled|unavailable|obsolete|unreliable|malicious|dangerous|forbidden|outdated|compromised|prohibited'
/** Where the tool's own use is the occasion for something else. */
const BEFORE =
  '(?:before|prior to) (?:using|calling|invoking|running|you use|you call|executing) (?:this|any tool|any other tool|any function)(?: tool| function)?'
const GIVE = 'send|post|upload|forward|copy|collect|transmit|email|append|gather|dump|cat'
const TOOLS = 'tools?|functions?|calls?|actions?|servers?|requests?|operations?'

/** The model shall come to this tool, and not for what the tool can do. */
export const STEERING = wording(
  phrase(
    'always|must|should always|must always|first',
    1,
    'call|use|invoke|run|execute|prefer|choose|select',
    THIS,
    2,
    'before|instead of|prior to|ahead of|rather than|over',
    2,
    'any|all|every|anything|everything|each|other|another|responding|answering|replying',
  ),
  phrase(
    'call|use|invoke|run|execute',
    THIS,
    1,
    'first',
    1,
    'before|instead of',
    1,
    'any|all|every|anything|everything|each|other',
  ),
  phrase('always', 1, 'call|use|invoke|run', THIS, 'first'),
  phrase(
    'always',
    'call|use|invoke|run|include',
    THIS,
    2,
    'for|in|on|with|at|after',
    1,
    'any|all|every|each',
    1,
    'requests?|messages?|questions?|tasks?|conversations?|turns?|responses?|repl(?:y|ies)|sessions?|prompts?|interactions?|user',
  ),
  phrase(
    'before|prior to|instead of|rather than',
    1,
    'using|calling|invoking|running',
    1,
    `${OTHER}|other|another`,
    1,
    `other ${TOOLS}|${TOOLS}`,
    3,
    'call|use|invoke|run|you must|this',
  ),
  phrase(
    'instead of|rather than|in place of|over',
    1,
    OTHER,
    'other|others|alternative|similar|competing',
    TOOLS,
  ),
  phrase('call|use|invoke|run', THIS, 'before', OTHER, 1, TOOLS),
  phrase(
    'all|any|the|every',
    'other|remaining|previous|old|alternative|competing',
    1,
    'tools?|functions?',
    `are|is|have been|has been|were`,
    1,
    BAD,
  ),
  phrase('other', 'tools|functions', 'are|have been', 1, BAD),
  phrase(
    'do not|don t|never|must not|avoid',
    'use|using|call|calling|invoke|invoking|trust|trusting|rely on',
    1,
    'other|any other|all other|another|the other|similar',
    1,
    'tools?|functions?|servers?',
  ),
  phrase(
    'this tool|this function|it',
    'supersedes?|replaces?|overrides?|takes precedence over|has priority over',
    OTHER,
    2,
    'tools?|functions?',
  ),
  phrase(
    'this tool|this function|this server',
    'has|takes|must have|must be given|must take|gets',
    1,
    'highest|top|absolute|maximum',
    'priority|precedence',
  ),
  phrase('only', 'tool|function', 'you', 1, 'ever need|need|should use|may use|are allowed'),
  phrase('only', 'use|call|trust|invoke', THIS, 2, 'never|ignore|and not|not'),
  phrase(BEFORE, 'you must|you should|please|always|first|must|make sure to|be sure to', 1, GIVE),
  phrase(BEFORE, GIVE),
  phrase(
    BEFORE,
    2,
    'read|open|include|fetch',
    'your|my|all|any|every|each|the contents?|contents?|the files?|the users?|the env|the environment|the conversation|the chat|the whole|the entire|the full',
  ),
)
