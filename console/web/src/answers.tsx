/** Answers of two revisions beside each other, while they come and when they have ended. */

import type { ComponentChildren } from "preact";
import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import type { ChatEnd } from "./contract";
import { type Piece, compareWords } from "./diff";
import { formatLatency, formatMoney, formatNumber } from "./format";

export const SIDES = ["left", "right"] as const;

export interface Answer {
  revision: number;
  text: string;
  end: ChatEnd | null;
  failure: string;
}

/** Asks one revision, hands over each piece of its answer, and returns the figures of its end. */
export type Send = (revision: number, onText: (text: string) => void, signal: AbortSignal) => Promise<ChatEnd>;

export interface Asking {
  answers: Answer[];
  busy: boolean;
  ask: (revisions: [number, number], send: Send) => void;
  stop: () => void;
}

/** The answers of both sides while they come. Pieces are gathered and shown once a frame. */
export function useAnswers(): Asking {
  const [answers, setAnswers] = useState<Answer[]>([]);
  const [busy, setBusy] = useState(false);
  const running = useRef<AbortController | null>(null);
  const stop = useCallback(() => running.current?.abort(), []);
  useEffect(() => stop, [stop]);
  const ask = (revisions: [number, number], send: Send): void => {
    const abort = new AbortController();
    running.current = abort;
    const current: Answer[] = revisions.map((revision) => ({ revision, text: "", end: null, failure: "" }));
    let frame = 0;
    const show = (): void => {
      frame ||= requestAnimationFrame(() => {
        frame = 0;
        setAnswers(current.map((each) => ({ ...each })));
      });
    };
    const follow = async (answer: Answer): Promise<void> => {
      const add = (text: string): void => {
        answer.text += text;
        show();
      };
      try {
        answer.end = await send(answer.revision, add, abort.signal);
      } catch (error) {
        answer.failure = abort.signal.aborted ? "Stopped." : (error as Error).message;
      }
      show();
    };
    setBusy(true);
    show();
    void Promise.all(current.map(follow)).then(() => setBusy(false));
  };
  return { answers, busy, ask, stop };
}

export interface AnswersProps {
  answers: Answer[];
  busy: boolean;
  /** Whether it is not said which revision is on which side, nor how fast it was. */
  hidden?: boolean;
}

export function Answers({ answers, busy, hidden = false }: AnswersProps) {
  const [left, right] = answers;
  const finished = !busy && left?.end && right?.end;
  const difference = finished ? compareWords(left.text, right.text) : null;
  return (
    <>
      <p class="hidden" role="status">
        {busy ? "Both revisions answer." : answers.length > 0 ? "Both answers have ended." : ""}
      </p>
      <div class="answers" aria-busy={busy}>
        {answers.map((answer, index) => {
          const side = SIDES[index] ?? "left";
          const title = hidden ? `Answer on the ${side}` : `Answer of revision ${answer.revision}`;
          return (
            <article key={side} class="card answer" aria-label={title}>
              <h2>{hidden ? (index === 0 ? "Left" : "Right") : `r${answer.revision}`}</h2>
              <AnswerText answer={answer} pieces={difference?.[side] ?? null} added={index === 1} />
              {answer.failure !== "" && (
                <p role="alert" class="failure">
                  {answer.failure}
                </p>
              )}
              {answer.end?.checks && <Checks checks={answer.end.checks} />}
              {answer.end !== null && !hidden && <Figures end={answer.end} />}
            </article>
          );
        })}
      </div>
      {finished && (
        <p class="muted small">
          {difference === null
            ? "The answers are too long to be compared."
            : left.text === right.text
              ? "Both answers are the same."
              : "Struck through: only on the left. Underlined: only on the right."}
        </p>
      )}
    </>
  );
}

function AnswerText({ answer, pieces, added }: { answer: Answer; pieces: Piece[] | null; added: boolean }) {
  if (pieces === null) return <p class="words">{answer.text}</p>;
  return (
    <p class="words">
      {pieces.map((piece, index) => {
        if (piece.common) return <span key={index}>{piece.text}</span>;
        return added ? <ins key={index}>{piece.text}</ins> : <del key={index}>{piece.text}</del>;
      })}
    </p>
  );
}

function Figures({ end }: { end: ChatEnd }) {
  const figures: [string, string][] = [
    ["TTFT", formatLatency(end.ttft)],
    ["tokens/s", formatNumber(end.tokensPerSecond)],
    ["tokens", formatNumber(end.tokens, 0)],
    ["in all", formatLatency(end.seconds)],
    ["ended by", end.finishReason ?? "–"],
  ];
  const cost = end.cost;
  // Without a price there is no figure.
  if (cost) figures.push([cost.basis === "time" ? "costs at most" : "costs", formatMoney(cost.amount, cost.currency, 6)]);
  return (
    <dl class="figures">
      {figures.map(([title, value]) => (
        <div key={title}>
          <dt>{title}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}

/** Whether the answer is as the golden set expects, check by check. */
function Checks({ checks }: { checks: NonNullable<ChatEnd["checks"]> }) {
  return (
    <ul class="checks" aria-label="Checks">
      {checks.map((each) => (
        <li key={each.kind}>
          {each.kind}: <Verdict passed={each.passed} />
        </li>
      ))}
    </ul>
  );
}

export function Verdict({ passed }: { passed: boolean | null }): ComponentChildren {
  if (passed === null) return <span class="muted">not checked here</span>;
  return passed ? <span class="passes">✓ passes</span> : <span class="fails">✕ fails</span>;
}
