/** What the console's server says. Times are RFC 3339 in UTC, durations seconds, shares 0 to 1; null means "not known". */

export interface Money {
  amount: number;
  currency: string;
}

export interface ArmTraffic {
  name: string;
  weight: number;
  stable: number | null;
  canary: number | null;
  canaryWeight: number | null;
}

export interface FleetItem {
  namespace: string;
  name: string;
  state: string;
  sentence: string;
  arms: ArmTraffic[];
  replicas: { ready: number; desired: number };
  accelerators: number | null;
  costPerHour: Money | null;
  requestsPerSecond: number | null;
  ttftP90: number | null;
  spark: (number | null)[];
  age: number | null;
}

export interface Fleet {
  items: FleetItem[];
  now: string;
}

export interface Condition {
  type: string;
  status: string;
  reason: string;
  message: string;
  lastTransitionTime: string;
  runbook: string | null;
}

export interface Revision {
  number: number;
  age: number | null;
  replicas: number;
  ready?: number;
  state: string;
  change: string | null;
  serves: boolean;
  /** Whether it has replicas that a chat can ask. */
  chat?: boolean;
  ttftP50: number | null;
  ttftP90: number | null;
  errorRatio: number | null;
  outputTokensPerSecond: number | null;
}

export interface Step {
  weight: number;
  pause?: string | null;
  analysis?: boolean | null;
}

export interface RolloutArm extends ArmTraffic {
  step: number | null;
  steps: Step[];
  sentence: string;
}

export interface Count {
  total: number;
  bad: number;
}

export interface Metric {
  name: string;
  tolerance: number;
  difference: number | null;
  low: number | null;
  high: number | null;
  stable: Count;
  canary: Count;
}

export interface Analysis {
  arm: string;
  result: string;
  message: string;
  requestsLeft: number | null;
  users: { stable: number; canary: number } | null;
  metrics: Metric[];
}

export interface EvaluationComparison {
  revision: number;
  lost?: number | null;
  won?: number | null;
  difference?: string | null;
  low?: string | null;
  high?: string | null;
  questions?: string[];
  message?: string;
}

export interface Evaluation {
  revision?: number | null;
  score?: number | null;
  passed?: number | null;
  total?: number | null;
  at?: string;
  message?: string;
  wrong?: { number: number; id: string }[];
  comparison?: EvaluationComparison | null;
}

/** What is on record of a question of the golden set; null where it is not known. */
export interface GoldenRow {
  number: number;
  id: string;
  kind: "lost" | "won" | "wrong";
  stable: boolean | null;
  canary: boolean | null;
}

export interface Evaluations {
  stable?: Evaluation | null;
  canary?: Evaluation | null;
  questions?: GoldenRow[];
  /** Whether the console can read what the questions ask. */
  readable?: boolean;
}

export interface GoldenQuestion {
  number: number;
  id: string;
  messages: { role: string; text: string }[];
  checks: { kind: string; wanted: string }[];
}

export interface GoldenQuestions {
  questions: GoldenQuestion[];
  /** Why there are none, if there are none. */
  message: string | null;
}

export interface ExperimentMetric {
  name: string;
  control?: string | null;
  arm?: string | null;
  difference?: string | null;
  low?: string | null;
  high?: string | null;
  result?: string;
}

export interface ExperimentArm {
  name: string;
  revision?: number | null;
  counting?: boolean;
  message?: string;
  users?: number;
  controlUsers?: number;
  requests?: number;
  controlRequests?: number;
  result?: string;
  metrics?: ExperimentMetric[];
}

export interface Experiment {
  startedAt: string;
  endedAt?: string | null;
  control?: string;
  outcome?: string;
  winner?: string | null;
  message?: string;
  plan?: string;
  arms?: ExperimentArm[];
}

export interface RevisionCost {
  revision: number;
  arms?: string[];
  perHour?: string;
  monthToDate?: string;
  perThousandRequests?: string | null;
  perMillionOutputTokens?: string | null;
}

export interface Cost {
  currency?: string;
  month?: string;
  perHour?: string;
  idlePerHour?: string;
  monthToDate?: string;
  budget?: string | null;
  budgetPercent?: number | null;
  revisions?: RevisionCost[];
}

export interface ScalingDecision {
  at: string;
  runtime: string;
  from: number;
  to: number;
  reason: string;
  message: string;
}

export interface KubeEvent {
  at: string;
  type: string;
  reason: string;
  message: string;
}

export interface Action {
  name: string;
  label: string;
  possible: boolean;
  why: string | null;
}

export interface Deployment {
  namespace: string;
  name: string;
  state: string;
  sentence: string;
  generation: number;
  conditions: Condition[];
  revisions: Revision[];
  rollout: RolloutArm[];
  analysis: Analysis[];
  evaluation: Evaluations | null;
  experiment: Experiment | null;
  cost: Cost | null;
  scaling: ScalingDecision[];
  events: KubeEvent[];
  actions: Action[];
  /** Whether there are points of more than the last hour. */
  past?: boolean;
}

export interface PointMetric {
  requests: number;
  users: number | null;
  difference: number | null;
  low: number | null;
  high: number | null;
  tolerance: number;
}

export interface PointRevision {
  ttftP50: number | null;
  ttftP90: number | null;
  requestsPerSecond: number | null;
}

export interface Point {
  at: string;
  requestsPerSecond: number | null;
  waiting: number | null;
  replicas: { ready: number | null; desired: number | null };
  revisions: Record<string, PointRevision>;
  analysis: Record<string, PointMetric>;
}

export interface History {
  points: Point[];
  /** Why the past is missing, if it is. */
  message?: string | null;
}

export interface Preview {
  action: string;
  command: string;
  patch: unknown;
}

export interface ChatEnd {
  ttft: number | null;
  seconds: number | null;
  tokens: number | null;
  tokensPerSecond: number | null;
  finishReason: string | null;
  /** Null without a price. By time it is that of the whole replica, so the most that the answer can have cost. */
  cost?: (Money & { basis: "tokens" | "time" }) | null;
  /** Of a question of the golden set: each check, and null where the console does not make it. */
  checks?: { kind: string; passed: boolean | null }[];
}

/** What the page asks for instead of the spec. */
export interface WhatIfChoice {
  milliseconds: number;
  minimum: number;
  maximum: number;
  profile?: unknown;
}

export interface WhatIfTarget {
  metric: string;
  percentile: number;
  milliseconds: number;
  /** The share of the requests within the target. */
  share: number;
}

/** One simulated hour. */
export interface WhatIfRun {
  minimum: number;
  maximum: number;
  targets: WhatIfTarget[];
  requests: number;
  failed: number;
  meanReplicas: number;
  ttftP90: number | null;
  /** Per hour. */
  cost: Money | null;
  slotSeconds: number;
  load: number[];
  replicas: number[];
  decisions: number;
}

export interface WhatIf {
  /** Seconds since 1970. */
  begins: number;
  now: WhatIfRun;
  changed: WhatIfRun | null;
  assumptions: string[];
  /** The spec's own. */
  choice: { metric: string; percentile: number; milliseconds: number; minimum: number; maximum: number };
  /** The targets that can be chosen, in milliseconds. */
  steps: number[];
  mostReplicas: number;
}
