/** One prompt to two revisions, answered side by side. */

import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import { fetchDeployment, streamChat } from "./api";
import type { ChatEnd, Deployment, Revision } from "./contract";
import { type Piece, compareWords } from "./diff";
import { formatLatency, formatNumber } from "./format";
import { useHeading } from "./hooks";

const SIDES = ["left", "right"] as const;
const DEFAULT_TOKENS = 200;
const MOST_TOKENS = 4096;

interface Answer {
  revision: number;
  text: string;
  end: ChatEnd | null;
  failure: string;
}

export function ChatPage({ namespace, name }: { namespace: string; name: string }) {
  const heading = useHeading<HTMLHeadingElement>(`Chat with ${namespace}/${name}`);
  const [deployment, setDeployment] = useState<Deployment | null>(null);
  const [failure, setFailure] = useState("");
  useEffect(() => {
    fetchDeployment(namespace, name).then(setDeployment, (error: Error) => setFailure(error.message));
  }, [namespace, name]);
  return (
    <>
      <h1 ref={heading} tabIndex={-1}>
        Chat side by side: <span class="muted">{namespace}/</span>
        {name}
      </h1>
      <p class="sentence">One prompt to two revisions. These requests count in no verdict and no scaling.</p>
      {failure !== "" && (
        <p role="alert" class="failure">
          {failure}
        </p>
      )}
      {deployment !== null && <Conversation deployment={deployment} />}
    </>
  );
}

/** The revisions that have replicas to ask, newest first. */
function listRevisions(deployment: Deployment): Revision[] {
  return deployment.revisions.filter((each) => each.chat !== false).sort((a, b) => b.number - a.number);
}

/** The revisions to ask first: stable on the left, canary on the right, else the newest ones. */
export function chooseRevisions(deployment: Deployment): [number, number] | null {
  const numbers = listRevisions(deployment).map((each) => each.number);
  const arm = deployment.rollout.find((each) => each.canary !== null) ?? deployment.rollout[0];
  const pick = (...wanted: (number | null | undefined)[]): number | undefined =>
    wanted.find((each): each is number => typeof each === "number" && numbers.includes(each));
  const left = pick(arm?.stable, numbers[0]);
  if (left === undefined) return null;
  return [left, pick(arm?.canary, numbers.find((each) => each !== left)) ?? left];
}

function Conversation({ deployment }: { deployment: Deployment }) {
  const { namespace, name } = deployment;
  const [chosen, setChosen] = useState(() => chooseRevisions(deployment));
  const [prompt, setPrompt] = useState("");
  const [maxTokens, setMaxTokens] = useState(DEFAULT_TOKENS);
  const { answers, busy, ask, stop } = useAnswers(namespace, name);
  if (chosen === null) return <p>No revision has a replica that could answer.</p>;
  const submit = (event: Event): void => {
    event.preventDefault();
    if (!busy && prompt.trim() !== "") ask(chosen, prompt, maxTokens);
  };
  const pick = (index: number, revision: number): void => {
    setChosen(index === 0 ? [revision, chosen[1]] : [chosen[0], revision]);
  };
  return (
    <>
      <form class="ask card" onSubmit={submit}>
        <label for="prompt">Prompt</label>
        <textarea
          id="prompt"
          rows={3}
          value={prompt}
          onInput={(event) => setPrompt(event.currentTarget.value)}
          onKeyDown={(event) => {
            if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) submit(event);
          }}
        />
        <div class="buttons">
          {SIDES.map((side, index) => (
            <span key={side} class="field">
              <label for={side}>{index === 0 ? "Left" : "Right"}</label>
              <select id={side} value={chosen[index]} onChange={(event) => pick(index, Number(event.currentTarget.value))}>
                {listRevisions(deployment).map((each) => (
                  <option key={each.number} value={each.number}>
                    {`r${each.number}${each.change ? ` (${each.change})` : ""}`}
                  </option>
                ))}
              </select>
            </span>
          ))}
          <span class="field">
            <label for="tokens">Tokens at most</label>
            <input
              id="tokens"
              type="number"
              min={1}
              max={MOST_TOKENS}
              value={maxTokens}
              onInput={(event) => setMaxTokens(Number(event.currentTarget.value) || DEFAULT_TOKENS)}
            />
          </span>
          {/* With keys they are two elements: one that turned from Stop into Ask both during a click would ask again. */}
          {busy ? (
            <button key="stop" type="button" onClick={stop}>
              Stop
            </button>
          ) : (
            <button key="ask" type="submit" class="primary" disabled={prompt.trim() === ""}>
              Ask both
            </button>
          )}
          <span class="muted small">Ctrl+Enter asks too.</span>
        </div>
      </form>
      <Answers answers={answers} busy={busy} />
    </>
  );
}

interface Asking {
  answers: Answer[];
  busy: boolean;
  ask: (revisions: [number, number], prompt: string, maxTokens: number) => void;
  stop: () => void;
}

/** The answers of both sides while they come. Pieces are gathered and shown once a frame. */
function useAnswers(namespace: string, name: string): Asking {
  const [answers, setAnswers] = useState<Answer[]>([]);
  const [busy, setBusy] = useState(false);
  const running = useRef<AbortController | null>(null);
  const stop = useCallback(() => running.current?.abort(), []);
  useEffect(() => stop, [stop]);
  const ask = (revisions: [number, number], prompt: string, maxTokens: number): void => {
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
        const request = { revision: answer.revision, prompt, maxTokens };
        answer.end = await streamChat(namespace, name, request, add, abort.signal);
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

function Answers({ answers, busy }: { answers: Answer[]; busy: boolean }) {
  const [left, right] = answers;
  const finished = !busy && left?.end && right?.end;
  const difference = finished ? compareWords(left.text, right.text) : null;
  return (
    <>
      <p class="hidden" role="status">
        {busy ? "Both revisions answer." : answers.length > 0 ? "Both answers have ended." : ""}
      </p>
      <div class="answers" aria-busy={busy}>
        {answers.map((answer, index) => (
          <article key={SIDES[index]} class="card answer" aria-label={`Answer of revision ${answer.revision}`}>
            <h2>r{answer.revision}</h2>
            <AnswerText answer={answer} pieces={difference?.[SIDES[index] ?? "left"] ?? null} added={index === 1} />
            {answer.failure !== "" && (
              <p role="alert" class="failure">
                {answer.failure}
              </p>
            )}
            {answer.end !== null && <Figures end={answer.end} />}
          </article>
        ))}
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
