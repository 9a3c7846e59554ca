/** What is known of English beforehand: how much a word says, and which words say the same. */
import { stem } from './stem.ts'

/** Words that hold sentences together and say next to nothing. */
const FUNCTION_WORDS =
  'a about above after again against all also am an and any are as at be because been before being below between both ' +
  'but by can cannot could did do does doing done down during each few for from further had has have having he her here ' +
  'hers him his how i if in into is it its itself just me more most must my no nor not now of off on once only or other ' +
  'our ours out over own same she should so some such than that the their theirs them then there these they this those ' +
  'through to too under until up us very was we were what when where which while who whom why will with would you your ' +
  'yours may might shall let lets get gets got via per etc eg ie dont doesnt isnt wont cant im ive thats whats whether ' +
  'yet still ever never always already else upon within without across along among since though although however thus ' +
  'therefore rather quite perhaps well much many'

/** Words that stand in texts on anything. */
const COMMON_WORDS =
  'add allow another answer apply ask available back bad become begin best better big bring bug build call case cause ' +
  'change check choose come common contain continue copy correct create current day decide default define depend describe ' +
  'detail different done easy either end enough even every example exist expect explain fact fail far find first fit follow ' +
  'form found full general give go good great group guide hand happen hard help high hold hour important include inside ' +
  'instead issue item keep kind know large last late later lead learn leave left less level like line list little live long ' +
  'look lot low made main make mean meant minute month move name need new next nothing number old one open option order part ' +
  'people person piece place please point possible present problem provide put question reach read ready real really reason ' +
  'refer require right run said say second see seem select send set several show side simple simply single small someone ' +
  'something special specific start state stay step stop sure take tell test thing think three time today together top total ' +
  'try turn two type understand use used user using usual value various want way week whole wish word work world write wrong ' +
  'year yes'

/** Each line: words of one meaning where people ask and where manuals answer. */
const SAME = [
  'delete remove erase drop discard purge uninstall',
  'create make generate produce build',
  'begin start launch boot startup initiate',
  'stop halt terminate shutdown end quit kill',
  'error failure fault exception problem crash',
  'secret credential password passphrase apikey',
  'permission authorization authorize allow permit grant access right',
  'deny refuse reject forbid block disallow',
  'login signin authenticate authentication logon',
  'backup snapshot dump archive',
  'restore recover recovery rollback revert',
  'encrypt encryption cipher seal ciphertext',
  'decrypt unseal unlock',
  'config configuration setting setup configure preference',
  'limit quota cap maximum bound threshold ceiling',
  'rate throttle throttling',
  'log record audit journal trail',
  'fast quick rapid speed performance latency throughput',
  'slow delay lag sluggish',
  'cost price charge spend expense fee bill billing money',
  'buy purchase acquire',
  'car automobile vehicle',
  'doctor physician',
  'picture image photo photograph',
  'movie film',
  'house home dwelling',
  'big large huge enormous',
  'small little tiny minor',
  'fix repair mend resolve solve correct',
  'change modify alter edit update adjust',
  'show display print view present list',
  'find search lookup locate query seek',
  'send transmit deliver dispatch forward relay',
  'receive obtain fetch retrieve get',
  'save store keep persist retain',
  'expire expiry expiration lapse ttl lifetime',
  'renew extend refresh prolong',
  'revoke invalidate withdraw cancel',
  'approve approval confirm accept consent',
  'schedule cron timer periodic recurring',
  'job task work',
  'document file page paper',
  'folder directory',
  'machine host server node computer',
  'employee worker staff colleague',
  'customer client buyer',
  'teach train instruct',
  'health alive heartbeat liveness',
  'install deploy deployment rollout',
  'upgrade migrate migration',
  'tamper manipulate forge falsify',
  'detect discover notice spot',
  'verify validate check prove',
  'malicious hostile evil harmful dangerous',
  'safe secure security protected',
  'isolate isolation sandbox confine contain',
  'connect connection link attach',
  'repeat retry again reattempt',
  'language tongue',
  'trip journey travel',
  'illness disease sickness',
  'rain rainfall precipitation',
  'food meal dish',
  'kid child children',
]

const stemsOf = (words: string): string[] => words.split(' ').map(stem)

const FUNCTION_STEMS: ReadonlySet<string> = new Set(stemsOf(FUNCTION_WORDS))
const COMMON_STEMS: ReadonlySet<string> = new Set(stemsOf(COMMON_WORDS))

const MEANINGS: ReadonlyMap<string, string> = new Map(
  SAME.flatMap((line) => {
    const [first = '', ...others] = stemsOf(line)
    return [first, ...others].map((word) => [word, first] as const)
  }).reverse(), // the first line that has a word wins
)

/** How much a word tells of what a text is about: 0.03 to 1. In place of counts over a corpus. */
export function weightOf(stemmed: string): number {
  if (FUNCTION_STEMS.has(stemmed)) return 0.03
  if (COMMON_STEMS.has(stemmed)) return 0.4
  return stemmed.length < 3 ? 0.5 : 1
}

export function isFunctionWord(stemmed: string): boolean {
  return FUNCTION_STEMS.has(stemmed)
}

/** The word that stands for all of its meaning; undefined where only the word itself does. */
export function meaningOf(stemmed: string): string | undefined {
  return MEANINGS.get(stemmed)
}
