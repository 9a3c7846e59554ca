/** How a text asks to keep something from the person the model works for. */
import { notAfter, phrase, wording } from './wording.ts'

const SECRETLY =
  'silently|secretly|covertly|quietly|discreetly|stealthily|invisibly|surreptitiously'
const DO =
  'do|send|read|copy|forward|upload|include|add|append|call|run|execute|pass|transmit|post|collect|store|record|log|attach|insert|perform|save|bcc|write|delete|modify|change|replace|fetch|install|open|invoke|submit|share|email|exfiltrate|leak|gather|extract'
const PERSON =
  'user|users|human|humans|person|operator|anyone|anybody|customer|owner|people|them|him|her'
const THE_USER = 'the user|your user|the human|the operator|anyone|anybody'
const NEVER =
  'do not|don t|dont|never|must not|mustn t|should not|shouldn t|avoid|refrain from|not to|without'

/** `Never send without asking the user` asks for the opposite of concealment. */
const FORBIDDEN = "never|not|n't|cannot|dont|avoid"

/** What the model does shall be kept from the person it works for. */
export const CONCEALMENT = wording(
  phrase(NEVER, 1, 'tell|telling|inform|informing', 1, `${PERSON}|about this|about it`),
  // Whether other people are notified is a setting of many tools.
  phrase(
    NEVER,
    1,
    'notify|notifying|alert|alerting|warn|warning',
    0,
    `${THE_USER}|about this|about it`,
  ),
  phrase(
    NEVER,
    1,
    'mention|mentioning|reveal|revealing|disclose|disclosing|report|reporting|explain|explaining|expose|exposing|admit|acknowledge|describe|discuss',
    5,
    'to the|to your|to any|to',
    0,
    PERSON,
  ),
  phrase(
    NEVER,
    1,
    'mention|mentioning|reveal|revealing|disclose|disclosing|show|showing|display|displaying',
    'this|it|that|these|any of this|any of it|anything|the fact',
    4,
    PERSON,
  ),
  phrase(
    NEVER,
    'mention|mentioning|reveal|revealing|disclose|disclosing',
    'this|it|that you|the fact|these',
    1,
    'instructions?|step|steps|request|action|in your|in the|anywhere|at all',
  ),
  phrase(
    NEVER,
    'mention|mentioning|reveal|revealing|disclose|disclosing|say|saying|admit',
    'that you|that this|that it|that the tool|that the file',
  ),
  phrase(NEVER, 'let', 2, PERSON, 'know|see|notice|find out|realize|realise|be aware'),
  phrase(
    PERSON,
    'must not|should not|shouldn t|mustn t|must never|should never|does not need to|doesn t need to|need not',
    'know|notice|see|learn|hear|find out|be told|be informed|be aware',
    0,
    'about this|about it|about that|this|it|that',
  ),
  notAfter(FORBIDDEN, phrase('without', 'telling|informing|mentioning', 4, PERSON)),
  notAfter(FORBIDDEN, phrase('without', 'notifying|alerting|consulting', 0, THE_USER)),
  notAfter(
    FORBIDDEN,
    phrase(
      'without',
      1,
      'user s|users|user|human|human s',
      1,
      'knowing|knowledge|consent|awareness|noticing',
    ),
  ),
  notAfter(FORBIDDEN, phrase('without asking')),
  notAfter(FORBIDDEN, phrase(SECRETLY, 1, DO)),
  notAfter(
    FORBIDDEN,
    phrase(DO, 4, 'secretly|covertly|stealthily|surreptitiously|without a trace'),
  ),
  phrase('do|perform|run|execute', 'this|it|that|so', 'silently|quietly|in secret'),
  phrase(
    'hide',
    'this|it|these|that|your|any',
    3,
    'from',
    'the|your',
    'user|human|operator|person',
  ),
  phrase(
    'hide',
    'this|these|the',
    1,
    'instructions?|step|steps|action|actions|fact|behaviou?r|request',
  ),
  phrase(
    'keep',
    'this|it|these',
    2,
    'secret|hidden|confidential|private|quiet|between us',
    'from|between',
  ),
  phrase(
    'keep',
    'this|these',
    'instructions?|step|steps|action|actions|behaviou?r|part',
    2,
    'secret|hidden|confidential|private',
  ),
  phrase('no need to', 'tell|mention|inform|notify|bother', 2, `${PERSON}|this|it`),
)
